//! A real OpenSSH server for one test: private, in a temporary folder, on a free loopback port.

mod builder;
mod config;
mod host_keys;
mod users;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

pub use builder::Builder;

use crate::error::{Error, Result};
use crate::guard::{self, Guard};
use crate::keys::{self, KeyKind};
use crate::{ports, proc, wait};

/// What to do where sshd is missing.
const INSTALL: &str = "install the package openssh-server";
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A running sshd. Dropping it ends it with all its sessions and what they started.
#[derive(Debug)]
pub struct Sshd {
    builder: Builder,
    mark: String,
    port: u16,
    key: PathBuf,
    // The order matters: the server ends before its folder goes.
    guard: Option<Guard>,
    dir: TempDir,
}

impl Sshd {
    /// Starts one with the default settings: 127.0.0.1 and 127.0.1.1 to 127.0.1.14, key logins alone.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where sshd is not installed.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// Returns the settings, to be changed before the start.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::new()
    }

    async fn launch(builder: Builder) -> Result<Self> {
        config::check_machine(&builder)?;
        let dir = tempfile::Builder::new()
            .prefix("muster-sshd-")
            .tempdir()
            .map_err(Error::io(&std::env::temp_dir()))?;
        // Passable but not readable: sshd reads the authorized keys as the user that logs in.
        permit(dir.path(), 0o711)?;
        let key = keys::generate(dir.path(), KeyKind::Ed25519, None)?;
        let authorized = dir.path().join("authorized_keys");
        fs::copy(keys::public(&key), &authorized).map_err(Error::io(&authorized))?;
        permit(&authorized, 0o644)?;
        host_keys::install(&builder, dir.path())?;
        let homes = dir.path().join("home");
        for folder in [homes.clone(), homes.join(current_user())] {
            fs::create_dir(&folder).map_err(Error::io(&folder))?;
            permit(&folder, 0o755)?;
        }
        let mut sshd = Self {
            mark: guard::mark()?,
            port: 0,
            key,
            guard: None,
            builder,
            dir,
        };
        let mut last = String::new();
        for _ in 0..10 {
            sshd.port = ports::free()?;
            config::write(&sshd)?;
            match sshd.start_again().await {
                Err(Error::Failed { output, .. }) if config::address_was_taken(&output) => last = output,
                other => return other.map(|()| sshd),
            }
        }
        Err(Error::failed("starting sshd", last))
    }

    /// Starts it after [`Sshd::stop`], at the same port and with the same keys.
    ///
    /// # Errors
    ///
    /// Where sshd does not start; with what it said.
    pub async fn start_again(&mut self) -> Result<()> {
        self.guard = None;
        // What sshd said before belongs to another start.
        let log = self.dir().join("log");
        let before = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let mark = format!("{}={}", config::MARK, self.mark);
        let guard = Guard::start(self.dir(), &mark, &users::command_line(self)?)?;
        let said = || {
            let text = fs::read(&log).unwrap_or_default();
            let from = usize::try_from(before).unwrap_or(usize::MAX).min(text.len());
            String::from_utf8_lossy(&text[from..]).into_owned()
        };
        let listening = wait::until(STARTS_WITHIN, "sshd to listen", || {
            guard.has_ended()
                || said().matches("Server listening on").count() == config::addresses(&self.builder)
                || config::address_was_taken(&said())
        })
        .await;
        if guard.has_ended() || listening.is_err() || config::address_was_taken(&said()) {
            return Err(Error::failed("starting sshd", said()));
        }
        self.guard = Some(guard);
        self.answer().await
    }

    /// Ends it with its sessions and what they started; the folder stays, and [`Sshd::start_again`] starts it
    /// again.
    pub async fn stop(&mut self) {
        self.guard = None;
    }

    /// Ends it and starts it again.
    ///
    /// # Errors
    ///
    /// Where sshd does not start; with what it said.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await;
        self.start_again().await
    }

    /// Gives it another host key of a kind that it has, the pair at `key`, and starts it again. Its own `known_hosts`
    /// does not learn of that.
    ///
    /// # Errors
    ///
    /// Where the key cannot be copied or sshd does not start.
    pub async fn change_host_key(&mut self, kind: KeyKind, key: &Path) -> Result<()> {
        self.stop().await;
        host_keys::replace(self.dir(), kind, key)?;
        self.start_again().await
    }

    /// Kills the processes that serve connections, so that each connection breaks; the server goes on, and what
    /// the sessions started is left alone.
    ///
    /// # Errors
    ///
    /// Where a connection is still served after ten seconds.
    pub async fn break_connections(&self) -> Result<()> {
        wait::until(Duration::from_secs(10), "the connections to break", || {
            let serving = self.serving();
            for process in &serving {
                signal(process.pid, Signal::SIGKILL);
            }
            serving.is_empty()
        })
        .await
    }

    /// Stops the server and its connections without closing anything, as a machine does that hangs.
    pub fn freeze(&self) {
        for pid in self.pid().into_iter().chain(self.serving().iter().map(|p| p.pid)) {
            signal(pid, Signal::SIGSTOP);
        }
    }

    /// Ends a [`Sshd::freeze`].
    pub fn thaw(&self) {
        for pid in self.pid().into_iter().chain(self.serving().iter().map(|p| p.pid)) {
            signal(pid, Signal::SIGCONT);
        }
    }

    /// Returns the port, the same on all its addresses.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address of host `i`, from 1: 127.0.1.1 to 127.0.1.254, then 127.0.2.1 and so on. Beyond 14
    /// it answers only with [`Builder::listen_all_loopback`].
    #[must_use]
    pub fn host(&self, i: u32) -> String {
        host_address(i)
    }

    /// Returns the user to log in as: the one who runs the test.
    #[must_use]
    pub fn user(&self) -> String {
        current_user()
    }

    /// Returns the home of [`Sshd::user`] in its sessions (`$HOME`), empty at first. The current folder of a
    /// session is not this but the user's real home, which sshd takes from the system.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.dir().join("home").join(current_user())
    }

    /// Returns a private key (ed25519) that is let in, for every user.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// Returns a `known_hosts` file with its host keys, for all its addresses.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.dir().join("known_hosts")
    }

    /// Returns an `ssh_config` for `127.*` and the names `web1`, `web2`, ...: user, port, key, `known_hosts`.
    #[must_use]
    pub fn ssh_config(&self) -> PathBuf {
        self.dir().join("ssh_config")
    }

    /// Returns its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the private key of one of its host keys; the public one stands beside it with `.pub`.
    #[must_use]
    pub fn host_key(&self, kind: KeyKind) -> PathBuf {
        host_keys::path(self.dir(), kind)
    }

    /// Returns what it has written to its log (level VERBOSE) since its first start.
    #[must_use]
    pub fn log(&self) -> String {
        let text = fs::read(self.dir().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Returns how many logins have succeeded since its first start.
    #[must_use]
    pub fn logins(&self) -> usize {
        self.log()
            .lines()
            .filter(|line| line.contains("Accepted ") && line.contains(" for ") && line.contains(" port "))
            .count()
    }

    /// Returns how many connections it serves now.
    #[must_use]
    pub fn connections(&self) -> usize {
        let serving = self.serving();
        let pids: Vec<u32> = serving.iter().map(|process| process.pid).collect();
        // A connection is served by one or two processes, the second a child of the first.
        serving
            .iter()
            .filter(|process| proc::parent(process.pid).is_none_or(|parent| !pids.contains(&parent)))
            .count()
    }

    /// Returns how many connections it serves whose client has gone: what was sent on them may still be started.
    ///
    /// The client's end is known to the kernel at once, and it shows the connection so until its last process has
    /// closed it: the one that serves it, and a command that is being started.
    #[must_use]
    pub fn left_alone(&self) -> usize {
        proc::half_closed(self.port)
    }

    /// Returns the server's process, None while it is stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.guard.as_ref().and_then(Guard::server)
    }

    /// Returns the processes of all its sessions: what the tests ran, wherever it went (by descent, and by the
    /// mark in the environment of each session).
    #[must_use]
    pub fn session_processes(&self) -> Vec<proc::Process> {
        let mut found = proc::with_env(config::MARK, &self.mark);
        if let Some(pid) = self.pid() {
            found.extend(
                proc::descendants(pid)
                    .into_iter()
                    .filter(|process| !is_sshd(process)),
            );
        }
        found.sort_by_key(|process| process.pid);
        found.dedup();
        found
    }

    /// Lets a key in: the public key of `key`, or `key` itself where it ends in `.pub`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or written.
    pub fn authorize(&self, key: &Path) -> Result<()> {
        let public = keys::public(key);
        let line = fs::read_to_string(&public).map_err(Error::io(&public))?;
        self.authorize_line(&line)
    }

    /// Adds a line to `authorized_keys`, with options where wanted.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn authorize_line(&self, line: &str) -> Result<()> {
        let path = self.dir().join("authorized_keys");
        let mut text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        text.push_str(line.trim_end());
        text.push('\n');
        fs::write(&path, text).map_err(Error::io(&path))
    }

    /// Lets no key in any more.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn authorize_nothing(&self) -> Result<()> {
        let path = self.dir().join("authorized_keys");
        fs::write(&path, "").map_err(Error::io(&path))
    }

    /// The processes that serve connections.
    fn serving(&self) -> Vec<proc::Process> {
        self.pid()
            .map(|pid| proc::descendants(pid).into_iter().filter(is_sshd).collect())
            .unwrap_or_default()
    }

    async fn answer(&self) -> Result<()> {
        let addresses = ["127.0.0.1".to_owned(), self.host(1)];
        for address in addresses {
            wait::until_some(STARTS_WITHIN, "sshd's banner", || banner(&address, self.port))
                .await
                .map_err(|error| Error::failed(error.to_string(), self.log()))?;
        }
        Ok(())
    }
}

/// Returns the address of host `i`, from 1.
fn host_address(i: u32) -> String {
    let index = i.saturating_sub(1);
    format!("127.0.{}.{}", index / 254 + 1, index % 254 + 1)
}

async fn banner(address: &str, port: u16) -> Option<()> {
    let mut stream = TcpStream::connect((address, port)).await.ok()?;
    let mut first = [0u8; 4];
    stream.read_exact(&mut first).await.ok()?;
    (&first == b"SSH-").then_some(())
}

/// Whether a process is sshd itself and not a program that it runs. Its title is `sshd: user [priv]`, from
/// OpenSSH 9.8 `sshd-session: user [priv]`; before it sets one, its own path.
fn is_sshd(process: &proc::Process) -> bool {
    let program = process.argv.first().map(String::as_str).unwrap_or_default();
    ["sshd: ", "sshd-session: ", "sshd-auth: "]
        .iter()
        .any(|title| program.starts_with(title))
        || ["/sshd", "/sshd-session", "/sshd-auth"]
            .iter()
            .any(|path| program.ends_with(path))
}

fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Returns the name of the user who runs the test.
#[must_use]
pub fn current_user() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten()
        .map_or_else(|| "root".to_owned(), |user| user.name)
}

pub(crate) fn permit(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io(path))
}
