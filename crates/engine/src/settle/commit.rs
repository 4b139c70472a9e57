//! Commits changes and tells the watchers, in this order and never the other way round.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_model::event::{Ending, Notice};
use muster_model::run::Change;
use muster_model::{ErrorKind, Options, Outcome, RunKey, RunState, Transition};
use muster_queue::Message;
use muster_runtime::{Backoff, clock, crash_point};
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
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let applied = loop {
            match self.rooms.database.store.apply(changes.to_vec()).await {
                Ok(applied) => break applied,
                Err(error) if !is_final(error.kind) => {
                    tracing::warn!(%error, "a commit has to be tried again");
                    tokio::select! {
                        () = clock::sleep(backoff.step()) => {}
                        () = self.tasks.work().cancelled() => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        };
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
    pub(crate) async fn announce_output(&self, run: RunKey, attempt: u32, from: u64, to: u64) {
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
                Change::Settle { outcome, .. } => Some(Box::new(Ending::from(outcome))),
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

    async fn publish(&self, notices: Vec<Notice>) {
        let mut messages = Vec::with_capacity(notices.len());
        for notice in notices {
            match serde_json::to_vec(&notice) {
                Ok(body) => messages.push(Message::new(notice.routing_key(), body)),
                Err(error) => tracing::error!(%error, "a notice could not be written"),
            }
        }
        // Notices are hints: a watcher that misses one finds the change in the database a little later.
        if let Err(error) = self.rooms.queue.publish(EVENTS, messages).await {
            tracing::warn!(%error, "watchers could not be told");
        }
    }
}

/// Tells whether the same changes will never be taken, however often they are sent.
pub(super) fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Unsupported | ErrorKind::Cancelled
    )
}

/// Decides whether a run that did not succeed is tried again, and returns the change.
///
/// It is tried again while the task has retries left; and, where the task has an expiry, a host that may
/// come back is tried until then. A task that was cancelled tries nothing again.
pub(crate) fn again_or_settle(
    options: &Options,
    attempt: u32,
    cancelled: bool,
    outcome: Outcome,
    output: Option<Bytes>,
) -> Change {
    let failed = !matches!(outcome.state, RunState::Succeeded | RunState::Cancelled);
    let in_retries = failed && outcome.state != RunState::Expired && attempt <= options.retries;
    let waits_for_host = outcome.state == RunState::Unreachable
        && options.expires_at.is_some()
        && outcome.reason.is_some_and(muster_model::Unreachable::may_pass);
    if !cancelled && (in_retries || waits_for_host) {
        Change::Again { outcome }
    } else {
        Change::Settle { outcome, output }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Timestamp, Unreachable};

    use super::*;

    fn is_again(change: &Change) -> bool {
        matches!(change, Change::Again { .. })
    }

    #[test]
    fn a_failed_run_is_tried_again_while_retries_are_left() {
        let options = Options {
            retries: 2,
            ..Options::default()
        };
        let failed = || Outcome::plain(RunState::Failed, None);
        assert!(is_again(&again_or_settle(&options, 1, false, failed(), None)));
        assert!(is_again(&again_or_settle(&options, 2, false, failed(), None)));
        assert!(!is_again(&again_or_settle(&options, 3, false, failed(), None)));
        assert!(!is_again(&again_or_settle(
            &Options::default(),
            1,
            false,
            failed(),
            None
        )));
    }

    #[test]
    fn a_cancelled_task_tries_nothing_again() {
        let options = Options {
            retries: 9,
            ..Options::default()
        };
        let lost = Outcome::plain(RunState::Lost, None);
        assert!(!is_again(&again_or_settle(&options, 1, true, lost, None)));
    }

    #[test]
    fn success_and_cancel_are_never_tried_again() {
        let options = Options {
            retries: 9,
            expires_at: Some(Timestamp(1)),
            ..Options::default()
        };
        for state in [RunState::Succeeded, RunState::Cancelled, RunState::Expired] {
            assert!(
                !is_again(&again_or_settle(
                    &options,
                    1,
                    false,
                    Outcome::plain(state, None),
                    None
                )),
                "{state}"
            );
        }
    }

    #[test]
    fn a_host_that_may_come_back_is_tried_until_the_task_expires() {
        let options = Options {
            expires_at: Some(Timestamp(1)),
            ..Options::default()
        };
        let refused = Outcome::unreachable(Unreachable::Refused, String::new());
        let changed = Outcome::unreachable(Unreachable::HostKeyChanged, String::new());
        assert!(is_again(&again_or_settle(&options, 7, false, refused, None)));
        assert!(!is_again(&again_or_settle(&options, 7, false, changed, None)));
    }
}
