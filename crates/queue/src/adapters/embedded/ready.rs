//! The messages of a queue that no consumer holds: by priority, and within a priority by age.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::meter::Charge;
use crate::types::Message;

/// A message in a queue.
#[derive(Debug)]
pub(super) struct Stored {
    /// Its place in the queue: lower is older.
    pub(super) place: u64,
    pub(super) message: Arc<Message>,
    /// The level that its priority means in this queue.
    pub(super) level: u8,
    pub(super) redelivered: bool,
    pub(super) deadline: Option<Instant>,
    /// The queues that it left by itself (expired, surplus) since somebody last rejected it.
    pub(super) left: Option<Arc<[u64]>>,
    /// Gives its share of the limits back when it goes.
    #[expect(dead_code, reason = "its drop is its use")]
    pub(super) charge: Charge,
}

impl Stored {
    fn is_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// The waiting messages.
#[derive(Debug)]
pub(super) struct Ready {
    levels: Vec<VecDeque<Stored>>,
    /// No level above this one holds a message.
    top: usize,
    len: usize,
}

impl Ready {
    pub(super) fn new(max_priority: u8) -> Self {
        let mut levels = Vec::new();
        levels.resize_with(usize::from(max_priority) + 1, VecDeque::new);
        Self {
            levels,
            top: 0,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the level that a priority means here.
    pub(super) fn level(&self, priority: u8) -> u8 {
        let most = u8::try_from(self.levels.len() - 1).unwrap_or(u8::MAX);
        priority.min(most)
    }

    /// Adds the newest message.
    pub(super) fn push(&mut self, stored: Stored) {
        let level = usize::from(stored.level);
        self.levels[level].push_back(stored);
        self.top = self.top.max(level);
        self.len += 1;
    }

    /// Puts a message back to its place.
    pub(super) fn restore(&mut self, stored: Stored) {
        let level = usize::from(stored.level);
        let waiting = &mut self.levels[level];
        if waiting.front().is_none_or(|front| front.place > stored.place) {
            waiting.push_front(stored);
        } else {
            let at = waiting.partition_point(|other| other.place < stored.place);
            waiting.insert(at, stored);
        }
        self.top = self.top.max(level);
        self.len += 1;
    }

    /// Takes the next message that is not expired; those that are go to `expired`.
    pub(super) fn pop(&mut self, now: Instant, expired: &mut Vec<Stored>) -> Option<Stored> {
        while self.len > 0 {
            match self.levels[self.top].pop_front() {
                None => self.top = self.top.saturating_sub(1),
                Some(stored) => {
                    self.len -= 1;
                    if self.len == 0 {
                        release(&mut self.levels[self.top]);
                    }
                    if !stored.is_expired(now) {
                        return Some(stored);
                    }
                    expired.push(stored);
                }
            }
        }
        None
    }

    /// Takes what has expired at the head of each level.
    pub(super) fn expire(&mut self, now: Instant, expired: &mut Vec<Stored>) {
        for waiting in &mut self.levels {
            while waiting.front().is_some_and(|front| front.is_expired(now)) {
                expired.extend(waiting.pop_front());
                self.len -= 1;
            }
        }
    }

    /// Returns when the first head expires.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.levels
            .iter()
            .filter_map(|waiting| waiting.front()?.deadline)
            .min()
    }

    /// Takes the oldest message, leaving alone the `spared` that would be delivered first.
    pub(super) fn take_oldest(&mut self, spared: usize) -> Option<Stored> {
        let mut spared = spared;
        let mut oldest: Option<(u64, usize, usize)> = None;
        for (level, waiting) in self.levels.iter().enumerate().rev() {
            let at = spared.min(waiting.len());
            spared -= at;
            if let Some(candidate) = waiting.get(at)
                && oldest.is_none_or(|(place, ..)| candidate.place < place)
            {
                oldest = Some((candidate.place, level, at));
            }
        }
        let (_, level, at) = oldest?;
        let taken = self.levels[level].remove(at);
        self.len -= usize::from(taken.is_some());
        taken
    }

    /// Takes everything.
    pub(super) fn clear(&mut self) -> Vec<VecDeque<Stored>> {
        self.len = 0;
        self.top = 0;
        self.levels.iter_mut().map(std::mem::take).collect()
    }
}

/// Gives the memory of a long backlog back once it is gone.
fn release(waiting: &mut VecDeque<Stored>) {
    if waiting.capacity() > 4096 {
        waiting.shrink_to(1024);
    }
}
