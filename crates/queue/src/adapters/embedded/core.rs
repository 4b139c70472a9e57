//! One queue: its messages, its consumers, and whose turn it is.
//!
//! Fair dispatch works by turns. A message that arrives gives the next consumer with room a turn, not the
//! message itself; what a turn is worth is decided when the consumer asks. So consumers are served in turn
//! as in RabbitMQ, yet an urgent message overtakes up to the last moment, nothing that was never seen is
//! marked redelivered, and a dropped `next` can lose nothing.
//!
//! Nothing here wakes, publishes or calls out under the lock: what has to happen comes back as [`Effects`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::meter::{Charge, Full, Meter};
use super::ready::{Ready, Stored};
use crate::types::{Delivery, Message, QueueOptions};

/// Why a message became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Rejected,
    Expired,
    Surplus,
}

/// A message that leaves its queue for the dead-letter exchange.
#[derive(Debug)]
pub(super) struct Dead {
    pub(super) stored: Stored,
    pub(super) reason: Reason,
}

/// What has to be done once the queue's lock is released.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Effects {
    /// Consumers that have a turn now, or whose queue has ended.
    pub(super) wake: Vec<Waker>,
    /// Dead letters, oldest first.
    pub(super) dead: Vec<Dead>,
    /// When the queue wants to be looked at again.
    pub(super) arm: Option<Instant>,
    /// The queue deleted itself.
    pub(super) gone: bool,
    /// Messages that are done with, freed outside the lock.
    spent: Vec<Stored>,
    cleared: Vec<VecDeque<Stored>>,
}

/// A message on its way in.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) message: Arc<Message>,
    pub(super) charge: Charge,
    pub(super) left: Option<Arc<[u64]>>,
}

/// A queue.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) options: QueueOptions,
    meter: Arc<Meter>,
    state: Mutex<State>,
}

impl PartialEq for Core {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

#[derive(Debug)]
struct State {
    ready: Ready,
    next_place: u64,
    /// How many of the ready messages are promised to consumers.
    turns: usize,
    members: HashMap<u64, Member>,
    next_member: u64,
    /// The consumers with room, the next one first; each at most once.
    ring: VecDeque<u64>,
    /// When the timer looks at this queue.
    armed: Option<Instant>,
    ended: bool,
}

#[derive(Debug)]
struct Member {
    prefetch: usize,
    /// Turns that it has not taken.
    turns: usize,
    held: HashMap<u64, Stored>,
    next_tag: u64,
    in_ring: bool,
    waker: Option<Waker>,
}

impl Member {
    fn room(&self) -> usize {
        self.prefetch.saturating_sub(self.turns + self.held.len())
    }
}

impl Core {
    pub(super) fn new(id: u64, name: &str, options: QueueOptions, meter: Arc<Meter>) -> Self {
        let state = State {
            ready: Ready::new(options.max_priority),
            next_place: 0,
            turns: 0,
            members: HashMap::new(),
            next_member: 0,
            ring: VecDeque::new(),
            armed: None,
            ended: false,
        };
        Self {
            id,
            name: name.to_owned(),
            options,
            meter,
            state: Mutex::new(state),
        }
    }

    /// Takes room for one message.
    pub(super) fn charge(&self, bytes: u64) -> Result<Charge, Full> {
        self.meter.charge(bytes)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Adds messages, in order. A queue that has ended drops them.
    pub(super) fn push(&self, incoming: impl Iterator<Item = Incoming>, now: Instant) -> Effects {
        let mut effects = Effects::default();
        let mut state = self.state.lock();
        if state.ended {
            return effects;
        }
        for Incoming {
            message,
            charge,
            left,
        } in incoming
        {
            let wait = match (self.options.message_ttl, message.expires) {
                (Some(queue), Some(own)) => Some(queue.min(own)),
                (queue, own) => queue.or(own),
            };
            let stored = Stored {
                place: state.next_place,
                level: state.ready.level(message.priority),
                message,
                redelivered: false,
                deadline: wait.and_then(|wait| now.checked_add(wait)),
                left,
                charge,
            };
            state.next_place += 1;
            state.ready.push(stored);
        }
        self.expire(&mut state, now, &mut effects);
        state.dispatch(&mut effects);
        self.shed(&mut state, &mut effects);
        self.arm(&mut state, &mut effects);
        effects
    }

    /// Adds a consumer; None where the queue has ended.
    pub(super) fn join(&self, prefetch: u32, now: Instant) -> (Option<u64>, Effects) {
        let mut effects = Effects::default();
        let mut state = self.state.lock();
        if state.ended {
            return (None, effects);
        }
        let id = state.next_member;
        state.next_member += 1;
        let member = Member {
            prefetch: prefetch as usize,
            turns: 0,
            held: HashMap::new(),
            next_tag: 1,
            in_ring: false,
            waker: None,
        };
        state.members.insert(id, member);
        state.enrol(id);
        self.expire(&mut state, now, &mut effects);
        state.dispatch(&mut effects);
        self.arm(&mut state, &mut effects);
        (Some(id), effects)
    }

    /// Takes a consumer away; what it held goes back to its place, marked redelivered.
    pub(super) fn leave(&self, id: u64, now: Instant) -> Effects {
        let mut effects = Effects::default();
        let mut state = self.state.lock();
        let Some(member) = state.members.remove(&id) else {
            return effects;
        };
        state.turns -= member.turns;
        let mut held: Vec<Stored> = member.held.into_values().collect();
        // The newest first: each then goes in front of what is there.
        held.sort_unstable_by_key(|stored| std::cmp::Reverse(stored.place));
        for mut stored in held {
            stored.redelivered = true;
            state.ready.restore(stored);
        }
        if self.options.auto_delete && state.members.is_empty() {
            state.end(&mut effects);
            effects.gone = true;
            return effects;
        }
        self.expire(&mut state, now, &mut effects);
        state.dispatch(&mut effects);
        self.arm(&mut state, &mut effects);
        effects
    }

    /// Gives a consumer its next message where it has a turn.
    pub(super) fn poll_take(
        &self,
        id: u64,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> (Poll<Option<Delivery>>, Effects) {
        let mut effects = Effects::default();
        let mut state = self.state.lock();
        if state.ended {
            return (Poll::Ready(None), effects);
        }
        let taken = state.take(id, now, &mut effects.spent);
        self.bury_spent(&mut effects);
        self.arm(&mut state, &mut effects);
        let answer = match taken {
            Some((tag, redelivered, message)) => {
                drop(state);
                let message = Message::clone(&message);
                Poll::Ready(Some(Delivery {
                    tag,
                    redelivered,
                    message,
                }))
            }
            None => {
                if let Some(member) = state.members.get_mut(&id) {
                    match &mut member.waker {
                        Some(waker) => waker.clone_from(cx.waker()),
                        waker => *waker = Some(cx.waker().clone()),
                    }
                }
                Poll::Pending
            }
        };
        (answer, effects)
    }

    /// Settles: done with. Unknown tags are ignored.
    pub(super) fn ack(&self, id: u64, tags: &[u64]) -> Effects {
        let mut effects = Effects::default();
        let mut state = self.state.lock();
        let Some(member) = state.members.get_mut(&id) else {
            return effects;
        };
        effects
            .spent
            .extend(tags.iter().filter_map(|tag| member.held.remove(tag)));
        state.enrol(id);
        state.dispatch(&mut effects);
        effects
    }

    /// Settles: back to its place, or out. An unknown tag is ignored.
    pub(super) fn reject(&self, id: u64, tag: u64, requeue: bool, now: Instant) -> Effects {
        let mut effects = Effects::default();
        let mut state = self.state.lock();
        let rejected = state
            .members
            .get_mut(&id)
            .and_then(|member| member.held.remove(&tag));
        let Some(mut stored) = rejected else {
            return effects;
        };
        if requeue {
            stored.redelivered = true;
            state.ready.restore(stored);
            self.expire(&mut state, now, &mut effects);
        } else {
            self.bury(stored, Reason::Rejected, &mut effects);
        }
        state.enrol(id);
        state.dispatch(&mut effects);
        self.arm(&mut state, &mut effects);
        effects
    }

    /// Changes how much a consumer may hold; turns beyond it go to the others.
    pub(super) fn set_prefetch(&self, id: u64, prefetch: u32) -> Effects {
        let mut effects = Effects::default();
        let mut state = self.state.lock();
        let Some(member) = state.members.get_mut(&id) else {
            return effects;
        };
        member.prefetch = prefetch as usize;
        let beyond = (member.turns + member.held.len()).saturating_sub(member.prefetch);
        let returned = beyond.min(member.turns);
        member.turns -= returned;
        state.turns -= returned;
        state.enrol(id);
        state.dispatch(&mut effects);
        effects
    }

    /// Returns how many messages wait for a turn.
    pub(super) fn depth(&self, now: Instant) -> (u64, Effects) {
        let mut effects = Effects::default();
        let mut state = self.state.lock();
        self.expire(&mut state, now, &mut effects);
        self.arm(&mut state, &mut effects);
        ((state.ready.len() - state.turns) as u64, effects)
    }

    /// Frees what has expired.
    pub(super) fn sweep(&self, now: Instant) -> Effects {
        self.depth(now).1
    }

    /// Answers the timer that was set for `at`.
    pub(super) fn fire(&self, at: Instant, now: Instant) -> Effects {
        let mut effects = Effects::default();
        let mut state = self.state.lock();
        // Another time was set since: that one counts.
        if state.armed != Some(at) {
            return effects;
        }
        state.armed = None;
        self.expire(&mut state, now, &mut effects);
        self.arm(&mut state, &mut effects);
        effects
    }

    /// Ends the queue: its messages go, its consumers end.
    pub(super) fn end(&self) -> Effects {
        let mut effects = Effects::default();
        self.state.lock().end(&mut effects);
        effects
    }

    /// Takes what expired at the heads out.
    fn expire(&self, state: &mut State, now: Instant, effects: &mut Effects) {
        state.ready.expire(now, &mut effects.spent);
        state.trim();
        self.bury_spent(effects);
    }

    /// Makes dead letters of what expired, where somebody wants them.
    fn bury_spent(&self, effects: &mut Effects) {
        if self.options.dead_letter_exchange.is_some() {
            let expired = effects.spent.drain(..);
            effects.dead.extend(expired.map(|stored| Dead {
                stored,
                reason: Reason::Expired,
            }));
        }
    }

    fn bury(&self, stored: Stored, reason: Reason, effects: &mut Effects) {
        if self.options.dead_letter_exchange.is_some() {
            effects.dead.push(Dead { stored, reason });
        } else {
            effects.spent.push(stored);
        }
    }

    /// Takes the surplus over `max_length` out.
    fn shed(&self, state: &mut State, effects: &mut Effects) {
        let Some(most) = self.options.max_length else {
            return;
        };
        while (state.ready.len() - state.turns) as u64 > most {
            match state.ready.take_oldest(state.turns) {
                Some(stored) => self.bury(stored, Reason::Surplus, effects),
                None => return,
            }
        }
    }

    /// Asks for the timer where a dead letter will be due: expiry that nobody sees needs none.
    fn arm(&self, state: &mut State, effects: &mut Effects) {
        if self.options.dead_letter_exchange.is_none() {
            return;
        }
        if let Some(deadline) = state.ready.next_deadline()
            && state.armed.is_none_or(|armed| deadline < armed)
        {
            state.armed = Some(deadline);
            effects.arm = Some(deadline);
        }
    }
}

impl State {
    /// Puts a consumer with room into the ring.
    fn enrol(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id)
            && !member.in_ring
            && member.room() > 0
        {
            member.in_ring = true;
            self.ring.push_back(id);
        }
    }

    /// Gives turns for messages that nobody has a turn for, one consumer after the other.
    fn dispatch(&mut self, effects: &mut Effects) {
        while self.turns < self.ready.len() {
            let Some(id) = self.ring.pop_front() else {
                return;
            };
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            member.in_ring = false;
            if member.room() == 0 {
                continue;
            }
            member.turns += 1;
            self.turns += 1;
            effects.wake.extend(member.waker.take());
            if member.room() > 0 {
                member.in_ring = true;
                self.ring.push_back(id);
            }
        }
    }

    /// Takes turns back that no message stands behind any more.
    fn trim(&mut self) {
        if self.turns <= self.ready.len() {
            return;
        }
        let mut robbed = Vec::new();
        for (id, member) in &mut self.members {
            let taken = member.turns.min(self.turns - self.ready.len());
            member.turns -= taken;
            self.turns -= taken;
            if taken > 0 {
                robbed.push(*id);
            }
        }
        for id in robbed {
            self.enrol(id);
        }
    }

    /// Cashes a consumer's turn in.
    fn take(
        &mut self,
        id: u64,
        now: Instant,
        expired: &mut Vec<Stored>,
    ) -> Option<(u64, bool, Arc<Message>)> {
        let member = self.members.get_mut(&id).filter(|member| member.turns > 0)?;
        let popped = self.ready.pop(now, expired);
        let taken = popped.map(|stored| {
            let tag = member.next_tag;
            let answer = (tag, stored.redelivered, Arc::clone(&stored.message));
            member.next_tag += 1;
            member.turns -= 1;
            member.held.insert(tag, stored);
            self.turns -= 1;
            answer
        });
        self.trim();
        taken
    }

    fn end(&mut self, effects: &mut Effects) {
        self.ended = true;
        self.turns = 0;
        self.ring.clear();
        effects.cleared = self.ready.clear();
        for (_, member) in self.members.drain() {
            effects.wake.extend(member.waker);
            effects.spent.extend(member.held.into_values());
        }
    }
}
