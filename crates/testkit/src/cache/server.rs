//! What the servers share: their folder, their port and their life.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::guard::{self, Guard};
use crate::sshd::permit;
use crate::{ports, wait};

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// In the environment of the server and what it starts.
const MARK: &str = "MUSTER_TEST_CACHE";

/// A server and its folder.
#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    mark: String,
    pub(super) port: u16,
    // The order matters: the server ends before its folder goes.
    guard: Option<Guard>,
    dir: TempDir,
}

impl Server {
    pub(super) fn prepare(name: &'static str) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix(&format!("muster-{name}-"))
            .tempdir()
            .map_err(Error::io(&std::env::temp_dir()))?;
        permit(dir.path(), 0o700)?;
        Ok(Self {
            name,
            mark: guard::mark()?,
            port: 0,
            guard: None,
            dir,
        })
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.dir().join(name).to_string_lossy().into_owned()
    }

    /// Starts it at a port that was free a moment ago, at another one where it was taken meanwhile.
    pub(super) fn start(
        &mut self,
        command: impl Fn(&Self) -> Result<Vec<String>>,
        hello: &str,
    ) -> Result<()> {
        let mut last = None;
        for _ in 0..5 {
            self.port = ports::free()?;
            match self.start_again(command(self)?, hello) {
                Err(Error::Failed { output, .. }) if output.to_lowercase().contains("already in use") => {
                    last = Some(output);
                }
                other => return other,
            }
        }
        Err(Error::failed(
            format!("starting {}", self.name),
            last.unwrap_or_default(),
        ))
    }

    /// Starts it at the port that it has, and waits until it answers to `hello`, or takes a connection where that is
    /// empty.
    pub(super) fn start_again(&mut self, command: Vec<String>, hello: &str) -> Result<()> {
        self.guard = None;
        let before = self.log().len();
        let mark = format!("{MARK}={}", self.mark);
        let mut line = vec!["env".to_owned(), mark.clone()];
        line.extend(command);
        self.guard = Some(Guard::start(self.dir(), &mark, &line)?);
        let answered = wait::blocking(STARTS_WITHIN, "the cache server to answer", || {
            (ask(self.port, hello).is_some() || self.has_ended()).then_some(())
        });
        if self.has_ended() || answered.is_err() {
            let said = self.log().split_off(before);
            self.guard = None;
            return Err(Error::failed(format!("starting {}", self.name), said));
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.guard.as_ref().is_none_or(Guard::has_ended)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.guard.as_ref().and_then(Guard::server)
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM);
        let ended = wait::blocking(ENDS_WITHIN, "the cache server to end", || {
            self.has_ended().then_some(())
        });
        self.guard = None;
        ended
    }

    /// Kills it with `kill -9`.
    pub(super) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.guard = None;
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    pub(super) fn log(&self) -> String {
        let text = std::fs::read(self.dir().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Sends a line to a port of loopback and returns the begin of the answer; None where nobody answers.
pub(super) fn ask(port: u16, line: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    if line.is_empty() {
        return Some(String::new());
    }
    let patience = Some(Duration::from_secs(5));
    stream.set_read_timeout(patience).ok()?;
    stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
    let mut answer = [0; 4096];
    let len = stream.read(&mut answer).ok().filter(|len| *len > 0)?;
    Some(String::from_utf8_lossy(&answer[..len]).into_owned())
}

/// Returns the first of these programs that there is.
pub(super) fn program(candidates: &[&str], package: &str) -> Result<String> {
    let found = candidates.iter().find(|path| Path::new(path).exists());
    let name = candidates
        .first()
        .and_then(|path| path.rsplit('/').next())
        .unwrap_or("");
    found
        .map(|path| (*path).to_owned())
        .ok_or_else(|| Error::missing(name, format!("install the package {package}")))
}

/// Runs a program to its end and returns what it wrote.
pub(super) fn run(command: &mut std::process::Command) -> Result<String> {
    let what = command.get_program().to_string_lossy().into_owned();
    let done = command
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(Error::io(Path::new(&what)))?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(said);
    }
    Err(Error::failed(what, said + &String::from_utf8_lossy(&done.stderr)))
}
