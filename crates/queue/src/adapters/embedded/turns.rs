//! Whose turn it is: consumers with room, and the turns that messages give them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use super::core::Effects;
use super::ready::{Ready, Stored};
use crate::types::Message;

/// What a queue holds, and whose turn it is.
#[derive(Debug)]
pub(super) struct State {
    pub(super) ready: Ready,
    pub(super) next_place: u64,
    /// How many of the ready messages are promised to consumers.
    pub(super) turns: usize,
    pub(super) members: HashMap<u64, Member>,
    next_member: u64,
    /// The consumers with room, the next one first; each at most once.
    ring: VecDeque<u64>,
    /// When the timer looks at this queue.
    pub(super) armed: Option<Instant>,
    pub(super) ended: bool,
}

/// A consumer.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) prefetch: usize,
    /// Turns that it has not taken.
    pub(super) turns: usize,
    pub(super) held: HashMap<u64, Stored>,
    next_tag: u64,
    in_ring: bool,
    pub(super) waker: Option<Waker>,
}

impl Member {
    fn room(&self) -> usize {
        self.prefetch.saturating_sub(self.turns + self.held.len())
    }

    /// Gives turns beyond its prefetch back; returns how many.
    pub(super) fn return_turns(&mut self) -> usize {
        let beyond = (self.turns + self.held.len()).saturating_sub(self.prefetch);
        let returned = beyond.min(self.turns);
        self.turns -= returned;
        returned
    }
}

impl State {
    pub(super) fn new(max_priority: u8) -> Self {
        Self {
            ready: Ready::new(max_priority),
            next_place: 0,
            turns: 0,
            members: HashMap::new(),
            next_member: 0,
            ring: VecDeque::new(),
            armed: None,
            ended: false,
        }
    }

    /// Adds a consumer and puts it into the ring.
    pub(super) fn admit(&mut self, prefetch: u32) -> u64 {
        let id = self.next_member;
        self.next_member += 1;
        let member = Member {
            prefetch: prefetch as usize,
            turns: 0,
            held: HashMap::new(),
            next_tag: 1,
            in_ring: false,
            waker: None,
        };
        self.members.insert(id, member);
        self.enrol(id);
        id
    }

    /// Puts a consumer with room into the ring.
    pub(super) fn enrol(&mut self, id: u64) {
        if let Some(member) = self.members.get_mut(&id)
            && !member.in_ring
            && member.room() > 0
        {
            member.in_ring = true;
            self.ring.push_back(id);
        }
    }

    /// Gives turns for messages that nobody has a turn for, one consumer after the other.
    pub(super) fn dispatch(&mut self, effects: &mut Effects) {
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
    pub(super) fn trim(&mut self) {
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
    pub(super) fn take(
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

    pub(super) fn end(&mut self, effects: &mut Effects) {
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
