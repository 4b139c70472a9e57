//! One shard of the cache: entries by key, by age of their last use, and by the end of their lifetime.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use super::value::Value;

/// What an entry costs beside its key and its value: its slot and its places in the three orders.
pub(super) const OVERHEAD: u64 = 240;

/// No slot.
const NONE: usize = usize::MAX;

/// A shard.
#[derive(Debug, Default)]
pub(super) struct Shard {
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
    index: HashMap<Arc<str>, usize>,
    expiries: BTreeSet<(Instant, usize)>,
    /// The ends of the list by last use.
    ends: Option<(usize, usize)>,
    bytes: u64,
}

/// An entry.
#[derive(Debug)]
pub(super) struct Entry {
    key: Arc<str>,
    value: Value,
    expires: Instant,
    /// When it was last used, in the cache's own count.
    used: u64,
    newer: usize,
    older: usize,
}

impl Entry {
    fn cost(&self) -> u64 {
        OVERHEAD + self.key.len() as u64 + self.value.cost()
    }
}

impl Shard {
    /// Returns what it costs in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns when its least recently used entry was used.
    pub(super) fn oldest_use(&self) -> Option<u64> {
        let (_, oldest) = self.ends?;
        self.slots[oldest].as_ref().map(|entry| entry.used)
    }

    /// Returns when the first of its lifetimes ends.
    pub(super) fn first_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(expires, _)| *expires)
    }

    /// Looks a live value up and counts it as used.
    pub(super) fn find(&mut self, key: &str, now: Instant, used: u64) -> Option<&Value> {
        let slot = self.live(key, now)?;
        self.use_slot(slot, used);
        self.slots[slot].as_ref().map(|entry| &entry.value)
    }

    /// Returns the slot of a live value; removes one whose lifetime is over.
    fn live(&mut self, key: &str, now: Instant) -> Option<usize> {
        let slot = *self.index.get(key)?;
        let expires = self.slots[slot].as_ref()?.expires;
        if expires <= now {
            self.remove_slot(slot);
            return None;
        }
        Some(slot)
    }

    /// Puts a value, in place of what is there.
    pub(super) fn put(&mut self, key: &str, value: Value, expires: Instant, used: u64) {
        if let Some(slot) = self.index.get(key) {
            self.remove_slot(*slot);
        }
        let key: Arc<str> = key.into();
        let entry = Entry {
            key: Arc::clone(&key),
            value,
            expires,
            used,
            newer: NONE,
            older: NONE,
        };
        self.bytes += entry.cost();
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(entry);
                slot
            }
            None => {
                self.slots.push(Some(entry));
                self.slots.len() - 1
            }
        };
        self.index.insert(key, slot);
        self.expiries.insert((expires, slot));
        self.link(slot);
    }

    /// Changes a live value in place and counts its lifetime anew; None where there is none.
    pub(super) fn change<T>(
        &mut self,
        key: &str,
        now: Instant,
        expires: Instant,
        used: u64,
        change: impl FnOnce(&mut Value) -> T,
    ) -> Option<T> {
        let slot = self.live(key, now)?;
        let entry = self.slots[slot].as_mut()?;
        let before = entry.cost();
        let result = change(&mut entry.value);
        let after = entry.cost();
        let ended = std::mem::replace(&mut entry.expires, expires);
        self.bytes = self.bytes - before + after;
        if ended != expires {
            self.expiries.remove(&(ended, slot));
            self.expiries.insert((expires, slot));
        }
        self.use_slot(slot, used);
        Some(result)
    }

    /// Removes a value; tells whether a live one was there.
    pub(super) fn remove(&mut self, key: &str, now: Instant) -> bool {
        let slot = self.live(key, now);
        slot.and_then(|slot| self.remove_slot(slot)).is_some()
    }

    /// Removes one entry whose lifetime is over.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Entry> {
        let (expires, slot) = *self.expiries.first()?;
        if expires > now {
            return None;
        }
        self.remove_slot(slot)
    }

    /// Removes the least recently used entry.
    pub(super) fn evict(&mut self) -> Option<Entry> {
        let (_, oldest) = self.ends?;
        self.remove_slot(oldest)
    }

    fn remove_slot(&mut self, slot: usize) -> Option<Entry> {
        self.unlink(slot);
        let entry = self.slots[slot].take()?;
        self.index.remove(&entry.key);
        self.expiries.remove(&(entry.expires, slot));
        self.free.push(slot);
        self.bytes -= entry.cost();
        Some(entry)
    }

    /// Makes an entry the most recently used.
    fn use_slot(&mut self, slot: usize, used: u64) {
        if self.ends.is_none_or(|(newest, _)| newest != slot) {
            self.unlink(slot);
            self.link(slot);
        }
        if let Some(entry) = &mut self.slots[slot] {
            entry.used = used;
        }
    }

    fn link(&mut self, slot: usize) {
        let newest = self.ends.map(|(newest, _)| newest);
        if let Some(entry) = &mut self.slots[slot] {
            entry.newer = NONE;
            entry.older = newest.unwrap_or(NONE);
        }
        if let Some(entry) = newest.and_then(|newest| self.slots[newest].as_mut()) {
            entry.newer = slot;
        }
        self.ends = Some((slot, self.ends.map_or(slot, |(_, oldest)| oldest)));
    }

    fn unlink(&mut self, slot: usize) {
        let (Some((newest, oldest)), Some(entry)) = (self.ends, &self.slots[slot]) else {
            return;
        };
        let (newer, older) = (entry.newer, entry.older);
        if let Some(Some(entry)) = self.slots.get_mut(newer) {
            entry.older = older;
        }
        if let Some(Some(entry)) = self.slots.get_mut(older) {
            entry.newer = newer;
        }
        self.ends = match (newest == slot, oldest == slot) {
            (true, true) => None,
            (true, false) => Some((older, oldest)),
            (false, true) => Some((newest, newer)),
            (false, false) => Some((newest, oldest)),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn entries_go_in_the_order_of_their_last_use() {
        let mut shard = Shard::default();
        let (now, end) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        for (used, key) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
            shard.put(key, Value::Counter(0), end, used as u64);
        }
        // The oldest, one in the middle, the newest, one in place.
        shard.find("a", now, 10);
        shard.find("c", now, 11);
        shard.find("c", now, 12);
        shard.change("d", now, end, 13, |_| ());
        shard.put("b", Value::Counter(1), end, 14);
        let mut order = Vec::new();
        while let Some(oldest) = shard.oldest_use() {
            let entry = shard.evict().unwrap();
            assert_eq!(entry.used, oldest);
            order.push(entry.key.to_string());
        }
        assert_eq!(order, ["e", "a", "c", "d", "b"]);
        assert_eq!(shard.bytes(), 0);
    }
}
