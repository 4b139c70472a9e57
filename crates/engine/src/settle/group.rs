//! Commits changes of many runs together: one write to the database, one publish of notices and one
//! acknowledgement for all that gathered while the groups before were on their way.
//!
//! There is no delay: a change that finds nobody at work is a group of its own. A caller that goes away takes
//! nothing back: a change that was handed over is committed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use muster_model::run::Change;
use muster_model::{ErrorKind, RunState, Transition};
use muster_runtime::crash_point;
use muster_store::{Applied, Error};
use tokio::sync::oneshot;

use super::commit::is_final;
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
}

struct Call {
    change: Transition,
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
        let call = Call {
            change,
            receipt,
            answer,
        };
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
        while let Some(group) = self.gathering.next_group() {
            self.commit_group(group).await;
        }
        at_work.ended = true;
    }

    async fn commit_group(self: &Arc<Self>, group: Vec<Call>) {
        let mut changes = Vec::with_capacity(group.len());
        let mut receipts = Vec::with_capacity(group.len());
        let mut callers = Vec::with_capacity(group.len());
        for call in group {
            changes.push(call.change);
            receipts.extend(call.receipt);
            callers.push(call.answer);
        }
        let answers = self.commit_each(&changes).await;
        changes.iter().filter(|one| is_unreached(one)).for_each(|_| {
            crash_point!(UnreachedSettled);
        });
        Receipt::ack_all(receipts).await;
        for (caller, answer) in callers.into_iter().zip(answers) {
            // Nobody may be waiting any more: what was done stays done.
            let _ = caller.send(answer);
        }
    }

    /// Commits changes of different callers. Where the database will never take them all, each is tried on its
    /// own: one that is wrong is not the others' fault.
    async fn commit_each(self: &Arc<Self>, changes: &[Transition]) -> Vec<Answer> {
        let several = changes.len() > 1;
        match self.commit(changes).await {
            Ok(applied) => applied.into_iter().map(Ok).collect(),
            Err(error) if several && is_final(error.kind) => {
                let mut answers = Vec::with_capacity(changes.len());
                for change in changes {
                    let applied = self.commit(std::slice::from_ref(change)).await;
                    answers.push(only(applied));
                }
                answers
            }
            Err(error) => {
                let error = Arc::new(error);
                changes.iter().map(|_| Err(Arc::clone(&error))).collect()
            }
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

/// Returns the answer to the one change of a commit.
fn only(applied: Result<Vec<Applied>, Error>) -> Answer {
    let missing = || Error::new(ErrorKind::Internal, "commit").caused_by("a change was not answered");
    applied
        .and_then(|applied| applied.first().copied().ok_or_else(missing))
        .map_err(Arc::new)
}

#[cfg(test)]
mod tests;
