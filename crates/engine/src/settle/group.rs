//! Commits changes of many runs together: one write to the database, one publish of notices and one
//! acknowledgement for all that gathered while the groups before were on their way.
//!
//! A change that finds nobody at work is a group of its own, unless changes come so fast that it has company in a
//! moment ([`Pace`]). A caller that goes away takes nothing back: a change that was handed over is committed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use muster_model::run::Change;
use muster_model::{ErrorKind, RunState, Transition};
use muster_runtime::{clock, crash_point};
use muster_store::{Applied, Error};
use tokio::sync::oneshot;

use super::pace::Pace;
use crate::core::Core;
use crate::execute::Receipt;

/// Groups that are on their way at a time: while one is written, the other is announced.
const COMMITTERS: usize = 2;
/// A group takes no further change once it has so many.
const GROUP_CHANGES: usize = 1000;
/// A group takes no further change once it carries so many bytes of output.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// The answer to one change; an error belongs to all changes of its group.
type Answer = Result<Applied, Arc<Error>>;

/// The changes that wait for a group. Each is of a run in this process's hands: they are no more than its
/// slots.
#[derive(Default)]
pub(crate) struct Gathering {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Call>,
    committers: usize,
    pace: Pace,
}

struct Call {
    change: Transition,
    caller: Caller,
}

/// Who waits for the end of a change.
struct Caller {
    receipt: Option<Receipt>,
    answer: oneshot::Sender<Answer>,
}

impl Gathering {
    /// Adds a call; tells whether a committer is to be started for it.
    fn add(&self, call: Call) -> bool {
        let mut state = self.lock();
        state.waiting.push_back(call);
        let start = state.committers < COMMITTERS;
        state.committers += usize::from(start);
        start
    }

    /// Returns how long the next group waits for company, with so many runs in hand.
    fn pause(&self, in_hand: u64) -> Option<Duration> {
        let state = self.lock();
        state.pace.pause(state.waiting.len(), in_hand, clock::monotonic())
    }

    /// Returns the next group; where there is none, the committer that asks has ended.
    fn next_group(&self) -> Option<Vec<Call>> {
        let mut state = self.lock();
        let mut group = Vec::with_capacity(state.waiting.len().min(GROUP_CHANGES));
        let mut bytes = 0;
        while group.len() < GROUP_CHANGES && bytes < GROUP_BYTES {
            let Some(call) = state.waiting.pop_front() else {
                break;
            };
            bytes += output_bytes(&call.change);
            group.push(call);
        }
        if group.is_empty() {
            state.committers -= 1;
            return None;
        }
        state.pace.note(group.len(), clock::monotonic());
        Some(group)
    }

    /// A committer ended in the middle (a fault of ours). Without another, the callers are not left waiting:
    /// they hear that nobody knows.
    fn abandon(&self) {
        let mut state = self.lock();
        state.committers -= 1;
        if state.committers == 0 {
            state.waiting.clear();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn output_bytes(change: &Transition) -> usize {
    match &change.change {
        Change::Settle { output, .. } => output.as_ref().map_or(0, Bytes::len),
        Change::Start { .. } | Change::Again { .. } | Change::Withdraw { .. } => 0,
    }
}

/// A committer at work; see [`Gathering::abandon`].
struct AtWork<'a> {
    gathering: &'a Gathering,
    ended: bool,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.gathering.abandon();
        }
    }
}

impl Core {
    /// Commits one change in a group with those of other runs, announces it where it was applied, then
    /// acknowledges `receipt`, whether it was applied or not.
    ///
    /// # Errors
    ///
    /// Those of [`Core::commit`].
    pub(crate) async fn commit_one(self: &Arc<Self>, change: Transition, receipt: Option<Receipt>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let caller = Caller { receipt, answer };
        let call = Call { change, caller };
        if self.gathering.add(call) {
            let core = Arc::clone(self);
            self.tasks
                .spawn("commit", async move { core.commit_groups().await });
        }
        answered.await.unwrap_or_else(|_| {
            let why = "the committer ended unexpectedly";
            Err(Arc::new(
                Error::new(ErrorKind::OutcomeUnknown, "commit").caused_by(why),
            ))
        })
    }

    async fn commit_groups(self: &Arc<Self>) {
        let mut at_work = AtWork {
            gathering: &self.gathering,
            ended: false,
        };
        loop {
            if let Some(pause) = self.gathering.pause(self.active.count()) {
                clock::sleep(pause).await;
            }
            let Some(group) = self.gathering.next_group() else {
                break;
            };
            self.commit_group(group).await;
        }
        at_work.ended = true;
    }

    /// Commits changes of different callers together. Where the database is there and does not take them, each is
    /// tried on its own: one that is wrong is not the others' fault.
    async fn commit_group(self: &Arc<Self>, group: Vec<Call>) {
        let (changes, callers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|call| (call.change, call.caller)).unzip();
        let several = changes.len() > 1;
        match self.commit_while(&changes, ErrorKind::may_pass).await {
            Ok(applied) => {
                let answers = applied.into_iter().map(Ok).collect();
                self.answer(&changes, callers, answers).await;
            }
            Err(error) if error.kind.may_pass() => {
                let error = Arc::new(error);
                let answers = changes.iter().map(|_| Err(Arc::clone(&error))).collect();
                self.answer(&changes, callers, answers).await;
            }
            Err(_) if several => {
                for (change, caller) in changes.into_iter().zip(callers) {
                    Box::pin(self.commit_group(vec![Call { change, caller }])).await;
                }
            }
            // It has all the time that it needs, without holding up the groups behind it.
            Err(_) => {
                let core = Arc::clone(self);
                self.tasks.spawn("commit alone", async move {
                    let answers = match core.commit(&changes).await {
                        Ok(applied) => applied.into_iter().map(Ok).collect(),
                        Err(error) => vec![Err(Arc::new(error))],
                    };
                    core.answer(&changes, callers, answers).await;
                });
            }
        }
    }

    /// Acknowledges what was delivered for the changes, and answers their callers.
    async fn answer(&self, changes: &[Transition], mut callers: Vec<Caller>, answers: Vec<Answer>) {
        changes.iter().filter(|one| is_unreached(one)).for_each(|_| {
            crash_point!(UnreachedSettled);
        });
        let receipts = callers.iter_mut().filter_map(|caller| caller.receipt.take());
        Receipt::ack_all(receipts.collect()).await;
        for (caller, answer) in callers.into_iter().zip(answers) {
            // Nobody may be waiting any more: what was done stays done.
            let _ = caller.answer.send(answer);
        }
    }
}

/// Tells whether an attempt ends because its host was not reached.
fn is_unreached(change: &Transition) -> bool {
    match &change.change {
        Change::Settle { outcome, .. } | Change::Again { outcome } => outcome.state == RunState::Unreachable,
        Change::Start { .. } | Change::Withdraw { .. } => false,
    }
}

#[cfg(test)]
mod tests;
