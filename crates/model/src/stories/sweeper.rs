//! Processes that leave or die, and what others make of what they left.

use std::collections::BTreeMap;

use super::database::Asked;
use super::process::{Live, Phase, Work};
use super::world::{Call, LEASE, LEAVER, Purpose, World, chosen};
use crate::id::{ExecutorId, RunKey, TaskId, Timestamp};
use crate::run::{Outcome, RunState};

/// What another process may have to take over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Duty {
    Execute,
    Dispatch,
}

type Known = BTreeMap<ExecutorId, (String, Timestamp)>;

impl World {
    pub(super) fn sweep(&mut self, pick: u8) {
        let Some(place) = chosen(self.workers(), pick) else {
            return;
        };
        let me = self.id(place);
        self.mutter(|| format!("{me} sweeps"));
        let known = self.database.executors();
        for (task, dispatcher) in self.database.open_tasks() {
            if dispatcher != me {
                let dead = self.is_dead(place, &dispatcher, Duty::Dispatch, &known);
                if !dead || !self.rules.habits.takes_over {
                    continue;
                }
                if !self.database.adopt(task, &dispatcher, &me) {
                    continue;
                }
                self.say(|| format!("{me} adopts task {task}"));
                self.processes[place].adopting.insert(task);
            }
            self.bury(place, task, &known);
        }
        for id in known.keys() {
            if *id != me && self.is_dead(place, id, Duty::Execute, &known) {
                self.database.forget(id);
            }
        }
    }

    /// Tells whether a process takes another for dead: on its own machine by locks, else by the lease.
    fn is_dead(&self, place: usize, other: &ExecutorId, duty: Duty, known: &Known) -> bool {
        if !self.rules.habits.spares_the_living {
            return *other != self.processes[place].id;
        }
        match known.get(other) {
            Some((home, until)) if home != self.processes[place].home => *until < self.now,
            _ => !self.processes.iter().any(|process| {
                process.id == *other && process.alive && (duty == Duty::Execute || !process.draining)
            }),
        }
    }

    /// Asks for the end of what dead executors had started of a task.
    fn bury(&mut self, place: usize, task: TaskId, known: &Known) {
        let me = self.id(place);
        let waits = |call: &Call| call.by == place && call.purpose == Purpose::Bury(task);
        if !self.rules.habits.buries || self.waiting.iter().any(waits) {
            return;
        }
        let cancelled = self.database.tasks[&task].cancelled_at.is_some();
        let options = self.database.tasks[&task].new.options.clone();
        let mut changes = Vec::new();
        for (index, state, attempt, executor) in self.database.open_runs(task) {
            let Some(executor) = executor.filter(|id| *id != me && state == RunState::Started) else {
                continue;
            };
            if !self.is_dead(place, &executor, Duty::Execute, known) {
                continue;
            }
            let run = RunKey { task, index };
            let work = Work { run, attempt };
            self.must_be_dead(place, &executor, work);
            let lost = Outcome::plain(RunState::Lost, None);
            let change = (self.rules.again_or_settle)(&options, attempt, cancelled, lost, None);
            changes.push(self.transition(work, change));
        }
        if !changes.is_empty() {
            self.say(|| format!("{me} finds {} lost runs of task {task}", changes.len()));
            self.waiting.push(Call {
                by: place,
                changes,
                purpose: Purpose::Bury(task),
            });
        }
    }

    /// `lost` is said of the dead alone, and on another machine of those whose lease has run out.
    fn must_be_dead(&mut self, place: usize, executor: &ExecutorId, work: Work) {
        let home = self.processes[place].home;
        let living = self
            .processes
            .iter()
            .find(|process| process.id == *executor && process.alive);
        let spared = living.is_some_and(|process| {
            let holds = process.renewed_at.is_none_or(|at| at.0 + LEASE >= self.now.0);
            process.home == home || holds
        });
        if spared {
            self.break_promise(|| format!("{work} is called lost, and {executor} lives"));
        }
    }

    /// Returns who may load which task that it has adopted.
    pub(super) fn loads(&self) -> Vec<(usize, TaskId)> {
        let mut all = Vec::new();
        for place in self.workers() {
            for task in &self.processes[place].adopting {
                let waits = |call: &Call| call.by == place && call.purpose == Purpose::Bury(*task);
                if !self.waiting.iter().any(waits) {
                    all.push((place, *task));
                }
            }
        }
        all
    }

    pub(super) fn load(&mut self, pick: u8) {
        let Some((place, id)) = chosen(self.loads(), pick) else {
            return;
        };
        let me = self.id(place);
        self.say(|| format!("{me} loads task {id}"));
        self.hold(place);
        let task = &self.database.tasks[&id];
        let process = &mut self.processes[place];
        process.adopting.remove(&id);
        let live = process.lives.entry(id).or_insert_with(|| Live::of(task));
        live.cancelled |= task.cancelled_at.is_some();
        for (index, row) in (0..).zip(&task.runs) {
            live.correct(index, row.state, row.attempt);
        }
        live.dispatched = true;
    }

    pub(super) fn drain(&mut self, pick: u8) {
        let leavers = self.processes.iter().enumerate();
        let leavers = leavers.filter(|(place, process)| {
            let waits = self.waiting.iter().any(|call| call.by == *place);
            process.alive && process.draining && process.hands.is_empty() && !waits
        });
        let leavers: Vec<usize> = leavers.map(|(place, _)| place).collect();
        if let Some(place) = chosen(leavers, pick) {
            let me = self.id(place);
            self.say(|| format!("{me} leaves"));
            self.database.forget(&me);
            return self.bereave(place);
        }
        if pick == LEAVER {
            return;
        }
        let Some(place) = chosen(self.workers(), pick) else {
            return;
        };
        let me = self.id(place);
        self.say(|| format!("{me} takes no new work"));
        let process = &mut self.processes[place];
        process.draining = true;
        process.adopting.clear();
        let (back, kept) = std::mem::take(&mut process.hands)
            .into_iter()
            .partition(|hand| hand.phase == Phase::Taken);
        process.hands = kept;
        let back: Vec<_> = back;
        for message in &mut self.queue {
            if back.iter().any(|hand| hand.message == Some(message.id)) {
                message.taken_by = None;
            }
        }
    }

    pub(super) fn die(&mut self, pick: u8, durable: bool) {
        let alive = (0..self.processes.len()).filter(|place| self.processes[*place].alive);
        let Some(place) = chosen(alive.collect(), pick) else {
            return;
        };
        let me = self.id(place);
        self.say(|| format!("{me} dies"));
        self.last_words(|call| call.by == place, durable);
        self.bereave(place);
    }

    pub(super) fn restart(&mut self, durable: bool) {
        self.say(|| "every process dies".into());
        self.last_words(|_| true, durable);
        for place in 0..self.processes.len() {
            self.bereave(place);
        }
        self.database.asked.push(Asked::Reopened);
        self.join(false);
        self.sweep(0);
    }

    /// What the dead had asked of the database is durable, or it is not.
    fn last_words(&mut self, of: impl Fn(&Call) -> bool, durable: bool) {
        let (calls, others): (Vec<Call>, Vec<Call>) =
            std::mem::take(&mut self.waiting).into_iter().partition(of);
        self.waiting = others;
        if calls.is_empty() {
            return;
        }
        if durable {
            self.say(|| format!("{} of its calls were committed before", calls.len()));
            self.database
                .apply(calls.into_iter().map(|call| call.changes).collect());
        } else {
            self.say(|| format!("{} of its calls are lost with it", calls.len()));
        }
    }

    /// Nothing of a process is left but what it began on hosts; its messages are delivered to others, or are
    /// gone with its queue.
    fn bereave(&mut self, place: usize) {
        let process = &mut self.processes[place];
        process.alive = false;
        process.hands.clear();
        process.lives.clear();
        process.mail.clear();
        process.adopting.clear();
        if !self.shape.shared_queue {
            self.queue.retain(|message| message.of != place);
        }
        for message in &mut self.queue {
            if message.taken_by == Some(place) {
                message.taken_by = None;
            }
        }
    }
}
