//! Being alive, as others can see it.
//!
//! On one machine, a process that executes holds locks on two files in a folder that all of its user's
//! servers share: `<id>.execute` for the runs that it has started, `<id>.dispatch` for the tasks that it
//! hands out. The kernel lets go of them when the process dies, however it dies, so the others know at
//! once and for certain. Other machines go by the lease in the database.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_model::problem::Code;
use muster_model::{ExecutorId, Problem, TaskId, Timestamp};
use muster_runtime::{clock, crash_point};
use nix::fcntl::{Flock, FlockArg};

use crate::core::Core;
use crate::fault;

/// How long a lease in the database holds.
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// How often it is renewed while there is something to do.
const RENEW: Duration = Duration::from_secs(20);
/// How soon it is renewed when the database is back.
const SOON: Duration = Duration::from_millis(10);

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

/// This process's own locks and lease.
pub(crate) struct Lease {
    me: ExecutorId,
    home: String,
    folder: PathBuf,
    execute: Mutex<Option<Flock<File>>>,
    dispatch: Mutex<Option<Flock<File>>>,
    renewed_at: AtomicI64,
    renewing: AtomicBool,
    alone: AtomicBool,
    /// The last sweep did not get through.
    again: AtomicBool,
    /// Tasks that were adopted and are not dispatched yet.
    adopting: Mutex<HashSet<TaskId>>,
    suspects: Mutex<Suspects>,
}

/// Executors of other homes whose leases have run out. Nobody can renew a lease while the database is away, so only
/// time counts in which it was there.
#[derive(Default)]
struct Suspects {
    /// The lease that had run out, and since when (on this process's own clock) it is seen like that.
    seen: HashMap<ExecutorId, (Timestamp, Duration)>,
    /// The outages that there had been by then.
    outages: u64,
}

impl Lease {
    /// Makes up an executor id and takes its locks.
    pub(crate) fn take(home: &str, folder: &Path) -> Result<Self, Problem> {
        let me = ExecutorId(made_up(folder)?);
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
        let home = format!("{home}-{}", name_of(folder)?);
        let lease = Self {
            execute: Mutex::new(Some(lock(folder, &me, Duty::Execute)?)),
            dispatch: Mutex::new(Some(lock(folder, &me, Duty::Dispatch)?)),
            me,
            home,
            folder: folder.to_owned(),
            renewed_at: AtomicI64::new(0),
            renewing: AtomicBool::new(false),
            alone: AtomicBool::new(true),
            again: AtomicBool::new(false),
            adopting: Mutex::default(),
            suspects: Mutex::default(),
        };
        crash_point!(LocksTaken);
        Ok(lease)
    }

    pub(crate) fn executor(&self) -> &ExecutorId {
        &self.me
    }

    pub(crate) fn home(&self) -> &str {
        &self.home
    }

    /// Returns how long ago the lease was last written; nothing while this process has no work that it is for.
    pub(crate) fn age(&self) -> Duration {
        if !self.renewing.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        clock::now().since(Timestamp(self.renewed_at.load(Ordering::Acquire)))
    }

    /// Tells whether no other process was seen that may have runs of tasks that are dispatched here.
    pub(crate) fn alone(&self) -> bool {
        self.alone.load(Ordering::Acquire)
    }

    pub(crate) fn set_alone(&self, alone: bool) {
        self.alone.store(alone, Ordering::Release);
    }

    /// Asks for another sweep at the next look.
    pub(crate) fn sweep_again(&self) {
        self.again.store(true, Ordering::Release);
    }

    /// Tells whether another sweep was asked for, and takes the request.
    pub(crate) fn must_sweep(&self) -> bool {
        self.again.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn note_adoption(&self, task: TaskId) {
        self.adopting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(task);
    }

    pub(crate) fn is_adopting(&self, task: TaskId) -> bool {
        self.adopting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&task)
    }

    pub(crate) fn end_adoption(&self, task: TaskId) {
        self.adopting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&task);
    }

    /// Sees to it that the lease in the database holds, now and for as long as there is something to do.
    pub(crate) async fn hold(&self, core: &Arc<Core>) -> Result<(), Problem> {
        let now = clock::now();
        if now.0 - self.renewed_at.load(Ordering::Acquire) > i64::try_from(RENEW.as_micros()).unwrap_or(0) {
            let store = &core.rooms.database.store;
            let pid = std::process::id();
            let renewed = store.heartbeat(&self.me, &self.home, pid, now.after(LEASE)).await;
            renewed.map_err(|error| fault::of_store(&error))?;
            self.renewed_at.store(now.0, Ordering::Release);
            crash_point!(LeaseWritten);
        }
        if !self.renewing.swap(true, Ordering::AcqRel) {
            let core = Arc::clone(core);
            core.clone()
                .tasks
                .spawn("renew the lease", async move { core.lease.renew(&core).await });
        }
        Ok(())
    }

    async fn renew(&self, core: &Arc<Core>) {
        let mut wait = RENEW;
        loop {
            tokio::select! {
                () = clock::sleep(wait) => {}
                () = core.tasks.work().cancelled() => return,
            }
            if core.active.count() == 0 && core.hub.open().is_empty() {
                self.renewing.store(false, Ordering::Release);
                return;
            }
            let now = clock::now();
            let store = &core.rooms.database.store;
            let pid = std::process::id();
            wait = match store.heartbeat(&self.me, &self.home, pid, now.after(LEASE)).await {
                Ok(()) => {
                    self.renewed_at.store(now.0, Ordering::Release);
                    RENEW
                }
                // The first thing that is written when the database is back.
                Err(error) if core.found_away(&error) => {
                    tokio::select! {
                        () = core.outage.over() => SOON,
                        () = core.tasks.work().cancelled() => return,
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the lease could not be renewed");
                    RENEW
                }
            }
        }
    }

    /// Lets others take over what this process dispatches.
    pub(crate) fn release_dispatch(&self) {
        self.release(&self.dispatch, Duty::Dispatch);
    }

    /// Lets go of everything: nothing is executed here any more.
    pub(crate) fn release_all(&self) {
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

    /// Tells whether the executor of another home has died, whose lease holds `until` a time that is over: it has
    /// had the time of a lease to renew it, with the database there. `outages` is how often that went away so far.
    pub(crate) fn has_run_out(&self, other: &ExecutorId, until: Timestamp, outages: u64) -> bool {
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        if suspects.outages != outages {
            suspects.seen.clear();
            suspects.outages = outages;
        }
        let now = clock::monotonic();
        let seen = suspects.seen.entry(other.clone()).or_insert((until, now));
        if seen.0 != until {
            *seen = (until, now);
        }
        let is_dead = now.saturating_sub(seen.1) >= LEASE;
        if !is_dead {
            self.sweep_again();
        }
        is_dead
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

impl Drop for Lease {
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
fn name_of(folder: &Path) -> Result<String, Problem> {
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

fn made_up(folder: &Path) -> Result<String, Problem> {
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
        let one = Lease::take("here", folder.path()).expect("a lease");
        let two = Lease::take("here", folder.path()).expect("a lease");
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
