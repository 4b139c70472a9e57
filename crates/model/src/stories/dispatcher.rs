//! Submitting, handing out, committing, and what processes tell each other.

use std::time::Duration;

use super::database::NewTask;
use super::executor::withdraw;
use super::process::{Live, Notice, Work};
use super::step::{Committed, Step};
use super::world::{Call, LEASE, Purpose, World, chosen};
use crate::id::{RunKey, TaskId};
use crate::quantity::Amount;
use crate::run::Applied;
use crate::run::{Outcome, RunState};
use crate::task::Options;

impl World {
    /// Returns the processes that take new work.
    pub(super) fn workers(&self) -> Vec<usize> {
        let all = self.processes.iter().enumerate();
        all.filter(|(_, process)| process.works())
            .map(|(place, _)| place)
            .collect()
    }

    pub(super) fn submit(&mut self, step: Step) {
        let Step::Submit {
            pick,
            hosts,
            retries,
            timeout,
            expires,
            max_failures,
        } = step
        else {
            return;
        };
        let Some(place) = chosen(self.workers(), pick) else {
            return;
        };
        let options = Options {
            retries: retries.into(),
            timeout: timeout.then_some(Duration::from_secs(1)),
            expires_at: expires.then(|| self.now.after(Duration::from_secs(150))),
            max_failures: max_failures.then_some(Amount::Hosts(0)),
            ..Options::default()
        };
        self.accept(place, options, hosts.into(), None);
    }

    pub(super) fn retry(&mut self, pick: u8) {
        let Some(place) = chosen(self.workers(), pick) else {
            return;
        };
        let done = self.database.tasks.iter();
        let done = done.filter(|(_, task)| {
            let counts = task.counts();
            task.finished_at.is_some() && counts.succeeded < counts.total
        });
        let done: Vec<TaskId> = done.map(|(id, _)| *id).collect();
        let Some(id) = chosen(done, pick) else { return };
        let task = &self.database.tasks[&id];
        let counts = task.counts();
        let mut options = task.new.options.clone();
        let created = task.new.at;
        options.expires_at = options.expires_at.map(|at| self.now.after(at.since(created)));
        self.accept(place, options, counts.total - counts.succeeded, Some(id));
    }

    fn accept(&mut self, place: usize, options: Options, hosts: u32, retry_of: Option<TaskId>) {
        self.hold(place);
        let new = NewTask {
            request: self.request(),
            options,
            hosts,
            retry_of,
            dispatcher: self.id(place),
            at: self.now,
        };
        let me = self.id(place);
        let options = new.options.clone();
        let (id, _) = self.database.submit(new);
        self.say(|| {
            let mut with = format!("retries {}", options.retries);
            for (has, what) in [
                (options.timeout.is_some(), "a timeout"),
                (options.expires_at.is_some(), "an expiry"),
                (options.max_failures.is_some(), "no failure allowed"),
            ] {
                if has {
                    with = format!("{with}, {what}");
                }
            }
            let again = retry_of.map(|of| format!(", which is task {of} again"));
            format!(
                "{me} accepts task {id} for {hosts} hosts, {with}{}",
                again.unwrap_or_default()
            )
        });
        let live = Live {
            dispatched: true,
            ..Live::of(&self.database.tasks[&id])
        };
        self.processes[place].lives.insert(id, live);
    }

    pub(super) fn submit_again(&mut self, pick: u8) {
        let known = self.database.tasks.values().map(|task| task.new.clone());
        let Some(new) = chosen(known.collect(), pick) else {
            return;
        };
        let asked = new.request.clone();
        let tasks = self.database.tasks.len();
        let (id, before) = self.database.submit(new);
        self.say(|| format!("request {asked} is sent again: task {id}"));
        if !before || self.database.tasks.len() != tasks {
            self.break_promise(|| format!("request {asked} made two tasks"));
        }
    }

    /// Returns who has something to do for which task.
    pub(super) fn dispatchers(&self) -> Vec<(usize, TaskId)> {
        let mut all = Vec::new();
        for place in self.workers() {
            for (id, live) in &self.processes[place].lives {
                let later = !live.later.is_empty();
                if live.dispatched && (later || self.is_due(place, *id, live)) {
                    all.push((place, *id));
                }
            }
        }
        all
    }

    fn is_due(&self, place: usize, id: TaskId, live: &Live) -> bool {
        let stopping = self
            .waiting
            .iter()
            .any(|call| call.by == place && call.purpose == Purpose::Stop(id));
        if live.counts().queued == 0 || stopping {
            return false;
        }
        self.stop_of(id, live).is_some() || !live.queued_from(live.next).is_empty()
    }

    fn stop_of(&self, id: TaskId, live: &Live) -> Option<RunState> {
        let options = &self.database.tasks.get(&id)?.new.options;
        let stop = (self.rules.stopped)(options, live.counts(), live.cancelled, self.now);
        stop.map(crate::policy::Stop::state)
    }

    pub(super) fn dispatch(&mut self, pick: u8) {
        let Some((place, id)) = chosen(self.dispatchers(), pick) else {
            return;
        };
        let me = self.id(place);
        let live = &self.processes[place].lives[&id];
        let stop = self.stop_of(id, live);
        let stop = stop.filter(|_| self.is_due(place, id, live));
        if let Some(state) = stop {
            let queued = live.queued_from(0);
            self.say(|| format!("{me} settles what has not started of task {id}: {state}"));
            let changes = queued.into_iter().map(|(index, attempt)| {
                let run = RunKey { task: id, index };
                self.transition(Work { run, attempt }, withdraw(Outcome::plain(state, None)))
            });
            let changes = changes.collect();
            self.waiting.push(Call {
                by: place,
                changes,
                purpose: Purpose::Stop(id),
            });
            return;
        }
        let Some(live) = self.processes[place].lives.get_mut(&id) else {
            return;
        };
        let (index, attempt) = if let Some(later) = live.later.pop() {
            if live.cancelled {
                return;
            }
            later
        } else {
            let Some(next) = live.queued_from(live.next).first().copied() else {
                return;
            };
            live.next = next.0 as usize + 1;
            next
        };
        let run = RunKey { task: id, index };
        let work = Work { run, attempt };
        self.say(|| format!("{me} publishes {work}"));
        self.publish(place, work);
    }

    pub(super) fn commit(&mut self, pick: u8, all: bool, how: Committed) {
        let mut callers: Vec<usize> = self.waiting.iter().map(|call| call.by).collect();
        callers.dedup();
        let Some(caller) = chosen(callers, pick) else {
            return;
        };
        let (calls, others): (Vec<Call>, Vec<Call>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|call| all || call.by == caller);
        self.waiting = others;
        if how == Committed::Failed {
            self.say(|| format!("a commit of {} calls fails", calls.len()));
            self.waiting.extend(calls);
            return;
        }
        let answers = self
            .database
            .apply(calls.iter().map(|call| call.changes.clone()).collect());
        if how == Committed::AnswerLost {
            self.say(|| format!("{} calls are committed, and their answers are lost", calls.len()));
            self.waiting.extend(calls);
            return;
        }
        self.say(|| format!("{} calls are committed", calls.len()));
        for (call, answers) in calls.into_iter().zip(answers) {
            self.answered(&call, &answers);
        }
    }

    fn answered(&mut self, call: &Call, answers: &[Applied]) {
        for (change, answer) in call.changes.iter().zip(answers) {
            let run = change.run;
            match *answer {
                Applied::Yes { state, attempt, .. } => {
                    self.announce(call.by, Notice::Run { run, state, attempt });
                }
                Applied::No(now) => {
                    if let Some(live) = self.processes[call.by].lives.get_mut(&run.task) {
                        live.correct(run.index, now.state, now.attempt);
                    }
                }
                Applied::NoSuchRun => self.break_promise(|| format!("run {run} is gone")),
            }
        }
        match (call.purpose, answers) {
            (Purpose::Start(work), [answer]) => self.start_answered(call.by, work, *answer),
            (Purpose::Settle(work), _) => self.settle_answered(call.by, work),
            _ => {}
        }
    }

    /// Tells everybody who hears this process.
    fn announce(&mut self, by: usize, notice: Notice) {
        let shared = self.shape.shared_queue;
        for (place, process) in self.processes.iter_mut().enumerate() {
            if process.alive && (shared || place == by) {
                process.mail.push(notice);
            }
        }
    }

    pub(super) fn cancel(&mut self, pick: u8) {
        let Some(place) = chosen(self.workers(), pick) else {
            return;
        };
        let open = self.database.tasks.iter();
        let open = open.filter(|(_, task)| task.finished_at.is_none());
        let Some(id) = chosen(open.map(|(id, _)| *id).collect(), pick) else {
            return;
        };
        let me = self.id(place);
        self.say(|| format!("{me} is asked to cancel task {id}"));
        self.database.cancel(id, self.now);
        self.announce(place, Notice::Cancelled(id));
        if let Some(live) = self.processes[place].lives.get_mut(&id) {
            live.cancelled = true;
        }
    }

    /// Returns the processes that were told something.
    pub(super) fn hearers(&self) -> Vec<usize> {
        let all = self.processes.iter().enumerate();
        all.filter(|(_, process)| process.alive && !process.mail.is_empty())
            .map(|(place, _)| place)
            .collect()
    }

    pub(super) fn hear(&mut self, pick: u8) {
        let Some(place) = chosen(self.hearers(), pick) else {
            return;
        };
        let me = self.id(place);
        self.say(|| format!("{me} hears what was announced"));
        let process = &mut self.processes[place];
        for notice in std::mem::take(&mut process.mail) {
            match notice {
                Notice::Run { run, state, attempt } => {
                    if let Some(live) = process.lives.get_mut(&run.task) {
                        live.note(run.index, state, attempt);
                        let waits = live.runs.get(run.index as usize) == Some(&(RunState::Queued, attempt));
                        if live.dispatched && waits && state == RunState::Queued {
                            live.later.push((run.index, attempt));
                        }
                    }
                }
                Notice::Cancelled(id) => {
                    if let Some(live) = process.lives.get_mut(&id) {
                        live.cancelled = true;
                    }
                }
            }
        }
    }

    pub(super) fn miss(&mut self, pick: u8) {
        let Some(place) = chosen(self.hearers(), pick) else {
            return;
        };
        if self.shape.shared_queue {
            let me = self.id(place);
            self.say(|| format!("{me} misses what was announced"));
            self.processes[place].mail.clear();
        }
    }

    pub(super) fn look(&mut self, pick: u8) {
        let alive = (0..self.processes.len()).filter(|place| self.processes[*place].alive);
        let Some(place) = chosen(alive.collect(), pick) else {
            return;
        };
        let me = self.id(place);
        self.mutter(|| format!("{me} looks into the database"));
        let process = &mut self.processes[place];
        for (id, live) in &mut process.lives {
            let Some(task) = self.database.tasks.get(id) else {
                continue;
            };
            live.cancelled |= task.cancelled_at.is_some();
            let repeats = task.new.options.retries > 0 || task.new.options.expires_at.is_some();
            if !repeats && live.counts() == task.counts() {
                continue;
            }
            for (index, row) in (0..).zip(&task.runs) {
                live.correct(index, row.state, row.attempt);
            }
        }
    }

    pub(super) fn renew(&mut self, pick: u8) {
        let alive = (0..self.processes.len()).filter(|place| self.processes[*place].alive);
        let Some(place) = chosen(alive.collect(), pick) else {
            return;
        };
        let me = self.id(place);
        self.mutter(|| format!("{me} renews its lease"));
        self.processes[place].renewed_at = None;
        self.hold(place);
    }

    /// Sees to it that a process's lease holds.
    pub(super) fn hold(&mut self, place: usize) {
        let process = &mut self.processes[place];
        let fresh = process
            .renewed_at
            .is_some_and(|at| self.now.0 - at.0 <= LEASE / 3);
        if !fresh {
            process.renewed_at = Some(self.now);
            let until = self.now.after(Duration::from_micros(LEASE.unsigned_abs()));
            self.database.heartbeat(&process.id, process.home, until);
        }
    }
}
