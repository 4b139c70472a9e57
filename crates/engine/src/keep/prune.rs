//! Removing what is kept too long, or is too much.

use std::sync::Arc;
use std::time::Duration;

use muster_model::Timestamp;
use muster_runtime::clock;
use muster_store::retention::{Removed, prune};
use muster_store::types::retention::Limits;

use crate::core::Core;

/// A server looks for the first time when it has been there for so long,
const FIRST: Duration = Duration::from_secs(10);
/// and then so often.
const EVERY: Duration = Duration::from_secs(3600);

/// How long finished tasks and their output are kept, and how much output. None: without a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Tasks, with all that they have.
    pub tasks: Option<Duration>,
    /// Output.
    pub output: Option<Duration>,
    /// All output together, in bytes; the oldest goes first.
    pub output_bytes: Option<u64>,
}

impl Keep {
    /// Returns what is kept at a time.
    #[must_use]
    pub fn limits(&self, now: Timestamp) -> Limits {
        Limits {
            tasks_before: self.tasks.map(|age| now.before(age)),
            outputs_before: self.output.map(|age| now.before(age)),
            outputs_bytes: self.output_bytes,
        }
    }
}

impl Core {
    /// Removes what is due, now and then, until this process takes no new work.
    pub(crate) async fn keep_pruning(self: Arc<Self>) {
        let mut wait = FIRST;
        loop {
            tokio::select! {
                () = clock::sleep(wait) => {}
                () = self.tasks.intake().cancelled() => return,
            }
            wait = EVERY;
            if !self.lease.looks_after_all() {
                continue;
            }
            tokio::select! {
                pruned = self.prune() => match pruned {
                    Ok(removed) if removed.is_nothing() => {}
                    Ok(removed) => tracing::info!(
                        tasks = removed.tasks,
                        outputs = removed.outputs,
                        bytes = removed.bytes,
                        shared = removed.shared,
                        "removed what is not kept any longer"
                    ),
                    Err(error) if self.found_away(&error) => wait = FIRST,
                    Err(error) => tracing::warn!(%error, "what is not kept any longer could not be removed"),
                },
                // What was begun is due again with the next server.
                () = self.tasks.intake().cancelled() => return,
            }
        }
    }

    /// Removes what is due.
    pub(crate) async fn prune(&self) -> Result<Removed, muster_store::Error> {
        let now = clock::now();
        let limits = self.settings.keep.limits(now);
        prune(self.rooms.database.retention.as_ref(), limits, now, &|_| {}).await
    }
}
