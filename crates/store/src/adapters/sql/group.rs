//! What a group of changes makes of the runs and tasks that it is about: the rule, without the database.

use std::collections::BTreeMap;

use bytes::Bytes;
use muster_model::run::{Change, decide};
use muster_model::{ExecutorId, Outcome, RunKey, RunState, TaskId, Timestamp, Transition};

use super::record::bytes_counted;
use muster_model::run::Applied;

/// A log counts as no more than this, whatever its host claims to have written: the sum over a task has 63 bits.
const MOST_KEPT: u64 = 1 << 40;

/// A run as far as changes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) state: RunState,
    pub(crate) attempt: u32,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) executor: Option<ExecutorId>,
    /// How and when it ended; a run that is not terminal has none.
    pub(crate) end: Option<(Outcome, Timestamp)>,
    pub(crate) changed: bool,
}

/// What changes on a task's row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How many runs are open.
    pub(crate) open: i64,
    /// Secrets were given with it.
    pub(crate) sealed: bool,
    /// What each state's count gains or loses, in the order of [`RunState::ALL`].
    pub(crate) gains: [i64; RunState::ALL.len()],
    /// What it keeps more of, in bytes.
    pub(crate) kept: i64,
    /// When its last run became terminal.
    pub(crate) finished_at: Option<Timestamp>,
}

/// An attempt that goes into the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) run: RunKey,
    pub(crate) attempt: u32,
    pub(crate) at: Timestamp,
    pub(crate) outcome: Outcome,
}

/// The runs and tasks of a group, and what is to be written about them.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) runs: BTreeMap<RunKey, Run>,
    pub(crate) tasks: BTreeMap<TaskId, Tally>,
    pub(crate) past: Vec<Past>,
    pub(crate) outputs: Vec<(RunKey, u32, Bytes)>,
}

impl Group {
    /// Applies one change; changes of the same run come in their order.
    pub(crate) fn apply(&mut self, transition: Transition) -> Applied {
        let Some(run) = self.runs.get_mut(&transition.run) else {
            return Applied::NoSuchRun;
        };
        let (state, attempt) = match decide(run.state, run.attempt, &transition) {
            Ok(next) => next,
            Err(refused) => return Applied::No(refused),
        };
        let before = run.state;
        let key = transition.run;
        let mut kept = 0;
        match transition.change {
            Change::Start { executor } => {
                run.started_at = Some(transition.at);
                run.executor = Some(executor);
            }
            Change::Again { outcome } => {
                self.past.push(Past {
                    run: key,
                    attempt: run.attempt,
                    at: transition.at,
                    outcome,
                });
                run.started_at = None;
                run.executor = None;
            }
            Change::Withdraw { outcome } => run.end = Some((outcome, transition.at)),
            Change::Settle { outcome, output } => {
                match output {
                    Some(frames) => self.outputs.push((key, run.attempt, frames)),
                    // It has a log of its own.
                    None => {
                        let bytes = outcome.stdout_bytes.saturating_add(outcome.stderr_bytes);
                        kept = bytes_counted(bytes.min(MOST_KEPT));
                    }
                }
                run.end = Some((outcome, transition.at));
            }
        }
        run.state = state;
        run.attempt = attempt;
        run.changed = true;
        let tally = self.tasks.entry(key.task).or_default();
        tally.kept = tally.kept.saturating_add(kept);
        let task_done = tally.moved(before, state, transition.at);
        Applied::Yes {
            state,
            attempt,
            task_done,
        }
    }
}

impl Tally {
    /// Notes that a run went from one state to another; tells whether it was the task's last open one.
    fn moved(&mut self, before: RunState, after: RunState, at: Timestamp) -> bool {
        for (place, state) in RunState::ALL.into_iter().enumerate() {
            self.gains[place] += i64::from(state == after) - i64::from(state == before);
        }
        if !after.is_terminal() {
            return false;
        }
        self.open -= 1;
        let done = self.open == 0;
        if done {
            self.finished_at = Some(at);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> RunKey {
        RunKey {
            task: TaskId(1),
            index,
        }
    }

    fn group(runs: u32) -> Group {
        let mut group = Group::default();
        for index in 0..runs {
            group.runs.insert(
                key(index),
                Run {
                    state: RunState::Queued,
                    attempt: 1,
                    started_at: None,
                    executor: None,
                    end: None,
                    changed: false,
                },
            );
        }
        group.tasks.insert(
            TaskId(1),
            Tally {
                open: i64::from(runs),
                ..Tally::default()
            },
        );
        group
    }

    fn change(index: u32, attempt: u32, at: i64, change: Change) -> Transition {
        Transition {
            run: key(index),
            attempt,
            at: Timestamp(at),
            change,
        }
    }

    fn start() -> Change {
        Change::Start {
            executor: ExecutorId("e".into()),
        }
    }

    fn settle(state: RunState) -> Change {
        Change::Settle {
            outcome: Outcome::plain(state, None),
            output: Some(Bytes::from_static(b"x")),
        }
    }

    #[test]
    fn changes_of_one_run_follow_each_other_within_a_group() {
        let mut group = group(1);
        let answers: Vec<bool> = [
            change(0, 1, 1, start()),
            change(0, 1, 2, start()),
            change(
                0,
                1,
                3,
                Change::Again {
                    outcome: Outcome::plain(RunState::Failed, None),
                },
            ),
            change(0, 1, 4, settle(RunState::Succeeded)),
            change(0, 2, 5, start()),
            change(0, 2, 6, settle(RunState::Succeeded)),
        ]
        .into_iter()
        .map(|transition| matches!(group.apply(transition), Applied::Yes { .. }))
        .collect();
        assert_eq!(answers, [true, false, true, false, true, true]);
        let run = &group.runs[&key(0)];
        assert_eq!((run.state, run.attempt), (RunState::Succeeded, 2));
        assert_eq!(run.started_at, Some(Timestamp(5)));
        assert_eq!(group.past.len(), 1);
        assert_eq!(group.outputs, [(key(0), 2, Bytes::from_static(b"x"))]);
        assert_eq!(group.tasks[&TaskId(1)].finished_at, Some(Timestamp(6)));
        assert_eq!(group.tasks[&TaskId(1)].gains, [-1, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn only_the_last_open_run_ends_its_task() {
        let mut group = group(2);
        let first = group.apply(change(0, 1, 1, settle(RunState::Cancelled)));
        assert!(matches!(first, Applied::Yes { task_done: false, .. }));
        let last = group.apply(change(1, 1, 2, settle(RunState::Skipped)));
        assert!(matches!(last, Applied::Yes { task_done: true, .. }));
        let late = group.apply(change(1, 1, 3, settle(RunState::Cancelled)));
        assert!(matches!(late, Applied::No(refused) if refused.state == RunState::Skipped));
    }

    #[test]
    fn a_run_that_is_not_there_is_said_so() {
        assert_eq!(group(1).apply(change(7, 1, 1, start())), Applied::NoSuchRun);
    }
}
