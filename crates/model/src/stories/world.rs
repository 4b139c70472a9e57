//! The world in which a story is played: a database, a queue, processes and hosts.

use std::collections::BTreeMap;

use super::check::Seen;
use super::database::{Asked, Database, Task};
use super::process::{Process, Work};
use super::rules::Rules;
use super::step::{Begun, Committed, Reached, Step};
use super::story::{Shape, Story};
use crate::id::{ExecutorId, RunKey, TaskId, Timestamp};
use crate::run::Applied;
use crate::run::Transition;

/// How long a lease holds.
pub(super) const LEASE: i64 = 60_000_000;
/// More steps than any story needs to its end.
const PATIENCE: u32 = 3_000;
/// So often nothing happens to anybody before it is said that nothing ever will.
const IDLE: u32 = 60;

/// A promise that was broken, and what happened before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which promise, and by what.
    pub promise: String,
    /// What happened, in order.
    pub lines: Vec<String>,
}

/// A call that waits for the database.
#[derive(Clone, Debug)]
pub struct Call {
    /// The process, by its place.
    pub by: usize,
    /// What is to be changed.
    pub changes: Vec<Transition>,
    pub(super) purpose: Purpose,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Start(Work),
    Settle(Work),
    Stop(TaskId),
    Bury(TaskId),
}

/// A message in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) id: u64,
    pub(super) work: Work,
    /// Whose queue it is in, where each process has its own.
    pub(super) of: usize,
    pub(super) taken_by: Option<usize>,
}

/// What a host knows of an attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deed {
    pub(super) begins: u32,
    pub(super) running: bool,
    /// The exit code, where it ended by itself.
    pub(super) ended: Option<u8>,
    pub(super) printed: u64,
}

/// A world in the middle of a story.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) rules: Rules,
    pub(super) shape: Shape,
    pub(super) now: Timestamp,
    pub(super) database: Database,
    pub(super) waiting: Vec<Call>,
    pub(super) queue: Vec<Message>,
    pub(super) processes: Vec<Process>,
    pub(super) hosts: BTreeMap<(RunKey, u32), Deed>,
    pub(super) seen: Seen,
    pub(super) broken: Option<String>,
    name: String,
    messages: u64,
    lines: Vec<String>,
    steps_home: u32,
    idle: u32,
}

impl World {
    /// Returns a world with one process. The first task has the number `first`; `name` begins the name of
    /// whatever is unique in a database.
    #[must_use]
    pub fn new(rules: Rules, shape: Shape, first: u64, name: &str) -> Self {
        let mut world = Self {
            rules,
            shape,
            now: Timestamp(1_000_000),
            database: Database::new(rules.decide, first),
            waiting: Vec::new(),
            queue: Vec::new(),
            processes: Vec::new(),
            hosts: BTreeMap::new(),
            seen: Seen::default(),
            broken: None,
            name: name.to_owned(),
            messages: 0,
            lines: Vec::new(),
            steps_home: 0,
            idle: 0,
        };
        world.join(false);
        world.lines.clear();
        world
    }

    /// Plays a story to its end, and returns what is left of the world.
    ///
    /// # Errors
    ///
    /// The promise that it broke.
    pub fn play(rules: Rules, story: &Story) -> Result<Self, Broken> {
        let mut world = Self::new(rules, story.shape, 1, "");
        for step in &story.steps {
            world.step(*step)?;
        }
        while let Some(step) = world.way_home() {
            world.step(step)?;
        }
        world.end()?;
        Ok(world)
    }

    /// Does a step, and looks whether every promise still holds.
    ///
    /// # Errors
    ///
    /// The promise that is broken.
    pub fn step(&mut self, step: Step) -> Result<(), Broken> {
        self.now.0 += 1;
        self.database.asked.clear();
        self.act(step);
        self.check();
        self.verdict()
    }

    fn act(&mut self, step: Step) {
        match step {
            Step::Submit { .. } => self.submit(step),
            Step::SubmitAgain { pick } => self.submit_again(pick),
            Step::Retry { pick } => self.retry(pick),
            Step::Dispatch { pick } => self.dispatch(pick),
            Step::Duplicate { pick } => self.duplicate(pick),
            Step::Take { pick } => self.take(pick),
            Step::Reach { pick, how } => self.reach(pick, how),
            Step::Commit { pick, all, how } => self.commit(pick, all, how),
            Step::Begin { pick, how } => self.begin(pick, how),
            Step::Print { pick } => self.print(pick),
            Step::Exit { pick, code } => self.exit(pick, code),
            Step::See { pick } => self.see(pick),
            Step::Break { pick } => self.break_off(pick),
            Step::End { pick, killed } => self.end_early(pick, killed),
            Step::Cancel { pick } => self.cancel(pick),
            Step::Hear { pick } => self.hear(pick),
            Step::Miss { pick } => self.miss(pick),
            Step::Look { pick } => self.look(pick),
            Step::Renew { pick } => self.renew(pick),
            Step::Minute => {
                self.now.0 += LEASE + 1;
                self.mutter(|| "a minute passes".into());
            }
            Step::Sweep { pick } => self.sweep(pick),
            Step::Load { pick } => self.load(pick),
            Step::Join { elsewhere } => self.join(elsewhere),
            Step::Drain { pick } => self.drain(pick),
            Step::Die { pick, durable } => self.die(pick, durable),
            Step::Restart { durable } => self.restart(durable),
        }
    }

    /// Returns a step that brings everything a little nearer to its end, as time does if nothing more goes
    /// wrong; None where everything has ended, or nothing helps any more.
    pub fn way_home(&mut self) -> Option<Step> {
        self.steps_home += 1;
        if self.steps_home > PATIENCE || self.idle > IDLE {
            return None;
        }
        let pick = 0;
        let yes = Reached::Yes;
        let all = true;
        let killed = true;
        let ready = [
            (
                !self.waiting.is_empty(),
                Step::Commit {
                    pick,
                    all,
                    how: Committed::Answered,
                },
            ),
            (!self.loads().is_empty(), Step::Load { pick }),
            (!self.hearers().is_empty(), Step::Hear { pick }),
            (!self.seers().is_empty(), Step::See { pick }),
            (!self.cancelled_hands().is_empty(), Step::End { pick, killed }),
            (
                !self.started_hands().is_empty(),
                Step::Begin {
                    pick,
                    how: Begun::Yes,
                },
            ),
            (!self.running().is_empty(), Step::Exit { pick, code: 0 }),
            (!self.taken_hands().is_empty(), Step::Reach { pick, how: yes }),
            (!self.takers().is_empty(), Step::Take { pick }),
            (!self.dispatchers().is_empty(), Step::Dispatch { pick }),
        ];
        if let Some((_, step)) = ready.into_iter().find(|(ready, _)| *ready) {
            self.idle = 0;
            return Some(step);
        }
        if self
            .database
            .tasks
            .values()
            .all(|task| task.finished_at.is_some())
        {
            return None;
        }
        self.idle += 1;
        let turn = (self.idle / 6) as u8;
        Some(match self.idle % 6 {
            1 if !self.processes.iter().any(Process::works) => Step::Join { elsewhere: false },
            1 => Step::Minute,
            2 => Step::Renew { pick: turn },
            3 => Step::Look { pick: turn },
            4 => Step::Drain { pick: LEAVER },
            _ => Step::Sweep {
                pick: turn + (self.idle % 6) as u8,
            },
        })
    }

    /// Says whether everything has ended as it was promised.
    ///
    /// # Errors
    ///
    /// The promise that is broken.
    pub fn end(&mut self) -> Result<(), Broken> {
        self.check_end();
        self.verdict()
    }

    fn verdict(&self) -> Result<(), Broken> {
        match &self.broken {
            None => Ok(()),
            Some(promise) => Err(self.breaks(promise)),
        }
    }

    /// Returns a broken promise, with the story so far.
    #[must_use]
    pub fn breaks(&self, promise: &str) -> Broken {
        Broken {
            promise: promise.to_owned(),
            lines: self.lines.clone(),
        }
    }

    /// Returns what the last step asked of the database.
    #[must_use]
    pub fn asked(&self) -> &[Asked] {
        &self.database.asked
    }

    /// Returns the tasks as they must stand in the database.
    #[must_use]
    pub fn tasks(&self) -> &BTreeMap<TaskId, Task> {
        &self.database.tasks
    }

    /// Returns the calls that a commit of everybody's would apply, in their order.
    #[must_use]
    pub fn waiting(&self) -> &[Call] {
        &self.waiting
    }

    /// Returns the answers that the waiting calls would get in this order (of their places).
    #[must_use]
    pub fn foretell(&self, order: &[usize]) -> Vec<Vec<Applied>> {
        let calls = order.iter().filter_map(|place| self.waiting.get(*place));
        let calls = calls.map(|call| call.changes.clone()).collect();
        self.database.clone().apply(calls)
    }

    /// Puts the waiting calls into this order (of their places).
    pub fn reorder(&mut self, order: &[usize]) {
        let calls = order.iter().filter_map(|place| self.waiting.get(*place).cloned());
        self.waiting = calls.collect();
    }

    /// Tells whether two runs' worth of work is shared by several processes: they read one queue.
    pub(super) fn reads(&self, process: usize, message: &Message) -> bool {
        self.shape.shared_queue || message.of == process
    }

    /// Adds a process.
    pub(super) fn join(&mut self, elsewhere: bool) {
        if self.processes.iter().filter(|process| process.alive).count() >= 4 {
            return;
        }
        let home = if elsewhere && self.shape.machines {
            "there"
        } else {
            "here"
        };
        let id = ExecutorId(format!("{}p{}", self.name, self.processes.len() + 1));
        self.say(|| format!("{id} starts {home}"));
        self.processes.push(Process::new(id, home));
    }

    pub(super) fn request(&self) -> String {
        format!("{}r{}", self.name, self.database.tasks.len() + 1)
    }

    pub(super) fn publish(&mut self, of: usize, work: Work) {
        self.messages += 1;
        self.queue.push(Message {
            id: self.messages,
            work,
            of,
            taken_by: None,
        });
    }

    pub(super) fn say(&mut self, line: impl FnOnce() -> String) {
        self.lines.push(line());
    }

    /// Says what is not worth telling while everybody waits for time to help.
    pub(super) fn mutter(&mut self, line: impl FnOnce() -> String) {
        if self.idle == 0 {
            self.lines.push(line());
        }
    }

    /// Returns how much has happened.
    pub(super) fn told(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn break_promise(&mut self, promise: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some(promise());
        }
    }

    pub(super) fn id(&self, process: usize) -> ExecutorId {
        self.processes[process].id.clone()
    }
}

/// Chooses the process that leaves, where one can (see [`World::drain`]).
pub(super) const LEAVER: u8 = u8::MAX;

/// Chooses one of several.
pub(super) fn chosen<T>(mut all: Vec<T>, pick: u8) -> Option<T> {
    if all.is_empty() {
        return None;
    }
    let place = usize::from(pick) % all.len();
    Some(all.swap_remove(place))
}
