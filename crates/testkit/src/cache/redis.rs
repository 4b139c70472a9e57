//! Redis.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::certificates::Certificates;
use super::server::{self, Server};
use crate::error::{Error, Result};

const PACKAGE: &str = "redis-server (elsewhere: redis)";

/// A running Redis server, which keeps nothing on disk. Dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    settings: Vec<String>,
    is_tls: bool,
    mode: &'static str,
}

impl Redis {
    /// Starts one. Blocks until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where Redis is not installed.
    pub fn start() -> Result<Self> {
        Self::with(&[])
    }

    /// Starts one with more lines in its settings, as in `maxmemory 8mb`.
    ///
    /// # Errors
    ///
    /// As [`Redis::start`].
    pub fn with(settings: &[&str]) -> Result<Self> {
        Self::launch(
            settings.iter().map(|line| (*line).to_owned()).collect(),
            false,
            "",
        )
    }

    /// Starts one whose port speaks TLS, with these certificates. It asks for one of the client's where `wants_ours`.
    ///
    /// # Errors
    ///
    /// As [`Redis::start`].
    pub fn with_tls(certificates: &Certificates, wants_ours: bool) -> Result<Self> {
        let path = |name| certificates.path(name).display().to_string();
        let settings = vec![
            format!("tls-cert-file {}", path("server.crt")),
            format!("tls-key-file {}", path("server.key")),
            format!("tls-ca-cert-file {}", path("ca.crt")),
            format!("tls-auth-clients {}", if wants_ours { "yes" } else { "no" }),
        ];
        Self::launch(settings, true, "")
    }

    pub(super) fn launch(settings: Vec<String>, is_tls: bool, mode: &'static str) -> Result<Self> {
        let mut redis = Self {
            server: Server::prepare("redis")?,
            settings,
            is_tls,
            mode,
        };
        let (settings, mode) = (redis.settings.clone(), redis.mode);
        redis
            .server
            .start(|server| line(server, &settings, is_tls, mode), hello(is_tls))?;
        Ok(redis)
    }

    /// Returns its URL, without user and password.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.server.port)
    }

    /// Asks it something by `redis-cli`, as the default user.
    ///
    /// # Errors
    ///
    /// With what it said.
    pub fn ask(&self, words: &[&str]) -> Result<String> {
        cli(self.server.port, words)
    }

    /// Ends it as an administrator does.
    ///
    /// # Errors
    ///
    /// Where it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.server.stop()
    }

    /// Kills it with `kill -9`.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Makes it stand still, as a machine does that has lost its network; [`Redis::go_on`] ends that.
    pub fn stand_still(&self) {
        self.server.signal(Signal::SIGSTOP);
    }

    /// Makes it go on.
    pub fn go_on(&self) {
        self.server.signal(Signal::SIGCONT);
    }

    /// Starts it after [`Redis::stop`] or [`Redis::kill`], on the same port and empty.
    ///
    /// # Errors
    ///
    /// Where it does not start; with what it said.
    pub fn start_again(&mut self) -> Result<()> {
        let line = line(&self.server, &self.settings, self.is_tls, self.mode)?;
        self.server.start_again(line, hello(self.is_tls))
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Returns its process, None while it is stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Returns its folder; its socket is `socket` in it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.server.dir()
    }

    /// Returns what it has said since its first start.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }
}

fn hello(is_tls: bool) -> &'static str {
    if is_tls { "" } else { "PING" }
}

/// Runs `redis-cli`.
pub(super) fn cli(port: u16, words: &[&str]) -> Result<String> {
    let program = server::program(&["/usr/bin/redis-cli", "/usr/local/bin/redis-cli"], PACKAGE)?;
    server::run(
        Command::new(program)
            .env_clear()
            .current_dir("/")
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            .args(words),
    )
}

/// Writes the settings, where passwords stand on no command line, and returns the command.
fn line(server: &Server, settings: &[String], is_tls: bool, mode: &str) -> Result<Vec<String>> {
    let program = server::program(&["/usr/bin/redis-server", "/usr/local/bin/redis-server"], PACKAGE)?;
    let (plain, tls) = if is_tls {
        (0, server.port)
    } else {
        (server.port, 0)
    };
    let mut text = format!(
        "bind 127.0.0.1\nport {plain}\ndir {}\nunixsocket {}\nunixsocketperm 700\n",
        server.path(""),
        server.path("socket")
    );
    if tls > 0 {
        text += &format!("tls-port {tls}\n");
    }
    if mode.is_empty() {
        text += "save \"\"\nappendonly no\n";
    }
    for setting in settings {
        text += setting;
        text.push('\n');
    }
    let file = server.dir().join("redis.conf");
    // A Sentinel writes down there what it has found out.
    if mode.is_empty() || !file.exists() {
        std::fs::write(&file, text).map_err(Error::io(&file))?;
    }
    let mut line = vec![program, file.to_string_lossy().into_owned()];
    line.extend((!mode.is_empty()).then(|| mode.to_owned()));
    Ok(line)
}
