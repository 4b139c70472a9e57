//! The place where a server is found: the socket, and the lock that says whose it is.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_model::Problem;
use muster_model::problem::Code;
use muster_runtime::{Backoff, clock, crash_point};
use tokio::net::{UnixListener, UnixStream};

use super::lock::{self, Lock};
use super::paths::{Paths, cannot, look, socket_of_ours};

/// How long a server that hands over may take to free the lock.
const FREED: Duration = Duration::from_secs(5);

/// A socket that clients find, and the right to it.
#[derive(Debug)]
pub(super) struct Seat {
    socket: PathBuf,
    hidden: PathBuf,
    /// Which file the socket is: another server's in its place is left alone.
    inode: Option<u64>,
    _lock: Option<Lock>,
}

impl Seat {
    /// Takes the right to the user's socket.
    pub(super) async fn take(paths: &Paths) -> Result<Self, Problem> {
        let mut lock = match Lock::try_take(&paths.server_lock)? {
            Some(lock) => lock,
            None => tokio::select! {
                () = answered(&paths.socket) => return Err(taken(paths)),
                // One that hands over has closed its socket and is about to free the lock.
                lock = Lock::take(&paths.server_lock, FREED) => {
                    lock.map_err(|problem| match problem.code {
                        Code::Unavailable => taken(paths),
                        _ => problem,
                    })?
                }
            },
        };
        lock.sign();
        Ok(Self::at(paths.socket.clone(), Some(lock)))
    }

    /// Returns the seat at a socket in a folder that nobody else knows.
    pub(super) fn private(socket: PathBuf) -> Self {
        Self::at(socket, None)
    }

    fn at(socket: PathBuf, lock: Option<Lock>) -> Self {
        Self {
            hidden: socket.with_extension("leaving"),
            socket,
            inode: None,
            _lock: lock,
        }
    }

    /// Returns the socket's path.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Listens. What an earlier server left behind is removed: it is dead, or the right would not be ours.
    pub(super) fn listen(&mut self) -> Result<UnixListener, Problem> {
        for left in [&self.socket, &self.hidden] {
            if socket_of_ours(left)? {
                std::fs::remove_file(left).map_err(|error| cannot(left, "removed", &error))?;
            }
        }
        let failed = |error: std::io::Error| cannot(&self.socket, "listened on", &error);
        let listener = UnixListener::bind(&self.socket).map_err(failed)?;
        crash_point!(SocketBound);
        // The folder is ours alone, so that nobody gets in before this.
        std::fs::set_permissions(&self.socket, Permissions::from_mode(0o600)).map_err(failed)?;
        self.inode = look(&self.socket)?.map(|found| found.ino());
        Ok(listener)
    }

    /// Takes the socket out of sight: who looks for it now waits for the start lock.
    pub(super) fn hide(&self) -> Result<(), Problem> {
        std::fs::rename(&self.socket, &self.hidden).map_err(|error| cannot(&self.socket, "renamed", &error))
    }

    /// Puts the socket back where it is looked for.
    pub(super) fn show(&self) -> Result<(), Problem> {
        std::fs::rename(&self.hidden, &self.socket).map_err(|error| cannot(&self.hidden, "renamed", &error))
    }

    /// Removes the socket. The right to it is given up when the seat is dropped.
    pub(super) fn vacate(&mut self) {
        let Some(inode) = self.inode.take() else {
            return;
        };
        for path in [&self.socket, &self.hidden] {
            let ours = look(path).is_ok_and(|found| found.is_some_and(|found| found.ino() == inode));
            if ours && let Err(error) = std::fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "the socket could not be removed");
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.vacate();
    }
}

/// Returns when a server listens at the socket: one that starts does so soon.
async fn answered(socket: &Path) {
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
    while UnixStream::connect(socket).await.is_err() {
        clock::sleep(backoff.step()).await;
    }
}

fn taken(paths: &Paths) -> Problem {
    let pid = lock::holder(&paths.server_lock);
    let process = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
    Problem::new(
        Code::Conflict,
        format!("a server of yours{process} is there already"),
    )
    .hint("use that one, or end it first: muster server stop")
}
