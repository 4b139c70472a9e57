//! Memcached.

use nix::sys::signal::Signal;

use super::server::{self, Server};
use crate::error::{Error, Result};

/// A running memcached. Dropping it ends it.
#[derive(Debug)]
pub struct Memcached {
    server: Server,
    megabytes: u32,
}

impl Memcached {
    /// Starts one that holds so many megabytes. Blocks until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where memcached is not installed.
    pub fn start(megabytes: u32) -> Result<Self> {
        let mut server = Server::prepare("memcached")?;
        server.start(|server| line(server, megabytes), "version")?;
        Ok(Self { server, megabytes })
    }

    /// Returns where it listens.
    #[must_use]
    pub fn place(&self) -> String {
        format!("127.0.0.1:{}", self.server.port)
    }

    /// Sends it a line, as in `flush_all`, and returns the begin of its answer.
    ///
    /// # Errors
    ///
    /// Where it does not answer.
    pub fn ask(&self, line: &str) -> Result<String> {
        server::ask(self.server.port, line)
            .ok_or_else(|| Error::failed("asking memcached", "it does not answer"))
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

    /// Makes it stand still, as a machine does that has lost its network; [`Memcached::go_on`] ends that.
    pub fn stand_still(&self) {
        self.server.signal(Signal::SIGSTOP);
    }

    /// Makes it go on.
    pub fn go_on(&self) {
        self.server.signal(Signal::SIGCONT);
    }

    /// Starts it after [`Memcached::stop`] or [`Memcached::kill`], on the same port and empty.
    ///
    /// # Errors
    ///
    /// Where it does not start; with what it said.
    pub fn start_again(&mut self) -> Result<()> {
        let line = line(&self.server, self.megabytes)?;
        self.server.start_again(line, "version")
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
}

fn line(server: &Server, megabytes: u32) -> Result<Vec<String>> {
    let program = server::program(&["/usr/bin/memcached", "/usr/local/bin/memcached"], "memcached")?;
    let (port, megabytes) = (server.port.to_string(), megabytes.to_string());
    let mut line = vec![
        program,
        "-l".to_owned(),
        "127.0.0.1".to_owned(),
        "-p".to_owned(),
        port,
    ];
    line.extend(["-U", "0", "-m", &megabytes].map(str::to_owned));
    // As root it wants to know who it is to be.
    if nix::unistd::geteuid().is_root() {
        line.extend(["-u", "nobody"].map(str::to_owned));
    }
    Ok(line)
}
