//! Where the vault's keys come from: a file, a variable, or a program that is asked.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use muster_model::problem::Code;
use muster_model::{Problem, Secret, sanitise};
use muster_runtime::clock;
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::{Zeroize, Zeroizing};

use super::key_file;
use super::seal::MasterKey;

/// How long the program may take.
const ANSWER: Duration = Duration::from_secs(30);
/// The most that it may say, in bytes, on each stream.
const SAYS: usize = 16 * 1024;
/// The most keys that a source gives.
const KEYS: usize = 16;

/// Where the vault's keys come from. Each is 32 bytes in base64, separated by spaces or lines; the first is the one
/// in use, others open what was sealed before. Shows without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file, made on first use.
    File(PathBuf),
    /// An environment variable, read when the process started.
    Variable {
        /// Its name.
        name: String,
        /// What it held; None: it was not set.
        text: Option<Secret>,
    },
    /// A program and its arguments: it prints the keys.
    Command(Vec<String>),
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Variable { name, .. } => write!(f, "env:{name}"),
            // Its arguments are nobody's business.
            Self::Command(words) => write!(f, "command:{}", words.first().map_or("", String::as_str)),
        }
    }
}

impl KeySource {
    /// Reads the keys; none where there is no such file or variable.
    pub(super) async fn load(&self) -> Result<Vec<MasterKey>, Problem> {
        let text = match self {
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || key_file::read(&path)).await;
                read.map_err(|_| self.wrong("could not be read"))??
            }
            Self::Variable { text, .. } => text.as_ref().map(|text| Zeroizing::new(text.expose().to_owned())),
            Self::Command(words) => Some(self.ask(words).await?),
        };
        text.map_or(Ok(Vec::new()), |text| self.keys(&text))
    }

    fn keys(&self, text: &str) -> Result<Vec<MasterKey>, Problem> {
        let words = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(str::split_whitespace);
        let mut keys: Vec<MasterKey> = Vec::new();
        for (place, word) in words.enumerate() {
            let key = MasterKey::parse(word).filter(|_| place < KEYS).ok_or_else(|| {
                let what = format!("does not hold keys: what stands at place {} is none", place + 1);
                self.wrong(&what)
                    .hint("a key is 32 random bytes in base64, as `openssl rand -base64 32` makes one")
            })?;
            if !keys.iter().any(|known| known.id() == key.id()) {
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err(self
                .wrong("holds no key")
                .hint("put the key back; `openssl rand -base64 32` makes a new one"));
        }
        Ok(keys)
    }

    /// Runs the program and returns what it prints.
    async fn ask(&self, words: &[String]) -> Result<Zeroizing<String>, Problem> {
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| self.wrong("names no program"))?;
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.wrong(&format!("cannot be run: {error}")))?;
        let group = child.id().and_then(|pid| i32::try_from(pid).ok());
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let work = async { tokio::join!(child.wait(), all_of(out), all_of(err)) };
        let answer = clock::deadline(ANSWER, work).await;
        if !matches!(&answer, Ok((Ok(_), Some(_), Some(_))))
            && let Some(group) = group
        {
            // What it started goes with it.
            let group = nix::unistd::Pid::from_raw(group);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
        let (status, out, err) = match answer {
            Ok((Ok(status), Some(out), Some(err))) => (status, out, err),
            Ok((Err(error), _, _)) => return Err(self.wrong(&format!("cannot be waited for: {error}"))),
            Ok(_) => return Err(self.wrong(&format!("says more than {} KiB", SAYS >> 10))),
            Err(clock::Elapsed) => {
                return Err(self.wrong(&format!("has not ended after {} s", ANSWER.as_secs())));
            }
        };
        if !status.success() {
            let said: String = String::from_utf8_lossy(&err).chars().take(500).collect();
            let said = sanitise::line(said.trim());
            return Err(self.wrong(&format!("failed ({status}): {said}")));
        }
        let mut out = out;
        match String::from_utf8(std::mem::take(&mut *out)) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(self.wrong("prints what is no text"))
            }
        }
    }

    pub(super) fn wrong(&self, what: &str) -> Problem {
        Problem::new(
            Code::VaultKey,
            format!("the source of the vault's key, {self}, {what}"),
        )
        .hint("`muster config` shows where the setting 'vault_key' comes from")
    }
}

/// Reads a stream to its end, and None where there is more than [`SAYS`].
async fn all_of(stream: Option<impl AsyncRead + Unpin>) -> Option<Zeroizing<Vec<u8>>> {
    // Room for all of it from the start: a buffer that grows leaves its old place behind.
    let mut bytes = Zeroizing::new(vec![0; SAYS + 1]);
    let mut length = 0;
    if let Some(mut stream) = stream {
        loop {
            match stream.read(&mut bytes[length..]).await {
                Ok(0) | Err(_) => break,
                Ok(read) => length += read,
            }
            if length > SAYS {
                return None;
            }
        }
    }
    bytes.truncate(length);
    Some(bytes)
}
