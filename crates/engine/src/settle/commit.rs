//! Commits changes and tells the watchers, in this order and never the other way round.

use std::sync::Arc;
use std::time::Duration;

use muster_model::event::{Ending, Notice, pack};
use muster_model::run::Change;
use muster_model::{ErrorKind, RunKey, Transition};
use muster_queue::Message;
use muster_runtime::{Backoff, crash_point};
use muster_store::Applied;

use crate::core::{Core, EVENTS};

impl Core {
    /// Commits changes, for as long as it takes, and announces those that were applied.
    ///
    /// A database that cannot be reached is tried again until this process leaves: what a host has
    /// answered is not given up. A commit whose outcome is unknown is sent again, since each change is a
    /// compare-and-set; one that was in then comes back refused, and is announced by the sweep of its
    /// watchers.
    ///
    /// # Errors
    ///
    /// Where the store will never take the changes.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        changes: &[Transition],
    ) -> Result<Vec<Applied>, muster_store::Error> {
        self.commit_while(changes, |kind| !is_final(kind)).await
    }

    /// [`Core::commit`], tried again only after the errors that `may_pass` names.
    pub(super) async fn commit_while(
        self: &Arc<Self>,
        changes: &[Transition],
        may_pass: fn(ErrorKind) -> bool,
    ) -> Result<Vec<Applied>, muster_store::Error> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let applied = loop {
            match self.rooms.database.store.apply(changes.to_vec()).await {
                Ok(applied) => break applied,
                Err(error) if may_pass(error.kind) => {
                    if !self.found_away(&error) {
                        tracing::warn!(%error, "a commit has to be tried again");
                    }
                    tokio::select! {
                        () = self.pause(&mut backoff) => {}
                        () = self.tasks.work().cancelled() => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        };
        self.meter.applied(changes, &applied);
        log_ends(changes, &applied);
        let of = |is: fn(&Change) -> bool| changes.iter().filter(move |one| is(&one.change));
        // Once for each run, however many there are in the group.
        of(|change| matches!(change, Change::Start { .. })).for_each(|_| {
            crash_point!(StartWritten);
        });
        of(|change| matches!(change, Change::Again { .. })).for_each(|_| {
            crash_point!(AgainWritten);
        });
        of(|change| matches!(change, Change::Settle { .. })).for_each(|_| {
            crash_point!(ResultWritten);
        });
        self.announce(changes, &applied).await;
        of(|change| matches!(change, Change::Settle { .. })).for_each(|_| {
            crash_point!(ResultAnnounced);
        });
        Ok(applied)
    }

    /// Announces an output log that has grown.
    pub(crate) async fn announce_output(self: &Arc<Self>, run: RunKey, attempt: u32, from: u64, to: u64) {
        self.publish(vec![Notice::Output {
            run,
            attempt,
            from,
            to,
        }])
        .await;
    }

    async fn announce(self: &Arc<Self>, changes: &[Transition], applied: &[Applied]) {
        let mut notices = Vec::with_capacity(changes.len());
        for (change, applied) in changes.iter().zip(applied) {
            let (state, attempt, task_done) = match *applied {
                Applied::Yes {
                    state,
                    attempt,
                    task_done,
                } => (state, attempt, task_done),
                // This process had not heard how the run went on.
                Applied::No(now) => {
                    if let Some(live) = self.hub.find(change.run.task) {
                        self.correct(&live, change.run, now.state, now.attempt);
                    }
                    continue;
                }
                Applied::NoSuchRun => continue,
            };
            let ending = match &change.change {
                Change::Settle { outcome, .. } | Change::Withdraw { outcome } => {
                    Some(Box::new(Ending::from(outcome)))
                }
                Change::Start { .. } | Change::Again { .. } => None,
            };
            notices.push(Notice::Run {
                run: change.run,
                attempt,
                state,
                ending,
            });
            if task_done {
                notices.push(Notice::Done {
                    task: change.run.task,
                });
            }
        }
        if !notices.is_empty() {
            self.publish(notices).await;
        }
    }

    async fn publish(self: &Arc<Self>, mut notices: Vec<Notice>) {
        // Who waits for the database is not held up by a queue that is away as well.
        if self.queue_outage.is_on() {
            return self.take_notices(notices);
        }
        let messages = match pack(&mut notices) {
            Ok(packed) => packed.into_iter().map(|one| Message::new(one.key, one.body)),
            Err(error) => {
                tracing::error!(%error, "notices could not be written");
                return self.take_notices(notices);
            }
        };
        // Notices are hints: a watcher that misses one finds the change in the database a little later. Those of this
        // process hear it all the same.
        if let Err(error) = self.rooms.queue.publish(EVENTS, messages.collect()).await {
            if !self.found_queue_away(&error) {
                tracing::warn!(%error, "watchers could not be told");
            }
            self.take_notices(notices);
        }
    }
}

/// Says which runs ended, and how, to who wants to know that much.
fn log_ends(changes: &[Transition], applied: &[Applied]) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    for (change, applied) in changes.iter().zip(applied) {
        if let Applied::Yes { state, .. } = applied
            && state.is_terminal()
        {
            let Transition { run, attempt, .. } = change;
            tracing::debug!(task = %run.task, %run, attempt, %state, "a run has ended");
        }
    }
}

/// Tells whether the same changes will never be taken, however often they are sent.
fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Unsupported | ErrorKind::Cancelled
    )
}
