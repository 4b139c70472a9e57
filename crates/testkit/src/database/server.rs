//! What both kinds of servers share: their folder, the user that they run as, their life, their clients.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::statvfs;
use nix::unistd::{Pid, User};
use tempfile::TempDir;

use super::Disk;
use crate::error::{Error, Result};
use crate::guard::{self, Guard};
use crate::sshd::permit;
use crate::{ports, wait};

const STARTS_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// A file system in memory, on every Linux.
const MEMORY: &str = "/dev/shm";
/// What has to be free there: containers often have 64 MiB, and several servers run at a time.
const ROOM: u64 = 4 << 30;
/// In the environment of the server and what it starts.
const MARK: &str = "MUSTER_TEST_DATABASE";

/// The user that a server runs as where the test runs as root, whom database servers refuse.
#[derive(Clone, Debug)]
pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// Returns the first of `names` that there is; None where the test is not root, and servers run as its user.
    pub(super) fn find(names: &[&str]) -> Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        let user = names.iter().find_map(|name| User::from_name(name).ok().flatten());
        match user {
            Some(user) => Ok(Some(Self {
                name: user.name,
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
            })),
            None => Err(Error::missing(
                format!("a user {}", names.join(" or ")),
                "add one, or do not run the tests as root",
            )),
        }
    }

    /// Gives a file or a folder and all in it to the user.
    fn own(account: Option<&Self>, path: &Path) -> Result<()> {
        let Some(account) = account else { return Ok(()) };
        let owner = format!("{}:{}", account.uid, account.gid);
        run(Command::new("chown").args(["-R", &owner]).arg(path)).map(drop)
    }

    /// Returns a command line that runs as the user.
    pub(super) fn run_as(account: Option<&Self>, command: Vec<String>) -> Vec<String> {
        let Some(account) = account else { return command };
        ["setpriv", "--reuid", &account.name, "--regid"]
            .into_iter()
            .map(str::to_owned)
            .chain([
                account.gid.to_string(),
                "--clear-groups".to_owned(),
                "--".to_owned(),
            ])
            .chain(command)
            .collect()
    }
}

/// A server and its folder.
#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    /// The signal at which it ends and cleans up, and the one that is sent before it is killed.
    ends_at: Signal,
    ask: &'static str,
    mark: String,
    pub(super) port: u16,
    pub(super) account: Option<Account>,
    // The order matters: the server ends before its folder goes.
    guard: Option<Guard>,
    dir: TempDir,
}

impl Server {
    /// Makes the folder: `data`, a copy of `template`, and `socket`, both the user's.
    pub(super) fn prepare(
        name: &'static str,
        account: Option<Account>,
        template: &Path,
        (ends_at, ask): (Signal, &'static str),
        disk: Disk,
    ) -> Result<Self> {
        let dir = match disk {
            Disk::Forced => folder(name)?,
            Disk::Relaxed => in_memory(name).map_or_else(|| folder(name), Ok)?,
        };
        let data = dir.path().join("data");
        run(Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(template)
            .arg(&data))?;
        permit(&data, 0o700)?;
        let socket = dir.path().join("socket");
        fs::create_dir(&socket).map_err(Error::io(&socket))?;
        for path in [&data, &socket] {
            Account::own(account.as_ref(), path)?;
        }
        Ok(Self {
            name,
            ends_at,
            ask,
            mark: guard::mark()?,
            port: 0,
            account,
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
        command: impl Fn(&Self) -> Vec<String>,
        answers: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let mut last = None;
        for _ in 0..5 {
            self.port = ports::free()?;
            match self.start_again(command(self), &answers) {
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

    /// Starts it at the port that it has.
    pub(super) fn start_again(
        &mut self,
        command: Vec<String>,
        answers: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        self.guard = None;
        let before = self.log().len();
        let mark = format!("{MARK}={}", self.mark);
        let mut line = vec!["env".to_owned(), mark.clone()];
        line.extend(Account::run_as(self.account.as_ref(), command));
        self.guard = Some(Guard::start_asking(self.dir(), &mark, self.ask, &line)?);
        let answered = wait::blocking(STARTS_WITHIN, "the database server to answer", || {
            let there = TcpStream::connect(("127.0.0.1", self.port)).is_ok() && answers(self);
            (there || self.has_ended()).then_some(())
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
        self.signal(self.ends_at);
        let ended = wait::blocking(ENDS_WITHIN, "the database server to end", || {
            self.has_ended().then_some(())
        });
        self.guard = None;
        ended
    }

    /// Kills it with `kill -9`, with every process of it.
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
        let text = fs::read(self.dir().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Returns a new folder that the server's user can pass through and nobody else can read.
pub(super) fn folder(name: &str) -> Result<TempDir> {
    folder_in(&std::env::temp_dir(), name)
}

fn folder_in(base: &Path, name: &str) -> Result<TempDir> {
    let dir = tempfile::Builder::new()
        .prefix(&format!("muster-{name}-"))
        .tempdir_in(base)
        .map_err(Error::io(base))?;
    permit(dir.path(), 0o711)?;
    Ok(dir)
}

/// Returns the same in the machine's memory, where that has room: a server that waits for no disk writes hundreds of
/// megabytes all the same, which every test waits for that does need the disk.
fn in_memory(name: &str) -> Option<TempDir> {
    let base = Path::new(MEMORY);
    let space = statvfs(base).ok()?;
    let free = space.blocks_available() * space.fragment_size();
    (free >= ROOM).then(|| folder_in(base, name).ok()).flatten()
}

/// Fills `fresh` with what `make` puts into a folder of the server's user.
pub(super) fn fill(
    fresh: &Path,
    name: &str,
    account: Option<&Account>,
    make: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<()> {
    let dir = folder(name)?;
    let data = dir.path().join("data");
    fs::create_dir(&data).map_err(Error::io(&data))?;
    permit(&data, 0o700)?;
    let password = dir.path().join("password");
    secret(&password, guard::mark()?.as_bytes(), account)?;
    Account::own(account, &data)?;
    make(&data, &password)?;
    for part in [&data, &password] {
        run(Command::new("cp").arg("-a").arg(part).arg(fresh))?;
    }
    Ok(())
}

/// Writes a file that the server's user alone can read.
pub(super) fn secret(path: &Path, text: &[u8], account: Option<&Account>) -> Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::io(path))?;
    file.write_all(text).map_err(Error::io(path))?;
    match account {
        Some(account) => chown(path, Some(account.uid), Some(account.gid)).map_err(Error::io(path)),
        None => Ok(()),
    }
}

/// Runs a program to its end and returns what it wrote.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let what = command.get_program().to_string_lossy().into_owned();
    let done = command
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io(Path::new(&what)))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = [done.stdout, done.stderr].concat();
    Err(Error::failed(what, String::from_utf8_lossy(&said)))
}

/// Runs a command line as `run` does.
pub(super) fn run_line(line: &[String]) -> Result<String> {
    let mut words = line.iter().map(OsStr::new);
    let program = words.next().unwrap_or_default();
    run(Command::new(program).args(words))
}

/// Returns the first of these programs that there is.
pub(super) fn program(candidates: &[&str], package: &str) -> Result<PathBuf> {
    candidates
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .ok_or_else(|| {
            let name = candidates
                .first()
                .map_or("", |path| path.rsplit('/').next().unwrap_or(path));
            Error::missing(name, format!("install the package {package}"))
        })
}
