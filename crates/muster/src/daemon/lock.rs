//! File locks between the processes of one user. A lock ends with its process, however that ends; the
//! files stay, since removing a locked file would let two hold it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use muster_model::Problem;
use muster_model::problem::Code;
use muster_runtime::{Backoff, clock};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use super::paths::cannot;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(Flock<File>);

impl Lock {
    /// Takes the lock, or returns None where another process holds it.
    pub(super) fn try_take(path: &Path) -> Result<Option<Self>, Problem> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)
            .map_err(|error| cannot(path, "opened", &error))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Self(lock))),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(cannot(path, "locked", &errno.into())),
        }
    }

    /// Takes the lock, waiting for at most `limit`.
    pub(super) async fn take(path: &Path, limit: Duration) -> Result<Self, Problem> {
        let mut backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(50));
        let taken = clock::deadline(limit, async {
            loop {
                match Self::try_take(path) {
                    Ok(None) => clock::sleep(backoff.step()).await,
                    Ok(Some(lock)) => return Ok(lock),
                    Err(problem) => return Err(problem),
                }
            }
        });
        taken.await.unwrap_or_else(|clock::Elapsed| {
            let holder = holder(path).map_or_else(String::new, |pid| format!(" (process {pid})"));
            Err(Problem::new(
                Code::Unavailable,
                format!(
                    "another muster{holder} has held {} for {} s",
                    path.display(),
                    limit.as_secs()
                ),
            )
            .hint("see what it does; ending it frees the lock"))
        })
    }

    /// Writes into the file who holds the lock, for people and for messages.
    pub(super) fn sign(&mut self) {
        // A lock without a name on it holds as well.
        let _ = self
            .0
            .set_len(0)
            .and_then(|()| writeln!(self.0, "{}", std::process::id()));
    }
}

/// Returns the process that signed a lock last.
pub(super) fn holder(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
