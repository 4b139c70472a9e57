//! What every part of the engine shares.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use muster_model::wire::Secrets;
use muster_model::{ExecutorId, Problem, RunKey, TaskId, Timestamp};
use muster_runtime::Tasks;
use tokio::sync::{Notify, Semaphore};

use crate::dispatch::Others;
use crate::engine::{Rooms, Settings};
use crate::follow::{Hub, LiveTask};
use crate::inventory::{InMemory, Shelf};
use crate::keep::Holds;
use crate::meter::Meter;
use crate::outage::Outage;
use crate::ready::Looked;
use crate::settle::Gathering;
use crate::sweep::Lease;
use crate::together::Together;
use crate::vault::Vault;

/// The exchange and the queue of work.
pub(crate) const WORK: &str = "muster.work";
/// The topic exchange of notices.
pub(crate) const EVENTS: &str = "muster.events";
/// The fanout exchange of what every process is to hear at once: cancels (the task's number), and that a server came
/// or went (nothing).
pub(crate) const CANCELS: &str = "muster.cancels";

/// What every part of the engine shares.
pub(crate) struct Core {
    pub(crate) rooms: Rooms,
    pub(crate) settings: Settings,
    pub(crate) tasks: Tasks,
    /// The name of this process. What it works under in the database is [`Lease::executor`].
    pub(crate) me: ExecutorId,
    pub(crate) since: Timestamp,
    pub(crate) hub: Hub,
    pub(crate) lease: Lease,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) active: Active,
    /// Who else takes work.
    pub(crate) others: Others,
    pub(crate) gathering: Gathering,
    /// The database's.
    pub(crate) outage: Outage,
    pub(crate) meter: Meter,
    pub(crate) looked: Looked,
    pub(crate) queue_outage: Outage,
    pub(crate) vault: Vault,
    pub(crate) copy: InMemory,
    pub(crate) facts: Shelf,
    pub(crate) holds: Holds,
    /// Tasks that runs of them bring to this process.
    pub(crate) loading: Together<TaskId, Result<Option<Arc<LiveTask>>, Problem>>,
    secrets: Mutex<HashMap<TaskId, Secrets>>,
    /// Attempts in hand, and whether each has started.
    claims: Mutex<HashMap<(RunKey, u32), bool>>,
}

impl Core {
    /// Claims an attempt of a run for the caller.
    ///
    /// # Errors
    ///
    /// Where somebody in this process has it already; with whether it has started.
    pub(crate) fn claim(&self, run: RunKey, attempt: u32) -> Result<(), bool> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        match claims.entry((run, attempt)) {
            Entry::Occupied(held) => Err(*held.get()),
            Entry::Vacant(free) => {
                free.insert(false);
                Ok(())
            }
        }
    }

    /// Notes that a claimed attempt has started: it is not put back any more.
    pub(crate) fn note_started(&self, run: RunKey, attempt: u32) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(started) = claims.get_mut(&(run, attempt)) {
            *started = true;
        }
    }

    /// Tells whether this process has an attempt in hand.
    pub(crate) fn is_in_hand(&self, run: RunKey, attempt: u32) -> bool {
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.contains_key(&(run, attempt))
    }

    /// Gives a claim up.
    pub(crate) fn unclaim(&self, run: RunKey, attempt: u32) {
        self.claims
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(run, attempt));
    }

    pub(crate) fn new(rooms: Rooms, settings: Settings, tasks: Tasks, lease: Lease) -> Self {
        let slots = Arc::new(Semaphore::new(settings.slots.max(1)));
        let vault = Vault::new(Arc::clone(&rooms.database.vault), settings.vault.clone());
        Self {
            rooms,
            meter: Meter::new(tasks.meters()),
            looked: Looked::default(),
            tasks,
            vault,
            me: lease.process().clone(),
            since: muster_runtime::now(),
            hub: Hub::default(),
            lease,
            slots,
            active: Active::default(),
            others: Others::default(),
            gathering: Gathering::default(),
            outage: Outage::default(),
            queue_outage: Outage::default(),
            copy: InMemory::default(),
            facts: Shelf::default(),
            holds: Holds::default(),
            loading: Together::default(),
            secrets: Mutex::default(),
            claims: Mutex::default(),
            settings,
        }
    }

    /// Keeps the secrets of a task until it is done.
    pub(crate) fn keep_secrets(&self, task: TaskId, secrets: Secrets) {
        if secrets != Secrets::default() {
            self.secrets
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(task, secrets);
        }
    }

    /// Returns the secrets of a task; none where there are none or they are gone.
    pub(crate) fn secrets(&self, task: TaskId) -> Secrets {
        let all = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&task).cloned().unwrap_or_default()
    }

    /// Forgets the secrets of a task.
    pub(crate) fn forget_secrets(&self, task: TaskId) {
        self.secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&task);
    }
}

/// Counts the runs that this process has in hand, and tells when there are none.
#[derive(Default)]
pub(crate) struct Active {
    count: AtomicU64,
    none: Notify,
}

impl Active {
    /// Counts one more until the guard is dropped.
    pub(crate) fn enter(core: &Arc<Core>) -> ActiveGuard {
        core.active.count.fetch_add(1, Ordering::AcqRel);
        ActiveGuard(Arc::clone(core))
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Returns when there are none.
    pub(crate) async fn none(&self) {
        loop {
            let notified = self.none.notified();
            if self.count() == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// See [`Active::enter`].
pub(crate) struct ActiveGuard(Arc<Core>);

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        if self.0.active.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.active.none.notify_waiters();
        }
    }
}
