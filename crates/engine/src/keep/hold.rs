//! Holding a finished task while somebody reads its output.
//!
//! The hold stands in the database, where every server sees it that may remove something. A task that has ended lately
//! needs none: nobody removes it for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_model::{Problem, TaskId, TaskRecord};
use muster_runtime::clock;
use muster_store::types::retention::FRESH;

use crate::core::Core;
use crate::fault;

/// How long a hold lasts. The clocks of servers that share a database may differ by half of it.
const HOLD: Duration = Duration::from_secs(600);
/// A hold that has less left than this is taken anew.
const RENEW: Duration = Duration::from_secs(300);
/// So many are remembered; what is forgotten is written once more.
const REMEMBERED: usize = 1024;

/// Until when (on this process's own clock) tasks are held that were read lately.
#[derive(Default)]
pub(crate) struct Holds(Mutex<HashMap<TaskId, Duration>>);

impl Holds {
    fn until(&self, task: TaskId) -> Option<Duration> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&task)
            .copied()
    }

    fn note(&self, task: TaskId, until: Duration) {
        let mut holds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if holds.len() >= REMEMBERED {
            let now = clock::monotonic();
            holds.retain(|_, until| *until > now);
            if holds.len() >= REMEMBERED {
                holds.clear();
            }
        }
        holds.insert(task, until);
    }
}

/// A task that stays while somebody reads it, as long as [`Held::renew`] is called between reads.
pub(crate) struct Held {
    core: Arc<Core>,
    task: TaskId,
    /// Until when (on this process's own clock) nothing is to be done.
    until: Duration,
}

impl Held {
    /// Sees to it that the task stays a while longer.
    ///
    /// # Errors
    ///
    /// `unknown-task` where it is gone.
    pub(crate) async fn renew(&mut self) -> Result<(), Problem> {
        if clock::monotonic() > self.until {
            self.until = self.core.hold(self.task).await?;
        }
        Ok(())
    }
}

impl Core {
    /// Returns a task whose output is to be read, as it stands while it is held.
    ///
    /// # Errors
    ///
    /// `unknown-task`.
    pub(crate) async fn held(self: &Arc<Self>, id: TaskId) -> Result<(TaskRecord, Held), Problem> {
        let task = self.task(id).await?;
        let held = |until| Held {
            core: Arc::clone(self),
            task: id,
            until,
        };
        let lately = clock::now().before(FRESH / 2);
        if task.finished_at.is_none_or(|finished_at| finished_at > lately) {
            return Ok((task, held(clock::monotonic() + FRESH / 2)));
        }
        let until = self.hold(id).await?;
        // What was removed before the hold is removed; nothing is from now on.
        Ok((self.task(id).await?, held(until)))
    }

    /// Holds a finished task; returns until when that needs no renewal.
    async fn hold(&self, id: TaskId) -> Result<Duration, Problem> {
        let now = clock::monotonic();
        if let Some(until) = self.holds.until(id).filter(|until| *until > now) {
            return Ok(until);
        }
        let retention = &self.rooms.database.retention;
        let held = retention.hold(id, clock::now().after(HOLD)).await;
        if !held.map_err(|error| fault::of_store(&error))? {
            return Err(fault::no_such_task(id));
        }
        let until = now + (HOLD - RENEW);
        self.holds.note(id, until);
        Ok(until)
    }
}
