//! The database of a world: rows in memory, changed as a store must change them.

use std::collections::BTreeMap;

use super::rules::Decide;
use crate::id::{ExecutorId, RunKey, TaskId, Timestamp};
use crate::run::{Applied, Change, Outcome, RunState, Transition};
use crate::task::{Counts, Options};

/// A task to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// The name of the request.
    pub request: String,
    /// How.
    pub options: Options,
    /// How many hosts it has.
    pub hosts: u32,
    /// The task that it retries.
    pub retry_of: Option<TaskId>,
    /// The executor that dispatches it.
    pub dispatcher: ExecutorId,
    /// When.
    pub at: Timestamp,
}

/// A run's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The state.
    pub state: RunState,
    /// The attempt.
    pub attempt: u32,
    /// Who runs or ran it.
    pub executor: Option<ExecutorId>,
    /// How it ended.
    pub end: Option<Outcome>,
    /// Earlier attempts, and how they ended.
    pub past: Vec<(u32, RunState)>,
}

/// A task's row, with its runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What was submitted.
    pub new: NewTask,
    /// Who dispatches it.
    pub dispatcher: ExecutorId,
    /// When somebody asked to cancel it.
    pub cancelled_at: Option<Timestamp>,
    /// When its last run became terminal.
    pub finished_at: Option<Timestamp>,
    /// Its runs, in host order.
    pub runs: Vec<Row>,
}

impl Task {
    /// Returns its runs, counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        count(self.runs.iter().map(|run| run.state))
    }
}

/// Counts states.
pub(super) fn count(states: impl Iterator<Item = RunState>) -> Counts {
    let mut counts = Counts::default();
    for state in states {
        counts.total += 1;
        *counts.of_mut(state) += 1;
    }
    counts
}

/// What was asked of the database, and what it answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// A task was submitted.
    Submit {
        /// The task.
        task: Box<NewTask>,
        /// Its number.
        id: TaskId,
        /// The request was known.
        before: bool,
    },
    /// Changes were applied, as one group: those of each call, and the answers to it.
    Apply {
        /// The calls.
        calls: Vec<Vec<Transition>>,
        /// The answers.
        answers: Vec<Vec<Applied>>,
    },
    /// A cancel was asked for.
    Cancel {
        /// Of which task.
        task: TaskId,
        /// When.
        at: Timestamp,
        /// Whether that changed anything.
        noted: bool,
    },
    /// A task was to be dispatched by another.
    Adopt {
        /// The task.
        task: TaskId,
        /// Who was thought to dispatch it.
        from: ExecutorId,
        /// Who wants to.
        to: ExecutorId,
        /// Whether it got it.
        got: bool,
    },
    /// An executor gave a sign of life.
    Heartbeat {
        /// Who.
        executor: ExecutorId,
        /// Where.
        home: String,
        /// Until when.
        until: Timestamp,
    },
    /// An executor was forgotten.
    Forget {
        /// Who.
        executor: ExecutorId,
    },
    /// The executors were read, with the ends of their leases.
    Executors(Vec<(ExecutorId, Timestamp)>),
    /// The open tasks were read, with their dispatchers.
    OpenTasks(Vec<(TaskId, ExecutorId)>),
    /// The open runs of a task were read: index, state, attempt, executor.
    OpenRuns(TaskId, Vec<(u32, RunState, u32, Option<ExecutorId>)>),
    /// The database was opened again.
    Reopened,
}

/// The rows.
#[derive(Clone, Debug)]
pub(super) struct Database {
    decide: Decide,
    next: u64,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    leases: BTreeMap<ExecutorId, (String, Timestamp)>,
    /// Every start that was ever written.
    pub(super) starts: Vec<(RunKey, u32, ExecutorId)>,
    /// How often a task was said to be done.
    pub(super) said_done: BTreeMap<TaskId, u32>,
    pub(super) asked: Vec<Asked>,
}

impl Database {
    /// Returns an empty database whose first task has the number `first`.
    pub(super) fn new(decide: Decide, first: u64) -> Self {
        Self {
            decide,
            next: first,
            tasks: BTreeMap::new(),
            leases: BTreeMap::new(),
            starts: Vec::new(),
            said_done: BTreeMap::new(),
            asked: Vec::new(),
        }
    }

    pub(super) fn submit(&mut self, new: NewTask) -> (TaskId, bool) {
        let known = self
            .tasks
            .iter()
            .find(|(_, task)| task.new.request == new.request);
        let before = known.is_some();
        let id = known.map_or(TaskId(self.next), |(id, _)| *id);
        self.asked.push(Asked::Submit {
            task: Box::new(new.clone()),
            id,
            before,
        });
        if !before {
            self.next += 1;
            let row = Row {
                state: RunState::Queued,
                attempt: 1,
                executor: None,
                end: None,
                past: Vec::new(),
            };
            let task = Task {
                dispatcher: new.dispatcher.clone(),
                cancelled_at: None,
                finished_at: None,
                runs: vec![row; new.hosts as usize],
                new,
            };
            self.tasks.insert(id, task);
        }
        (id, before)
    }

    /// Applies the changes of calls, in one group.
    pub(super) fn apply(&mut self, calls: Vec<Vec<Transition>>) -> Vec<Vec<Applied>> {
        let answers: Vec<Vec<Applied>> = calls
            .iter()
            .map(|changes| changes.iter().map(|change| self.change(change)).collect())
            .collect();
        self.asked.push(Asked::Apply {
            calls,
            answers: answers.clone(),
        });
        answers
    }

    fn change(&mut self, change: &Transition) -> Applied {
        let key = change.run;
        let Some(task) = self.tasks.get_mut(&key.task) else {
            return Applied::NoSuchRun;
        };
        let Some(row) = task.runs.get_mut(key.index as usize) else {
            return Applied::NoSuchRun;
        };
        let (state, attempt) = match (self.decide)(row.state, row.attempt, change) {
            Ok(next) => next,
            Err(refused) => return Applied::No(refused),
        };
        match &change.change {
            Change::Start { executor } => {
                row.executor = Some(executor.clone());
                self.starts.push((key, row.attempt, executor.clone()));
            }
            Change::Again { outcome } => {
                row.past.push((row.attempt, outcome.state));
                row.executor = None;
            }
            Change::Settle { outcome, .. } | Change::Withdraw { outcome } => row.end = Some(outcome.clone()),
        }
        row.state = state;
        row.attempt = attempt;
        let task_done = state.is_terminal() && task.counts().open() == 0;
        if task_done {
            task.finished_at = Some(change.at);
            *self.said_done.entry(key.task).or_default() += 1;
        }
        Applied::Yes {
            state,
            attempt,
            task_done,
        }
    }

    pub(super) fn cancel(&mut self, id: TaskId, at: Timestamp) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let noted = task.cancelled_at.is_none() && task.finished_at.is_none();
        if noted {
            task.cancelled_at = Some(at);
        }
        self.asked.push(Asked::Cancel { task: id, at, noted });
    }

    pub(super) fn adopt(&mut self, id: TaskId, from: &ExecutorId, to: &ExecutorId) -> bool {
        let task = self.tasks.get_mut(&id);
        let task = task.filter(|task| task.dispatcher == *from && task.finished_at.is_none());
        let got = task.is_some();
        if let Some(task) = task {
            task.dispatcher = to.clone();
        }
        self.asked.push(Asked::Adopt {
            task: id,
            from: from.clone(),
            to: to.clone(),
            got,
        });
        got
    }

    pub(super) fn heartbeat(&mut self, executor: &ExecutorId, home: &str, until: Timestamp) {
        self.leases.insert(executor.clone(), (home.to_owned(), until));
        self.asked.push(Asked::Heartbeat {
            executor: executor.clone(),
            home: home.to_owned(),
            until,
        });
    }

    pub(super) fn forget(&mut self, executor: &ExecutorId) {
        self.leases.remove(executor);
        self.asked.push(Asked::Forget {
            executor: executor.clone(),
        });
    }

    /// Returns the executors that are on record or own started runs, with their homes and leases.
    pub(super) fn executors(&mut self) -> BTreeMap<ExecutorId, (String, Timestamp)> {
        let mut all = self.leases.clone();
        for task in self.tasks.values() {
            for row in task.runs.iter().filter(|row| row.state == RunState::Started) {
                if let Some(owner) = &row.executor {
                    all.entry(owner.clone()).or_insert((String::new(), Timestamp(0)));
                }
            }
        }
        let read = all.iter().map(|(id, (_, until))| (id.clone(), *until)).collect();
        self.asked.push(Asked::Executors(read));
        all
    }

    pub(super) fn open_tasks(&mut self) -> Vec<(TaskId, ExecutorId)> {
        let open = self.tasks.iter().filter(|(_, task)| task.finished_at.is_none());
        let open: Vec<_> = open.map(|(id, task)| (*id, task.dispatcher.clone())).collect();
        self.asked.push(Asked::OpenTasks(open.clone()));
        open
    }

    pub(super) fn open_runs(&mut self, id: TaskId) -> Vec<(u32, RunState, u32, Option<ExecutorId>)> {
        let runs = self.tasks.get(&id).map(|task| task.runs.as_slice());
        let open: Vec<_> = (0..)
            .zip(runs.unwrap_or_default())
            .filter(|(_, row)| !row.state.is_terminal())
            .map(|(index, row)| (index, row.state, row.attempt, row.executor.clone()))
            .collect();
        self.asked.push(Asked::OpenRuns(id, open.clone()));
        open
    }

    /// Returns a run's row.
    pub(super) fn row(&self, run: RunKey) -> Option<&Row> {
        self.tasks.get(&run.task)?.runs.get(run.index as usize)
    }
}
