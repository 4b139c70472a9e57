//! Being alive, as others on the same machine can see it.
//!
//! A process that executes holds locks on two files in a folder that all of its user's servers share:
//! `<id>.execute` for the runs that it has started, `<id>.dispatch` for the tasks that it hands out. The kernel lets go
//! of them when the process dies, however it dies, so the others know at once and for certain.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use muster_model::problem::Code;
use muster_model::{ExecutorId, Problem};
use muster_runtime::crash_point;
use nix::fcntl::{Flock, FlockArg};

/// What a lock stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Execute,
    Dispatch,
}

impl Duty {
    fn ending(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Dispatch => "dispatch",
        }
    }
}

/// This process's own locks.
pub(crate) struct Locks {
    me: ExecutorId,
    folder: PathBuf,
    execute: Mutex<Option<Flock<File>>>,
    dispatch: Mutex<Option<Flock<File>>>,
}

impl Locks {
    /// Takes the locks of an id.
    pub(super) fn take(folder: &Path, me: ExecutorId) -> Result<Self, Problem> {
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
        let locks = Self {
            execute: Mutex::new(Some(lock(folder, &me, Duty::Execute)?)),
            dispatch: Mutex::new(Some(lock(folder, &me, Duty::Dispatch)?)),
            me,
            folder: folder.to_owned(),
        };
        crash_point!(LocksTaken);
        Ok(locks)
    }

    /// Lets others take over what this process dispatches.
    pub(super) fn release_dispatch(&self) {
        self.release(&self.dispatch, Duty::Dispatch);
    }

    /// Lets go of everything: nothing is executed here any more.
    pub(super) fn release_all(&self) {
        self.release_dispatch();
        self.release(&self.execute, Duty::Execute);
    }

    fn release(&self, lock: &Mutex<Option<Flock<File>>>, duty: Duty) {
        let held = lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        if held.is_some() {
            let path = path(&self.folder, &self.me, duty);
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::debug!(%error, path = %path.display(), "a lock file stays behind");
            }
        }
        drop(held);
    }

    /// Tells whether another executor of this machine has died, as far as this duty goes.
    pub(crate) fn is_dead(&self, other: &ExecutorId, duty: Duty) -> bool {
        if *other == self.me {
            return false;
        }
        let path = path(&self.folder, other, duty);
        let file = match File::open(&path) {
            Ok(file) => file,
            // No file: it left in good order. Anything else tells nothing, and nobody is buried alive.
            Err(error) => return error.kind() == std::io::ErrorKind::NotFound,
        };
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(lock) => {
                // Nobody can hold it any more: the id is never used again.
                if std::fs::remove_file(&path).is_err() {
                    tracing::debug!(path = %path.display(), "a dead executor's lock file stays behind");
                }
                crash_point!(DeadLockRemoved);
                drop(lock);
                true
            }
            Err(_) => false,
        }
    }

    /// Returns the other executors of this machine that have lock files, dead or alive.
    pub(crate) fn others(&self) -> Vec<ExecutorId> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut others: Vec<ExecutorId> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| {
                let (id, ending) = name.split_once('.')?;
                matches!(ending, "execute" | "dispatch").then(|| ExecutorId(id.to_owned()))
            })
            .filter(|id| *id != self.me)
            .collect();
        others.sort();
        others.dedup();
        others
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        self.release_all();
    }
}

fn path(folder: &Path, id: &ExecutorId, duty: Duty) -> PathBuf {
    // The id comes from the database or a file name: it must not lead out of the folder.
    let id: String = id.0.chars().filter(char::is_ascii_alphanumeric).collect();
    folder.join(format!("{id}.{}", duty.ending()))
}

/// Takes a lock before the file has its name, so that nobody ever sees the file without its lock.
fn lock(folder: &Path, me: &ExecutorId, duty: Duty) -> Result<Flock<File>, Problem> {
    let path = path(folder, me, duty);
    let unnamed = path.with_extension(format!("{}.new", duty.ending()));
    let file = File::create(&unnamed).map_err(|error| unusable(&unnamed, &error))?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, error)| unusable(&unnamed, &error))?;
    std::fs::rename(&unnamed, &path).map_err(|error| unusable(&path, &error))?;
    Ok(lock)
}

/// Returns the name of a folder of locks, made up by whoever came first: two homes on one machine do not see each
/// other's locks.
pub(super) fn name_of(folder: &Path) -> Result<String, Problem> {
    std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
    let path = folder.join("home");
    if !path.exists() {
        let name = made_up(folder)?;
        let unnamed = folder.join(format!("home.{name}.new"));
        std::fs::write(&unnamed, &name).map_err(|error| unusable(&unnamed, &error))?;
        // One of several that come at once gets through, with its whole name.
        let linked = std::fs::hard_link(&unnamed, &path);
        let _ = std::fs::remove_file(&unnamed);
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(unusable(&path, &error));
            }
            _ => {}
        }
    }
    let name = std::fs::read_to_string(&path).map_err(|error| unusable(&path, &error))?;
    Ok(name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(16)
        .collect())
}

/// Makes up an id: 16 letters and digits.
pub(super) fn made_up(folder: &Path) -> Result<String, Problem> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| unusable(folder, &error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> Problem {
    Problem::new(
        Code::Unavailable,
        format!("{} cannot be used: {error}", path.display()),
    )
    .hint("check that the folder belongs to you and that its file system is not full")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_see_who_is_alive_and_what_it_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let take = |id: &str| Locks::take(folder.path(), ExecutorId(id.into())).expect("locks");
        let (one, two) = (take("one"), take("two"));
        assert_eq!(one.others(), vec![two.me.clone()]);
        assert!(!one.is_dead(&two.me, Duty::Execute) && !one.is_dead(&two.me, Duty::Dispatch));
        two.release_dispatch();
        assert!(!one.is_dead(&two.me, Duty::Execute) && one.is_dead(&two.me, Duty::Dispatch));
        let id = two.me.clone();
        drop(two);
        assert!(one.is_dead(&id, Duty::Execute));
        assert!(one.is_dead(&ExecutorId("../../etc/passwd".into()), Duty::Execute));
        assert!(one.others().is_empty());
    }
}
