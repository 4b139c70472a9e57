//! The shards together: which one a key lives in, and what has to go when they hold too much.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::shard::{Entry, Shard};

/// How many shards: enough that threads seldom meet.
const SHARDS: usize = 32;
/// How many ended lifetimes each call clears away beside its own work.
const SWEPT: usize = 2;

/// The shards.
#[derive(Debug)]
pub(super) struct Store {
    shards: Vec<Cell>,
    hasher: RandomState,
    /// Counts uses, so that the least recent one is known across shards.
    uses: AtomicU64,
    used: AtomicU64,
    limit: u64,
    start: Instant,
}

/// A shard, and what others may know of it without its lock.
#[derive(Debug)]
struct Cell {
    shard: Mutex<Shard>,
    oldest_use: AtomicU64,
    /// When its first lifetime ends, in microseconds since the start.
    first_expiry: AtomicU64,
}

impl Store {
    pub(super) fn new(limit: u64) -> Self {
        let cell = || Cell {
            shard: Mutex::default(),
            oldest_use: AtomicU64::new(u64::MAX),
            first_expiry: AtomicU64::new(u64::MAX),
        };
        Self {
            shards: std::iter::repeat_with(cell).take(SHARDS).collect(),
            hasher: RandomState::new(),
            uses: AtomicU64::new(0),
            used: AtomicU64::new(0),
            limit,
            start: Instant::now(),
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }

    /// Works on a key's shard, at a time and with the number of this use; makes room afterwards.
    pub(super) fn with<T>(&self, key: &str, work: impl FnOnce(&mut Shard, Instant, u64) -> T) -> T {
        let shards = self.shards.len() as u64;
        let place = usize::try_from(self.hasher.hash_one(key) % shards).unwrap_or(0);
        let now = Instant::now();
        let number = self.uses.fetch_add(1, Ordering::Relaxed);
        let mut swept = Vec::new();
        let result = self.locked(&self.shards[place], |shard| {
            let result = work(shard, now, number);
            swept.extend(std::iter::from_fn(|| shard.expire(now)).take(SWEPT));
            result
        });
        drop(swept);
        self.relieve(now);
        result
    }

    /// Works on a shard and publishes what changed.
    fn locked<T>(&self, cell: &Cell, work: impl FnOnce(&mut Shard) -> T) -> T {
        let mut shard = cell.shard.lock();
        let before = shard.bytes();
        let result = work(&mut shard);
        let oldest = shard.oldest_use().unwrap_or(u64::MAX);
        let expiry = shard
            .first_expiry()
            .map_or(u64::MAX, |expiry| self.micros(expiry));
        cell.oldest_use.store(oldest, Ordering::Relaxed);
        cell.first_expiry.store(expiry, Ordering::Relaxed);
        // The sum wraps where the shard shrank, which is a subtraction.
        let change = shard.bytes().wrapping_sub(before);
        if change != 0 {
            self.used.fetch_add(change, Ordering::SeqCst);
        }
        result
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX)
    }

    /// Removes what has expired, then what was used least recently, until the rest is within the limit.
    fn relieve(&self, now: Instant) {
        while self.used.load(Ordering::SeqCst) > self.limit {
            let Some(removed) = self.remove_one(now) else {
                return;
            };
            drop(removed);
        }
    }

    fn remove_one(&self, now: Instant) -> Option<Entry> {
        let micros = self.micros(now);
        let ended = |cell: &&Cell| cell.first_expiry.load(Ordering::Relaxed) <= micros;
        let expired = self.shards.iter().find(ended);
        if let Some(entry) = expired.and_then(|cell| self.locked(cell, |shard| shard.expire(now))) {
            return Some(entry);
        }
        let oldest = |cell: &&Cell| cell.oldest_use.load(Ordering::Relaxed);
        let cell = self.shards.iter().min_by_key(oldest)?;
        self.locked(cell, Shard::evict)
    }
}
