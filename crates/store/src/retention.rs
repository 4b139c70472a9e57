//! Removing whatever is due, until nothing is.

use std::time::Duration;

use muster_model::{ErrorKind, Timestamp};
use muster_runtime::Tasks;

use crate::error::Error;
use crate::open::{Opened, Place, open, parse};
use crate::port::Retention;
use crate::types::retention::{Due, Limits, Part};

/// How long what runs for a database may take to end.
const CLOSE: Duration = Duration::from_secs(5);
/// How much is looked for at a time.
const AT_ONCE: u32 = 500;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Tasks, with all that they had.
    pub tasks: u64,
    /// Tasks of which the output was removed and the rest is kept.
    pub outputs: u64,
    /// What their output took, in bytes; what was shared is left out.
    pub bytes: u64,
    /// Pieces of shared output that no run had any more.
    pub shared: u64,
}

impl Removed {
    /// Tells whether that is nothing at all.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Removes what is due from the database that `url` names, as [`prune`] does; servers may be at work on it.
///
/// # Errors
///
/// As [`crate::open()`] and [`Retention`]; `NotFound` for a file that is not there.
pub async fn prune_at(
    url: &str,
    limits: Limits,
    now: Timestamp,
    told: &(dyn Fn(&Due) + Sync),
) -> Result<Removed, Error> {
    let (tasks, opened) = open_existing(url).await?;
    let removed = prune(opened.retention.as_ref(), limits, now, told).await;
    close(tasks, opened).await;
    removed
}

/// Returns what [`prune_at`] would remove, the oldest first. Changes nothing.
///
/// # Errors
///
/// Those of [`prune_at`].
pub async fn due_at(url: &str, limits: Limits, now: Timestamp) -> Result<Vec<Due>, Error> {
    let (tasks, opened) = open_existing(url).await?;
    let due = opened.retention.due(limits, now, u32::MAX).await;
    close(tasks, opened).await;
    due
}

async fn open_existing(url: &str) -> Result<(Tasks, Opened), Error> {
    if let Place::File(path) = parse(url)?
        && !path.exists()
    {
        let what = format!("open {}: there is no such file", path.display());
        return Err(Error::new(ErrorKind::NotFound, what));
    }
    let tasks = Tasks::new();
    let opened = open(url, &tasks).await?;
    Ok((tasks, opened))
}

async fn close(tasks: Tasks, opened: Opened) {
    opened.store.close().await;
    drop(opened);
    tasks.close(CLOSE).await;
}

/// Removes what is due, the oldest first, and then what was shared and is not any more. Dropped half-way, what was
/// begun is due again.
///
/// # Errors
///
/// As [`Retention`]; what was removed before stays so.
pub async fn prune(
    port: &dyn Retention,
    limits: Limits,
    now: Timestamp,
    told: &(dyn Fn(&Due) + Sync),
) -> Result<Removed, Error> {
    let mut removed = Removed::default();
    loop {
        let mut went_on = false;
        for due in port.due(limits, now, AT_ONCE).await? {
            // Somebody may hold it now, or have removed it.
            if !port.remove(&due, now).await? {
                continue;
            }
            went_on = true;
            match due.part {
                Part::Task => removed.tasks += 1,
                Part::Output => removed.outputs += 1,
            }
            removed.bytes += due.bytes;
            told(&due);
        }
        if !went_on {
            break;
        }
    }
    removed.shared = port.remove_unshared().await?;
    Ok(removed)
}
