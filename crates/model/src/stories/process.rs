//! A process of a world: what it has in its hands, and what it believes.

use std::collections::{BTreeMap, BTreeSet};

use super::database::{Task, count};
use crate::id::{ExecutorId, RunKey, TaskId, Timestamp};
use crate::run::RunState;
use crate::task::Counts;

/// One attempt of one run, as a message names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Work {
    pub(super) run: RunKey,
    pub(super) attempt: u32,
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "run {} attempt {}", self.run, self.attempt)
    }
}

/// How far a process is with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The message is taken; it connects.
    Taken,
    /// The start waits to be committed.
    Starting,
    /// The start is durable; the command is not sent.
    Started,
    /// The command runs, and so much of its output has come.
    Running { printed: u64 },
    /// The end waits to be committed.
    Settling,
}

/// An attempt in a process's hands.
#[derive(Clone, Debug)]
pub(super) struct Hand {
    pub(super) work: Work,
    /// The message, while it is not acknowledged.
    pub(super) message: Option<u64>,
    pub(super) phase: Phase,
}

/// What a process believes of a task.
#[derive(Clone, Debug)]
pub(super) struct Live {
    /// It was known here from its beginning.
    pub(super) whole: bool,
    pub(super) cancelled: bool,
    pub(super) dispatched: bool,
    /// The next host to hand out.
    pub(super) next: usize,
    /// Next attempts to hand out.
    pub(super) later: Vec<(u32, u32)>,
    pub(super) runs: Vec<(RunState, u32)>,
}

impl Live {
    pub(super) fn of(task: &Task) -> Self {
        let runs: Vec<_> = task.runs.iter().map(|row| (row.state, row.attempt)).collect();
        Self {
            whole: runs.iter().all(|run| *run == (RunState::Queued, 1)),
            cancelled: task.cancelled_at.is_some(),
            dispatched: false,
            next: 0,
            later: Vec::new(),
            runs,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        count(self.runs.iter().map(|(state, _)| *state))
    }

    /// Tells whether an attempt is known to have gone on or ended.
    pub(super) fn is_over(&self, work: Work) -> bool {
        let known = self.runs.get(work.run.index as usize);
        known.is_none_or(|&(state, attempt)| {
            attempt > work.attempt || (attempt == work.attempt && state != RunState::Queued)
        })
    }

    /// Takes note of what was announced: a later attempt and a terminal state stay.
    pub(super) fn note(&mut self, index: u32, state: RunState, attempt: u32) {
        if let Some(known) = self.runs.get_mut(index as usize)
            && attempt >= known.1
            && (attempt > known.1 || !known.0.is_terminal())
        {
            *known = (state, attempt);
        }
    }

    /// Takes note of what the database says; a next attempt that nobody told of is handed out here.
    pub(super) fn correct(&mut self, index: u32, state: RunState, attempt: u32) {
        let Some(known) = self.runs.get(index as usize).copied() else {
            return;
        };
        let older = known.1 > attempt || (known.1 == attempt && state == RunState::Queued);
        if older || known.0.is_terminal() || known == (state, attempt) {
            return;
        }
        self.note(index, state, attempt);
        if state == RunState::Queued && self.dispatched {
            self.later.push((index, attempt));
        }
    }

    /// Returns the queued runs from an index on, as far as it is known.
    pub(super) fn queued_from(&self, from: usize) -> Vec<(u32, u32)> {
        let runs = (0..).zip(&self.runs).skip(from);
        runs.filter(|(_, run)| run.0 == RunState::Queued)
            .map(|(index, run)| (index, run.1))
            .collect()
    }
}

/// What processes announce to each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Notice {
    Run {
        run: RunKey,
        state: RunState,
        attempt: u32,
    },
    Cancelled(TaskId),
}

/// A process, living or dead.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) id: ExecutorId,
    /// The machine that it is on.
    pub(super) home: &'static str,
    pub(super) alive: bool,
    /// It takes no new work, and others may dispatch what it did.
    pub(super) draining: bool,
    pub(super) renewed_at: Option<Timestamp>,
    pub(super) lives: BTreeMap<TaskId, Live>,
    pub(super) hands: Vec<Hand>,
    pub(super) mail: Vec<Notice>,
    /// Tasks that were adopted and are not dispatched yet.
    pub(super) adopting: BTreeSet<TaskId>,
}

impl Process {
    pub(super) fn new(id: ExecutorId, home: &'static str) -> Self {
        Self {
            id,
            home,
            alive: true,
            draining: false,
            renewed_at: None,
            lives: BTreeMap::new(),
            hands: Vec::new(),
            mail: Vec::new(),
            adopting: BTreeSet::new(),
        }
    }

    /// Tells whether it takes new work.
    pub(super) fn works(&self) -> bool {
        self.alive && !self.draining
    }

    pub(super) fn hand_mut(&mut self, work: Work) -> Option<&mut Hand> {
        self.hands.iter_mut().find(|hand| hand.work == work)
    }

    /// Tells whether it was told that a task is cancelled.
    pub(super) fn heard_cancel(&self, task: TaskId) -> bool {
        self.lives.get(&task).is_some_and(|live| live.cancelled)
    }
}
