//! What a process does with an attempt, from the message to the settled end.

use super::process::{Hand, Live, Phase, Work};
use super::step::{Begun, Reached};
use super::world::{Call, Purpose, World, chosen};
use crate::run::Applied;
use crate::run::{Change, Outcome, RunState, Transition, Unreachable};
use crate::task::Options;

/// A process's place, and an attempt in its hands.
type InHand = (usize, Work);

impl World {
    pub(super) fn duplicate(&mut self, pick: u8) {
        if let Some(message) = chosen(self.queue.clone(), pick) {
            self.say(|| format!("{} is delivered again", message.work));
            self.publish(message.of, message.work);
        }
    }

    /// Returns who may take which message.
    pub(super) fn takers(&self) -> Vec<(usize, u64)> {
        let mut all = Vec::new();
        for message in self.queue.iter().filter(|message| message.taken_by.is_none()) {
            for (place, process) in self.processes.iter().enumerate() {
                if process.works() && self.reads(place, message) {
                    all.push((place, message.id));
                }
            }
        }
        all
    }

    pub(super) fn take(&mut self, pick: u8) {
        let Some((place, id)) = chosen(self.takers(), pick) else {
            return;
        };
        let Some(message) = self.queue.iter_mut().find(|message| message.id == id) else {
            return;
        };
        message.taken_by = Some(place);
        let work = message.work;
        let me = self.id(place);
        if self.processes[place].hand_mut(work).is_some() {
            self.say(|| format!("{me} takes {work}, which it has in hand"));
            return self.acknowledge(id);
        }
        let Some(task) = self.database.tasks.get(&work.run.task) else {
            return;
        };
        let (options, finished, fresh) = (
            task.new.options.clone(),
            task.finished_at.is_some(),
            Live::of(task),
        );
        if !self.processes[place].lives.contains_key(&work.run.task) {
            if finished {
                self.say(|| format!("{me} takes {work}, whose task is done"));
                return self.acknowledge(id);
            }
            self.processes[place].lives.insert(work.run.task, fresh);
        }
        let live = &self.processes[place].lives[&work.run.task];
        let over = live.is_over(work);
        let stop = (self.rules.stopped)(&options, live.counts(), live.cancelled, self.now);
        if over && live.whole {
            self.say(|| format!("{me} takes {work}, which is over"));
            return self.acknowledge(id);
        }
        self.say(|| format!("{me} takes {work}"));
        self.processes[place].hands.push(Hand {
            work,
            message: Some(id),
            phase: Phase::Taken,
        });
        if !self.rules.habits.acknowledges_late {
            self.acknowledge_of(place, work);
        }
        if let Some(stop) = stop {
            let change = withdraw(Outcome::plain(stop.state(), None));
            self.settle(place, work, change);
        } else {
            self.hold(place);
        }
    }

    /// Returns the attempts in living processes' hands that are in some phase.
    fn in_hand(&self, phase: impl Fn(Phase) -> bool) -> Vec<InHand> {
        let mut all = Vec::new();
        for (place, process) in self.processes.iter().enumerate() {
            let hands = process.hands.iter().filter(|hand| phase(hand.phase));
            all.extend(hands.map(|hand| (place, hand.work)));
        }
        all
    }

    pub(super) fn taken_hands(&self) -> Vec<InHand> {
        self.in_hand(|phase| phase == Phase::Taken)
    }

    pub(super) fn reach(&mut self, pick: u8, how: Reached) {
        let Some((place, work)) = chosen(self.taken_hands(), pick) else {
            return;
        };
        let me = self.id(place);
        if self.processes[place].heard_cancel(work.run.task) {
            self.say(|| format!("{me} gives {work} up, as its task was cancelled"));
            return self.settle(place, work, withdraw(Outcome::plain(RunState::Cancelled, None)));
        }
        let reason = match how {
            Reached::Yes => {
                self.say(|| format!("{me} reaches the host and asks for the start of {work}"));
                let executor = self.id(place);
                return self.ask(
                    place,
                    Purpose::Start(work),
                    work,
                    Phase::Starting,
                    Change::Start { executor },
                );
            }
            Reached::NotNow => Unreachable::Refused,
            Reached::Never => Unreachable::HostKeyChanged,
        };
        self.say(|| format!("{me} cannot reach the host of {work}: {reason:?}"));
        self.conclude(place, work, Outcome::unreachable(reason, String::new()));
    }

    pub(super) fn started_hands(&self) -> Vec<InHand> {
        let hasty = !self.rules.habits.waits_for_the_start;
        self.in_hand(|phase| phase == Phase::Started || (hasty && phase == Phase::Starting))
    }

    pub(super) fn begin(&mut self, pick: u8, how: Begun) {
        let Some((place, work)) = chosen(self.started_hands(), pick) else {
            return;
        };
        let me = self.id(place);
        let durable = self
            .database
            .starts
            .contains(&(work.run, work.attempt, me.clone()));
        let deed = self.hosts.entry((work.run, work.attempt)).or_default();
        if matches!(how, Begun::Yes | Begun::Unknown) {
            deed.begins += 1;
            deed.running = true;
            if !durable {
                self.break_promise(|| format!("{me} begins {work}, whose start by it is not durable"));
            }
        }
        match how {
            Begun::Yes => {
                self.say(|| format!("{me} sends the command: {work} begins"));
                if let Some(hand) = self.processes[place].hand_mut(work) {
                    hand.phase = Phase::Running { printed: 0 };
                }
            }
            Begun::Refused => {
                self.say(|| format!("the host refuses to run {work}"));
                self.conclude(place, work, Outcome::plain(RunState::Failed, None));
            }
            Begun::Unknown | Begun::UnknownAndNot => {
                let begins = if how == Begun::Unknown {
                    "begins"
                } else {
                    "does not begin"
                };
                self.say(|| format!("{me} loses the connection: {work} {begins}"));
                self.conclude(place, work, Outcome::plain(RunState::Lost, None));
            }
        }
    }

    /// Returns the attempts that run on their hosts.
    pub(super) fn running(&self) -> Vec<Work> {
        let running = self.hosts.iter().filter(|(_, deed)| deed.running);
        running
            .map(|(&(run, attempt), _)| Work { run, attempt })
            .collect()
    }

    pub(super) fn print(&mut self, pick: u8) {
        let Some(work) = chosen(self.running(), pick) else {
            return;
        };
        self.say(|| format!("{work} prints"));
        self.hosts.entry((work.run, work.attempt)).or_default().printed += 1;
        for process in &mut self.processes {
            if let Some(Hand {
                phase: Phase::Running { printed },
                ..
            }) = process.hand_mut(work)
            {
                *printed += 1;
            }
        }
    }

    pub(super) fn exit(&mut self, pick: u8, code: u8) {
        let Some(work) = chosen(self.running(), pick) else {
            return;
        };
        self.say(|| format!("{work} exits {code}"));
        let deed = self.hosts.entry((work.run, work.attempt)).or_default();
        deed.running = false;
        deed.ended = Some(code);
    }

    fn attended(&self, ended: bool) -> Vec<InHand> {
        let mut all = self.in_hand(|phase| matches!(phase, Phase::Running { .. }));
        all.retain(|(_, work)| {
            let deed = self.hosts.get(&(work.run, work.attempt));
            deed.is_some_and(|deed| deed.running != ended)
        });
        all
    }

    /// Returns who may see the end of which command.
    pub(super) fn seers(&self) -> Vec<InHand> {
        self.attended(true)
    }

    pub(super) fn see(&mut self, pick: u8) {
        let Some((place, work)) = chosen(self.seers(), pick) else {
            return;
        };
        let me = self.id(place);
        let code = self
            .hosts
            .get(&(work.run, work.attempt))
            .and_then(|deed| deed.ended);
        self.say(|| format!("{me} sees the end of {work}"));
        let state = if code == Some(0) {
            RunState::Succeeded
        } else {
            RunState::Failed
        };
        let outcome = Outcome {
            exit_code: code.map(i32::from),
            ..Outcome::plain(state, None)
        };
        self.conclude(place, work, outcome);
    }

    pub(super) fn break_off(&mut self, pick: u8) {
        let Some((place, work)) = chosen(self.attended(false), pick) else {
            return;
        };
        let me = self.id(place);
        self.say(|| format!("{me} loses the connection to {work}"));
        let outcome = if self.rules.habits.doubts {
            Outcome::plain(RunState::Lost, None)
        } else {
            Outcome::plain(RunState::Succeeded, None)
        };
        self.conclude(place, work, outcome);
    }

    /// Returns the running commands whose tasks are cancelled, or whose processes leave.
    pub(super) fn cancelled_hands(&self) -> Vec<InHand> {
        let mut all = self.in_hand(|phase| matches!(phase, Phase::Running { .. }));
        all.retain(|(place, work)| {
            let process = &self.processes[*place];
            process.draining || process.heard_cancel(work.run.task)
        });
        all
    }

    pub(super) fn end_early(&mut self, pick: u8, killed: bool) {
        let mut all = self.cancelled_hands();
        for (place, work) in self.in_hand(|phase| matches!(phase, Phase::Running { .. })) {
            let has_timeout = self.options(work).timeout.is_some();
            if has_timeout && !all.contains(&(place, work)) {
                all.push((place, work));
            }
        }
        let cancelled = self.cancelled_hands();
        let Some((place, work)) = chosen(all, pick) else {
            return;
        };
        let (state, why) = if cancelled.contains(&(place, work)) {
            (RunState::Cancelled, "is cancelled")
        } else {
            (RunState::TimedOut, "is out of time")
        };
        let me = self.id(place);
        let gone = killed && self.rules.habits.kills_first;
        self.say(|| {
            let how = if killed { "kills it" } else { "cannot kill it" };
            format!("{work} {why}: {me} {how}")
        });
        if gone {
            let deed = self.hosts.entry((work.run, work.attempt)).or_default();
            deed.running = false;
        }
        let state = if killed { state } else { RunState::Lost };
        self.conclude(place, work, Outcome::plain(state, None));
    }

    /// Asks for the end of an attempt that came to an outcome.
    fn conclude(&mut self, place: usize, work: Work, mut outcome: Outcome) {
        if let Some(Hand {
            phase: Phase::Running { printed },
            ..
        }) = self.processes[place].hand_mut(work)
        {
            outcome.stdout_bytes = *printed;
        }
        let cancelled = self.processes[place].heard_cancel(work.run.task);
        let change =
            (self.rules.again_or_settle)(&self.options(work), work.attempt, cancelled, outcome, None);
        self.settle(place, work, change);
    }

    pub(super) fn settle(&mut self, place: usize, work: Work, change: Change) {
        self.ask(place, Purpose::Settle(work), work, Phase::Settling, change);
    }

    fn ask(&mut self, place: usize, purpose: Purpose, work: Work, phase: Phase, change: Change) {
        if let Some(hand) = self.processes[place].hand_mut(work) {
            hand.phase = phase;
        }
        let changes = vec![self.transition(work, change)];
        self.waiting.push(Call {
            by: place,
            changes,
            purpose,
        });
    }

    pub(super) fn transition(&self, work: Work, change: Change) -> Transition {
        Transition {
            run: work.run,
            attempt: work.attempt,
            at: self.now,
            change,
        }
    }

    fn options(&self, work: Work) -> Options {
        let task = self.database.tasks.get(&work.run.task);
        task.map(|task| task.new.options.clone()).unwrap_or_default()
    }

    /// The start of an attempt was answered.
    pub(super) fn start_answered(&mut self, place: usize, work: Work, answer: Applied) {
        let started = match answer {
            Applied::Yes { .. } => true,
            Applied::No(refused) if refused.state == RunState::Started => {
                let mine = self.database.row(work.run).is_some_and(|row| {
                    row.attempt == work.attempt && row.executor.as_ref() == Some(&self.processes[place].id)
                });
                mine || !self.rules.habits.reads_back
            }
            _ => false,
        };
        self.acknowledge_of(place, work);
        let process = &mut self.processes[place];
        if !started {
            process.hands.retain(|hand| hand.work != work);
        } else if let Some(hand) = process.hand_mut(work)
            && hand.phase == Phase::Starting
        {
            hand.phase = Phase::Started;
        }
    }

    /// The end of an attempt was answered.
    pub(super) fn settle_answered(&mut self, place: usize, work: Work) {
        self.acknowledge_of(place, work);
        self.processes[place].hands.retain(|hand| hand.work != work);
    }

    fn acknowledge_of(&mut self, place: usize, work: Work) {
        let message = self.processes[place]
            .hand_mut(work)
            .and_then(|hand| hand.message.take());
        if let Some(message) = message {
            self.acknowledge(message);
        }
    }

    fn acknowledge(&mut self, id: u64) {
        self.queue.retain(|message| message.id != id);
    }
}

/// Returns the end of a run that has not started and is not to start.
pub(super) fn withdraw(outcome: Outcome) -> Change {
    Change::Withdraw { outcome }
}
