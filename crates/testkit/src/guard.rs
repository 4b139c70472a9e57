//! Holds what a test started and ends it with the test, also when the test is killed.
//!
//! The holder is a small shell in its own process group with a pipe from the test: the pipe closes whatever
//! happens to the test, and then the shell ends exactly what it holds.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

const SCRIPT: &str = include_str!("guard.sh");
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// A random word that marks the processes of one server.
pub(crate) fn mark() -> Result<String> {
    let mut bytes = [0u8; 12];
    getrandom::fill(&mut bytes).map_err(|error| Error::failed("reading random bytes", error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A held server. Dropping it ends the server, its descendants and every process with the mark in its
/// environment; the folder stays. When the test dies without dropping, the folder goes too.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
    server: Option<u32>,
}

impl Guard {
    /// Starts `command` (none: only holds what carries the mark) with its output appended to `dir/log`.
    pub(crate) fn start(dir: &Path, mark: &str, command: &[String]) -> Result<Self> {
        Self::start_asking(dir, mark, "", command)
    }

    /// The same for a server that leaves something behind when it is killed: before it is, it gets the signal
    /// `ask` and a moment to end by itself.
    pub(crate) fn start_asking(dir: &Path, mark: &str, ask: &str, command: &[String]) -> Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "muster-testkit-guard"])
            .arg(dir)
            .args([mark, ask])
            .args(command)
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io(Path::new("/bin/sh")))?;
        let mut line = String::new();
        if let Some(stdout) = shell.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(Error::io(Path::new("/bin/sh")))?;
        }
        let server = line.trim().parse().ok();
        if server.is_none() && !command.is_empty() {
            return Err(Error::failed(
                command.join(" "),
                "the shell that holds it did not start it",
            ));
        }
        Ok(Self { shell, server })
    }

    /// The server's process.
    pub(crate) fn server(&self) -> Option<u32> {
        self.server
    }

    /// Whether the server has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.server
            .is_none_or(|pid| crate::proc::state(pid).is_none_or(|state| state == 'Z'))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            let _ = pipe.write_all(b"orderly\n");
        }
        let started = Instant::now();
        while started.elapsed() < ENDS_WITHIN {
            match self.shell.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
