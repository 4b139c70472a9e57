//! The port of what is kept, and for how long.

use async_trait::async_trait;
use muster_model::{TaskId, Timestamp};

use crate::error::Error;
use crate::types::retention::{Due, Limits};

/// What of finished tasks is kept, and removing what is not. Tasks that are not done are never touched.
///
/// Removing is done in steps, each a short transaction between those of others. One that was interrupted is due
/// again, and goes on where it was. Several servers may do it at the same time.
#[async_trait]
pub trait Retention: Send + Sync + 'static {
    /// Says that somebody reads a finished task's output until then; false where there is no such task any more.
    /// Before that time neither the task nor its output is removed, by whichever server; an earlier time changes
    /// nothing.
    async fn hold(&self, task: TaskId, until: Timestamp) -> Result<bool, Error>;

    /// Returns what is due to be removed, by the tasks' ends, at most `most`: what was begun, then what is too old,
    /// then the oldest output that is too much. Leaves out what is held, and what ended within
    /// [`crate::types::retention::FRESH`]. Changes nothing.
    async fn due(&self, limits: Limits, now: Timestamp, most: u32) -> Result<Vec<Due>, Error>;

    /// Removes what a due says; false where it is not to be removed any more: somebody holds it, or it is gone. From
    /// the first moment on a task that is being removed is not to be found, and of output that is being removed its
    /// task says so ([`muster_model::TaskRecord::outputs_removed_at`]).
    async fn remove(&self, due: &Due, now: Timestamp) -> Result<bool, Error>;

    /// Removes shared output that no run has any more; returns how many pieces that were.
    async fn remove_unshared(&self) -> Result<u64, Error>;
}
