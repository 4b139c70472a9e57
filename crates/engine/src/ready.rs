//! Whether this server takes work: for probes, which come often, from anywhere, and must neither cost nor hang.

use std::sync::Arc;
use std::time::Duration;

use muster_model::wire::{NotReady, Readiness};
use muster_model::{ErrorKind, Role, Timestamp};
use muster_runtime::clock;
use tokio::sync::Mutex;

use crate::core::{Core, WORK};

/// How long a back end has to answer.
const ANSWER: Duration = Duration::from_secs(1);
/// What was found is good for so long, however many ask.
const FRESH: Duration = Duration::from_secs(1);

/// What was found last.
#[derive(Default)]
pub(crate) struct Looked(Mutex<Last>);

#[derive(Default)]
struct Last {
    /// On the process's own clock.
    at: Option<Duration>,
    failing: Vec<NotReady>,
    draining_since: Option<Timestamp>,
}

impl Core {
    /// Tells whether this server takes work, and what fails. One that takes tasks needs the database for that and
    /// nothing else: without the queue they are written down all the same, and wait. One that executes alone has nothing
    /// to do then. At most one look is under way at a time, and
    /// whoever asks meanwhile gets what it finds: nobody waits for longer than one look takes.
    pub(crate) async fn readiness(self: &Arc<Self>) -> Readiness {
        let mut last = self.looked.0.lock().await;
        let is_fresh = last
            .at
            .is_some_and(|at| clock::monotonic().saturating_sub(at) < FRESH);
        if !is_fresh {
            let (database, queue) = tokio::join!(self.database_fails(), self.queue_fails());
            let found = [("database", database), ("queue", queue)];
            let failing = found.into_iter().filter_map(|(part, why)| {
                let since = last.failing.iter().find(|known| known.part == part);
                Some(NotReady {
                    part: part.to_owned(),
                    why: why?.to_owned(),
                    since: since.map_or_else(muster_runtime::now, |known| known.since),
                })
            });
            last.failing = failing.collect();
            last.at = Some(clock::monotonic());
        }
        let mut failing = last.failing.clone();
        // This costs nothing to know, and is never old.
        if self.tasks.intake().is_cancelled() {
            let since = *last.draining_since.get_or_insert_with(muster_runtime::now);
            failing.push(NotReady {
                part: "server".to_owned(),
                why: "it finishes what it has started, and takes no new work".to_owned(),
                since,
            });
        }
        let does_without = |part: &NotReady| part.part == "queue" && self.settings.roles.has(Role::Api);
        Readiness {
            ready: failing.iter().all(does_without),
            failing,
        }
    }

    /// Returns what is wrong with the database. Nothing of its own words: they may name what not everybody may know.
    async fn database_fails(self: &Arc<Self>) -> Option<&'static str> {
        if self.outage.is_on() {
            return Some("it does not answer");
        }
        match clock::deadline(ANSWER, self.rooms.database.store.ping()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) if self.found_away(&error) => Some("it does not answer"),
            Ok(Err(error)) if error.kind == ErrorKind::Conflict => {
                Some("its schema is not the one of this version")
            }
            Ok(Err(_)) => Some("it cannot be used: `muster doctor` says why"),
            Err(clock::Elapsed) => Some("it did not answer in time"),
        }
    }

    /// Returns what is wrong with the queue: it has to have the queue of work.
    async fn queue_fails(&self) -> Option<&'static str> {
        if self.queue_outage.is_on() {
            return Some("it does not answer");
        }
        match clock::deadline(ANSWER, self.rooms.queue.depth(WORK)).await {
            Ok(Ok(_)) => None,
            Ok(Err(_)) => Some("it cannot be used: `muster doctor` says why"),
            Err(clock::Elapsed) => Some("it did not answer in time"),
        }
    }
}
