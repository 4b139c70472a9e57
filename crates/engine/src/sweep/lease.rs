//! This process's own standing among the servers of one database: its id, its locks and its lease.
//!
//! Servers of one machine go by each other's locks ([`super::locks`]). Where other machines may share the database,
//! each server also holds a lease there. An id whose lease was not renewed in time may be buried by others, and can
//! then never be renewed: its holder stops what it has in hand and goes on under a new id. So a lease that was renewed
//! proves that nobody has buried it, and one that holds by this process's own clock cannot have been buried yet.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_model::problem::Code;
use muster_model::{ExecutorId, Problem, TaskId, Timestamp};
use muster_runtime::{CancellationToken, clock, crash_point};
use tokio::sync::{Notify, watch};

use super::locks::{Locks, made_up, name_of};
use super::silence::Silence;
use crate::core::Core;
use crate::fault;

/// How long a lease in the database holds where all servers are on one machine.
const LEASE: Duration = Duration::from_secs(60);
/// How often it is renewed then, while there is something to do.
const RENEW: Duration = Duration::from_secs(20);
/// How long the name of a process is; later ids of it have more behind it.
const NAME: usize = 16;
/// How soon it is renewed when the database is back.
const SOON: Duration = Duration::from_millis(10);

/// An id under which this process works, from its first lease to its last.
pub(crate) struct Standing {
    pub(crate) id: ExecutorId,
    pub(crate) locks: Locks,
    /// Until when (milliseconds of this process's own clock) the lease holds for certain.
    holds_until: watch::Sender<u64>,
    /// Cancelled when the id was buried: what it has in hand is no longer its own.
    pub(crate) fenced: CancellationToken,
    pub(super) entered: AtomicBool,
}

impl Standing {
    fn new(id: ExecutorId, folder: &Path, leased: bool) -> Result<Self, Problem> {
        Ok(Self {
            locks: Locks::take(folder, id.clone())?,
            id,
            holds_until: watch::Sender::new(if leased { 0 } else { u64::MAX }),
            fenced: CancellationToken::new(),
            entered: AtomicBool::new(!leased),
        })
    }

    /// Tells whether the lease holds for certain: nobody can have buried this id.
    pub(crate) fn holds(&self) -> bool {
        !self.fenced.is_cancelled() && millis(clock::monotonic()) < *self.holds_until.borrow()
    }

    /// Returns true when the lease holds, at once where it does; false when the id was buried, or `leave` was
    /// cancelled.
    pub(crate) async fn secured(&self, leave: &CancellationToken) -> bool {
        let mut renewed = self.holds_until.subscribe();
        loop {
            if self.holds() {
                return true;
            }
            tokio::select! {
                biased;
                () = self.fenced.cancelled() => return false,
                () = leave.cancelled() => return false,
                changed = renewed.changed() => {
                    if changed.is_err() {
                        return false;
                    }
                }
            }
        }
    }

    /// Takes note of a renewal that was asked for at `begun`.
    pub(super) fn renewed(&self, begun: Duration, lease: Duration) {
        // What is checked shortly before the end is done a little after it: a fifth is kept for that.
        self.holds_until.send_replace(millis(begun + lease - lease / 5));
    }
}

/// Returns the name of the process that works or worked under an id.
pub(crate) fn process_of(id: &ExecutorId) -> ExecutorId {
    ExecutorId(id.0.chars().take(NAME).collect())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// This process's standing, and what it knows of others'.
pub(crate) struct Lease {
    /// The first id of this process.
    base: ExecutorId,
    home: String,
    folder: PathBuf,
    /// How long a server may be silent, where other machines may share the database.
    shared: Option<Duration>,
    standing: Mutex<Arc<Standing>>,
    lives: AtomicU64,
    renewed_at: AtomicI64,
    renewing: AtomicBool,
    alone: AtomicBool,
    /// The last sweep did not get through.
    again: AtomicBool,
    /// Tasks that were adopted and are not dispatched yet.
    adopting: Mutex<HashSet<TaskId>>,
    /// Servers that have a row.
    pub(crate) silence: Mutex<Silence>,
    /// Those of which only runs or tasks are left.
    unknown: Mutex<Silence>,
    /// Held by whoever renews the lease, so that nobody takes two new ids.
    pub(super) beating: tokio::sync::Mutex<()>,
    /// Told when another server says that somebody came or went.
    pub(super) nudged: Notify,
    /// Cancelled when this process is no longer there for others.
    pub(super) over: CancellationToken,
    /// The term in which this process leads the sweep; 0: it does not.
    pub(super) leads: AtomicI64,
}

impl Lease {
    /// Makes up an executor id and takes its locks.
    pub(crate) fn take(home: &str, folder: &Path, shared: Option<Duration>) -> Result<Self, Problem> {
        let home = format!("{home}-{}", name_of(folder)?);
        let base = ExecutorId(made_up(folder)?);
        let standing = Standing::new(base.clone(), folder, shared.is_some())?;
        Ok(Self {
            base,
            home,
            folder: folder.to_owned(),
            shared,
            standing: Mutex::new(Arc::new(standing)),
            lives: AtomicU64::new(1),
            renewed_at: AtomicI64::new(0),
            renewing: AtomicBool::new(false),
            alone: AtomicBool::new(true),
            again: AtomicBool::new(false),
            adopting: Mutex::default(),
            silence: Mutex::default(),
            unknown: Mutex::default(),
            beating: tokio::sync::Mutex::default(),
            nudged: Notify::new(),
            over: CancellationToken::new(),
            leads: AtomicI64::new(0),
        })
    }

    /// Returns the name of this process, which stays the same whatever its ids are.
    pub(crate) fn process(&self) -> &ExecutorId {
        &self.base
    }

    /// Returns the id under which this process works now.
    pub(crate) fn executor(&self) -> ExecutorId {
        self.standing().id.clone()
    }

    pub(crate) fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn home(&self) -> &str {
        &self.home
    }

    /// Returns how long ago the lease was last written; nothing while this process has no work that it is for.
    pub(crate) fn age(&self) -> Duration {
        if self.shared.is_none() && !self.renewing.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        clock::now().since(Timestamp(self.renewed_at.load(Ordering::Acquire)))
    }

    pub(super) fn note_renewal(&self, at: Timestamp) {
        self.renewed_at.store(at.0, Ordering::Release);
    }

    /// Returns how long a server may be silent, where other machines may share the database.
    pub(crate) fn shared(&self) -> Option<Duration> {
        self.shared
    }

    /// Tells whether this server does what one does for all that share the database.
    pub(crate) fn looks_after_all(&self) -> bool {
        self.shared.is_none() || self.leads.load(Ordering::Acquire) > 0
    }

    /// Takes a new id in the place of one that was buried.
    pub(super) fn begin_anew(&self) -> Result<Arc<Standing>, Problem> {
        let life = self.lives.fetch_add(1, Ordering::AcqRel) + 1;
        // Letters and digits alone, as in a lock's name.
        let id = ExecutorId(format!("{}n{life}", self.base));
        let standing = Arc::new(Standing::new(id, &self.folder, self.shared.is_some())?);
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&standing);
        Ok(standing)
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

    /// Has this process look at the others now.
    pub(crate) fn nudge(&self) {
        self.nudged.notify_one();
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
        if self.shared.is_some() {
            // It is renewed all the time; where it has run out, once more, now.
            if !self.standing().holds() {
                core.beat().await?;
            }
            return match self.standing().holds() {
                true => Ok(()),
                false => Err(Problem::new(
                    Code::Unavailable,
                    "this server has lost touch with the others that share the database",
                )
                .hint("try again, or another server: `muster cluster` lists them")),
            };
        }
        let now = clock::now();
        if now.0 - self.renewed_at.load(Ordering::Acquire) > i64::try_from(RENEW.as_micros()).unwrap_or(0) {
            self.write(core, now)
                .await
                .map_err(|error| fault::of_store(&error))?;
            self.note_renewal(now);
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

    /// Writes down that this server is there, whether it has anything to do or not.
    pub(crate) async fn sign_of_life(&self, core: &Arc<Core>) -> Result<(), Problem> {
        if self.shared.is_some() {
            return core.beat().await;
        }
        self.write(core, clock::now())
            .await
            .map_err(|error| fault::of_store(&error))
    }

    async fn write(&self, core: &Core, now: Timestamp) -> Result<(), muster_store::Error> {
        let store = &core.rooms.database.store;
        let pid = std::process::id();
        store
            .heartbeat(&self.executor(), &self.home, pid, now.after(LEASE))
            .await
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
            wait = match self.write(core, now).await {
                Ok(()) => {
                    self.note_renewal(now);
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
        self.standing().locks.release_dispatch();
    }

    /// Lets go of everything: nothing is executed here any more, and nobody is told.
    pub(crate) fn release_all(&self) {
        self.over.cancel();
        self.standing().locks.release_all();
    }

    /// Tells whether the executor of another home has died that has no row: it has had the time of a lease to renew
    /// it, with the database there. `outages` is how often that went away so far.
    pub(crate) fn has_run_out(&self, other: &ExecutorId, until: Timestamp, outages: u64) -> bool {
        let mut silence = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let most = self.shared.map_or(LEASE, |lease| lease * 2 / 5);
        let silent = silence.look(other, until, outages, clock::monotonic(), most);
        let is_dead = silent >= LEASE;
        if !is_dead {
            self.sweep_again();
        }
        is_dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_holds_for_a_while_after_its_renewal_was_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let shared = Some(Duration::from_secs(10));
        let lease = Lease::take("here", folder.path(), shared).expect("a lease");
        let standing = lease.standing();
        assert!(!standing.holds(), "it was never renewed");
        standing.renewed(clock::monotonic(), Duration::from_secs(10));
        assert!(standing.holds());
        clock::sleep(Duration::from_millis(7_900)).await;
        assert!(standing.holds());
        clock::sleep(Duration::from_millis(200)).await;
        assert!(!standing.holds(), "what begins now might come too late");
        let leave = CancellationToken::new();
        let renew = async {
            clock::sleep(Duration::from_secs(1)).await;
            standing.renewed(clock::monotonic(), Duration::from_secs(10));
        };
        let (secured, ()) = tokio::join!(standing.secured(&leave), renew);
        assert!(secured);
        standing.fenced.cancel();
        assert!(!standing.holds() && !standing.secured(&leave).await);
        let anew = lease.begin_anew().expect("another standing");
        assert!(anew.id != standing.id && lease.executor() == anew.id);
        assert!(
            anew.locks
                .is_dead(&standing.id, super::super::locks::Duty::Execute)
                || {
                    standing.locks.release_all();
                    anew.locks
                        .is_dead(&standing.id, super::super::locks::Duty::Execute)
                }
        );
    }
}
