//! One queue: its messages, its consumers, and whose turn it is.
//!
//! Fair dispatch works by turns. A message that arrives gives the next consumer with room a turn, not the
//! message itself; what a turn is worth is decided when the consumer asks. So consumers are served in turn
//! as in RabbitMQ, yet an urgent message overtakes up to the last moment, nothing that was never seen is
//! marked redelivered, and a dropped `next` can lose nothing.
//!
//! Nothing here wakes, publishes or calls out under the lock: what has to happen comes back as [`Effects`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::meter::{Charge, Full, Meter};
use super::ready::Stored;
use super::turns::State;
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
    pub(super) spent: Vec<Stored>,
    pub(super) cleared: Vec<VecDeque<Stored>>,
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

impl Core {
    pub(super) fn new(id: u64, name: &str, options: QueueOptions, meter: Arc<Meter>) -> Self {
        let state = State::new(options.max_priority);
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
        let id = state.admit(prefetch);
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
        let returned = member.return_turns();
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
