//! The cache inside this process.

mod channels;
mod shard;
mod store;
mod value;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use muster_model::ErrorKind;
use tokio::time::Instant;

use self::channels::Halls;
use self::store::Store;
use self::value::{Pieces, Value};
use crate::error::Error;
use crate::port::{Bits, Cache, Channels, Subscription};
use crate::rules::{
    APPENDED_BYTES, SET_BYTES, check, check_channel, check_key, check_message, check_size, ends_elsewhere,
    kept, refuse,
};

/// The embedded cache.
#[derive(Debug)]
pub(crate) struct Embedded {
    store: Store,
    halls: Arc<Halls>,
}

impl Embedded {
    /// Returns an empty cache that holds at most `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            store: Store::new(limit),
            halls: Arc::default(),
        }
    }

    /// Fails where a value of this length cannot be kept at all.
    fn check_size(&self, len: u64, most: u64, operation: &'static str, key: &str) -> Result<(), Error> {
        // What is kept may cost a little more than its bytes.
        let room = self.store.limit() - self.store.limit() / 8;
        check_size(len, most.min(room), operation, key)
    }

    fn find(&self, key: &str, from: u64, most: usize) -> Option<Bytes> {
        let pieces = self.store.with(key, |shard, now, used| {
            shard.find(key, now, used).map(|value| value.read(from, most))
        });
        pieces.map(Pieces::join)
    }
}

/// Returns when a lifetime that begins now ends.
fn end(now: Instant, lifetime: Duration) -> Instant {
    now + kept(lifetime)
}

#[async_trait]
impl Cache for Embedded {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        check_key("get", key)?;
        Ok(self.find(key, 0, usize::MAX))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Error> {
        keys.iter().try_for_each(|key| check_key("get", key))?;
        Ok(keys.iter().map(|key| self.find(key, 0, usize::MAX)).collect())
    }

    async fn set(&self, key: &str, value: Bytes, lifetime: Duration) -> Result<(), Error> {
        check("set", key, lifetime)?;
        self.check_size(value.len() as u64, SET_BYTES, "set", key)?;
        let value = Value::whole(value);
        self.store.with(key, |shard, now, used| {
            shard.put(key, value, end(now, lifetime), used);
        });
        Ok(())
    }

    async fn add(&self, key: &str, value: Bytes, lifetime: Duration) -> Result<bool, Error> {
        check("add", key, lifetime)?;
        self.check_size(value.len() as u64, SET_BYTES, "add", key)?;
        let value = Value::whole(value);
        Ok(self.store.with(key, |shard, now, used| {
            let is_new = shard.find(key, now, used).is_none();
            if is_new {
                shard.put(key, value, end(now, lifetime), used);
            }
            is_new
        }))
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        check_key("delete", key)?;
        Ok(self.store.with(key, |shard, now, _| shard.remove(key, now)))
    }

    async fn increment(&self, key: &str, by: i64, lifetime: Duration) -> Result<i64, Error> {
        check("increment", key, lifetime)?;
        let refuse = |why| refuse(ErrorKind::Invalid, "increment", key, why);
        self.store.with(key, |shard, now, used| {
            let expires = end(now, lifetime);
            let count = match shard.find(key, now, used) {
                None => {
                    shard.put(key, Value::Counter(by), expires, used);
                    return Ok(by);
                }
                Some(value) => value.count().ok_or_else(|| refuse("its value is no counter"))?,
            };
            let count = count
                .checked_add(by)
                .ok_or_else(|| refuse("the counter would pass 63 bits"))?;
            shard.change(key, now, expires, used, |value| *value = Value::Counter(count));
            Ok(count)
        })
    }

    async fn append(&self, key: &str, at: u64, bytes: Bytes, lifetime: Duration) -> Result<u64, Error> {
        check("append", key, lifetime)?;
        let len = at.saturating_add(bytes.len() as u64);
        self.check_size(len, APPENDED_BYTES, "append", key)?;
        self.store.with(key, |shard, now, used| {
            let there = shard.find(key, now, used).map(Value::len);
            if there.unwrap_or(0) != at {
                return Err(ends_elsewhere(key, there.unwrap_or(0), at));
            }
            let expires = end(now, lifetime);
            if there.is_none() {
                shard.put(key, Value::whole(Bytes::new()), expires, used);
            }
            shard.change(key, now, expires, used, |value| value.append(bytes));
            Ok(len)
        })
    }

    async fn range(&self, key: &str, from: u64, most: usize) -> Result<Option<Bytes>, Error> {
        check_key("range", key)?;
        Ok(self.find(key, from, most))
    }

    async fn touch(&self, key: &str, lifetime: Duration) -> Result<bool, Error> {
        check("touch", key, lifetime)?;
        Ok(self.store.with(key, |shard, now, used| {
            shard.change(key, now, end(now, lifetime), used, |_| ()).is_some()
        }))
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }

    fn bits(&self) -> Result<&dyn Bits, Error> {
        Ok(self)
    }

    fn channels(&self) -> Result<&dyn Channels, Error> {
        Ok(self)
    }
}

#[async_trait]
impl Bits for Embedded {
    async fn set_bit(&self, key: &str, at: u64, bit: bool, lifetime: Duration) -> Result<bool, Error> {
        check("set a bit of", key, lifetime)?;
        self.check_size(at / 8 + 1, APPENDED_BYTES, "set a bit of", key)?;
        let place = usize::try_from(at / 8).unwrap_or(usize::MAX);
        let mask = 0x80 >> (at % 8);
        Ok(self.store.with(key, |shard, now, used| {
            let expires = end(now, lifetime);
            if shard.find(key, now, used).is_none() {
                shard.put(key, Value::whole(Bytes::new()), expires, used);
            }
            let before = shard.change(key, now, expires, used, |value| value.set_bit(place, mask, bit));
            before.unwrap_or(false)
        }))
    }

    async fn bit(&self, key: &str, at: u64) -> Result<bool, Error> {
        check_key("read a bit of", key)?;
        let byte = self.find(key, at / 8, 1);
        let byte = byte.and_then(|part| part.first().copied()).unwrap_or(0);
        Ok(byte & (0x80 >> (at % 8)) != 0)
    }

    async fn count_bits(&self, key: &str) -> Result<u64, Error> {
        check_key("count the bits of", key)?;
        let value = self.find(key, 0, usize::MAX).unwrap_or_default();
        Ok(value.iter().map(|byte| u64::from(byte.count_ones())).sum())
    }
}

#[async_trait]
impl Channels for Embedded {
    async fn publish(&self, channel: &str, message: Bytes) -> Result<(), Error> {
        check_channel("publish to", channel)?;
        check_message(channel, &message)?;
        self.halls.publish(channel, message);
        Ok(())
    }

    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Subscription>, Error> {
        check_channel("subscribe to", channel)?;
        Ok(Box::new(Halls::subscribe(&self.halls, channel)))
    }
}

#[cfg(test)]
mod tests;
