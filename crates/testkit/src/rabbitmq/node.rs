//! The life of one broker: its folder, its ports, its environment, and asking it by `rabbitmqctl`.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::guard::{self, Guard};
use crate::{ports, wait};

const PACKAGE: &str = "rabbitmq-server";
/// In the environment of the broker and what it starts.
const MARK: &str = "MUSTER_TEST_RABBITMQ";
const STARTS_WITHIN: Duration = Duration::from_secs(120);
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// What it says when it is there for everybody.
const READY: &str = "Server startup complete";

/// A broker and its folder.
#[derive(Debug)]
pub(super) struct Node {
    programs: PathBuf,
    mark: String,
    pub(super) port: u16,
    pub(super) tls_port: u16,
    epmd_port: u16,
    distribution_port: u16,
    // The order matters: the broker ends before its folder goes.
    guard: Option<Guard>,
    dir: TempDir,
}

impl Node {
    pub(super) fn prepare() -> Result<Self> {
        let programs = programs()?;
        let dir = tempfile::Builder::new()
            .prefix("muster-rabbitmq-")
            .tempdir()
            .map_err(Error::io(&std::env::temp_dir()))?;
        let home = dir.path().join("home");
        fs::create_dir(&home).map_err(Error::io(&home))?;
        Ok(Self {
            programs,
            mark: guard::mark()?,
            port: 0,
            tls_port: 0,
            epmd_port: 0,
            distribution_port: 0,
            guard: None,
            dir,
        })
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Starts it at ports that were free a moment ago, at others where one was taken meanwhile.
    pub(super) fn start(&mut self, settings: &[String], advanced: &str, tls: bool) -> Result<()> {
        let mut last = None;
        for _ in 0..5 {
            self.port = ports::free()?;
            self.tls_port = if tls { ports::free()? } else { 0 };
            self.epmd_port = ports::free()?;
            self.distribution_port = ports::free()?;
            self.configure(settings, advanced)?;
            match self.start_again() {
                Err(Error::Failed { output, .. }) if is_taken(&output) => last = Some(output),
                other => return other,
            }
        }
        Err(Error::failed("starting rabbitmq", last.unwrap_or_default()))
    }

    /// Writes the settings; `advanced` is what has no name in them.
    fn configure(&self, settings: &[String], advanced: &str) -> Result<()> {
        let mut text = format!("listeners.tcp.1 = 127.0.0.1:{}\n", self.port);
        if self.tls_port != 0 {
            text += &format!("listeners.ssl.1 = 127.0.0.1:{}\n", self.tls_port);
        }
        text += &settings.join("\n");
        text.push('\n');
        // It holds a password.
        let path = self.path("rabbitmq.conf");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&path).map_err(Error::io(&path))?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(Error::io(&path))?;
        for (name, text) in [("plugins", "[]."), ("advanced.config", advanced)] {
            let path = self.path(name);
            fs::write(&path, text).map_err(Error::io(&path))?;
        }
        Ok(())
    }

    /// Starts it at the ports that it has.
    pub(super) fn start_again(&mut self) -> Result<()> {
        self.guard = None;
        let before = self.log().len();
        let mark = format!("{MARK}={}", self.mark);
        let mut line = vec!["env".to_owned(), "-i".to_owned(), mark.clone()];
        let environment = self.environment();
        line.extend(
            environment
                .into_iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        line.push(
            self.programs
                .join("rabbitmq-server")
                .to_string_lossy()
                .into_owned(),
        );
        self.guard = Some(Guard::start(self.dir(), &mark, &line)?);
        let answered = wait::blocking(STARTS_WITHIN, "RabbitMQ to start", || {
            let said = self.log();
            let is_ready = said.get(before..).is_some_and(|said| said.contains(READY));
            (is_ready || self.has_ended()).then_some(())
        });
        if self.has_ended() || answered.is_err() {
            let said = self.log().split_off(before);
            self.guard = None;
            return Err(Error::failed("starting rabbitmq", said));
        }
        Ok(())
    }

    fn name(&self) -> String {
        format!("muster-{}@localhost", self.mark)
    }

    /// Returns the file that says which quorum queues there are.
    pub(super) fn queue_directory(&self) -> PathBuf {
        let name = self.name();
        self.path("mnesia")
            .join(&name)
            .join("quorum")
            .join(&name)
            .join("names.dets")
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let at = |name: &str| self.path(name).to_string_lossy().into_owned();
        vec![
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("HOME", at("home")),
            ("ERL_EPMD_PORT", self.epmd_port.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODENAME", self.name()),
            ("RABBITMQ_DIST_PORT", self.distribution_port.to_string()),
            ("RABBITMQ_MNESIA_BASE", at("mnesia")),
            ("RABBITMQ_LOG_BASE", at("logs")),
            ("RABBITMQ_LOGS", "-".to_owned()),
            ("RABBITMQ_PID_FILE", at("pid")),
            ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", at("advanced.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins")),
            ("ERL_CRASH_DUMP", at("crash")),
            // The machine's own settings are no matter of a test.
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
        ]
    }

    pub(super) fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let program = self.programs.join("rabbitmqctl");
        let done = Command::new(&program)
            .env_clear()
            .envs(self.environment())
            .env(MARK, &self.mark)
            .arg("--quiet")
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io(&program))?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        let said = [done.stdout, done.stderr].concat();
        Err(Error::failed(
            format!("rabbitmqctl {}", arguments.first().unwrap_or(&"")),
            String::from_utf8_lossy(&said),
        ))
    }

    fn has_ended(&self) -> bool {
        self.guard.as_ref().is_none_or(Guard::has_ended)
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.ctl(&["stop"])?;
        let ended = wait::blocking(ENDS_WITHIN, "RabbitMQ to end", || self.has_ended().then_some(()));
        self.guard = None;
        ended
    }

    /// Kills it with `kill -9`, with every process of it.
    pub(super) fn kill(&mut self) {
        self.guard = None;
        // A program of many threads holds its ports until the last of them is gone. Where that takes for ever, the next
        // start says so.
        let _ = wait::blocking(ENDS_WITHIN, "the ports to be free", || {
            let ports = [self.port, self.distribution_port, self.epmd_port];
            let is_free = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_err();
            ports.iter().all(is_free).then_some(())
        });
    }

    pub(super) fn log(&self) -> String {
        let text = fs::read(self.path("log")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn is_taken(output: &str) -> bool {
    let output = output.to_lowercase();
    output.contains("eaddrinuse") || output.contains("already in use")
}

/// Returns the folder of the newest version's programs.
///
/// Those, and not the ones in the path: on Debian these are wrappers that change the user.
fn programs() -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in [
        "/usr/lib/rabbitmq/lib",
        "/opt/rabbitmq",
        "/usr/local/lib/rabbitmq/lib",
    ] {
        let folder = Path::new(folder);
        found.push(folder.join("sbin"));
        let versions = fs::read_dir(folder).into_iter().flatten().flatten();
        found.extend(versions.map(|version| version.path().join("sbin")));
    }
    found.retain(|folder| {
        ["rabbitmq-server", "rabbitmqctl"]
            .iter()
            .all(|program| folder.join(program).exists())
    });
    found.sort();
    found
        .pop()
        .ok_or_else(|| Error::missing("rabbitmq-server", format!("install the package {PACKAGE}")))
}
