//! The cache inside this process.

mod shard;
mod store;
mod value;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use muster_model::{ErrorKind, limits};
use tokio::time::Instant;

use self::store::Store;
use self::value::{Pieces, Value};
use crate::error::Error;
use crate::port::Cache;

/// The longest key.
const KEY_BYTES: usize = 250;
/// The largest value that is set at once.
const SET_BYTES: u64 = 1 << 20;
/// The largest value that grows.
const APPENDED_BYTES: u64 = 64 << 20;

/// The embedded cache.
#[derive(Debug)]
pub(crate) struct Embedded {
    store: Store,
}

impl Embedded {
    /// Returns an empty cache that holds at most `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            store: Store::new(limit),
        }
    }

    /// Fails where a value of this length cannot be kept at all.
    fn check_size(&self, len: u64, most: u64, operation: &'static str, key: &str) -> Result<(), Error> {
        // What is kept may cost a little more than its bytes.
        let room = self.store.limit() - self.store.limit() / 8;
        let most = most.min(room);
        if len > most {
            let why = format!("the value has {len} bytes, at most {most} are kept");
            return Err(refuse(ErrorKind::TooLarge, operation, key, &why));
        }
        Ok(())
    }

    fn find(&self, key: &str, from: u64, most: usize) -> Option<Bytes> {
        let pieces = self.store.with(key, |shard, now, used| {
            shard.find(key, now, used).map(|value| value.read(from, most))
        });
        pieces.map(Pieces::join)
    }
}

/// Returns an error that names the key.
fn refuse(kind: ErrorKind, operation: &'static str, key: &str, why: &str) -> Error {
    let key: String = key.chars().take(60).collect();
    Error::new(kind, format!("{operation} {key:?}: {why}"))
}

fn check_key(operation: &'static str, key: &str) -> Result<(), Error> {
    let (kind, why) = if key.is_empty() {
        (ErrorKind::Invalid, "the key is empty")
    } else if key.len() > KEY_BYTES {
        (ErrorKind::TooLarge, "the key is longer than 250 bytes")
    } else if key
        .chars()
        .any(|letter| letter.is_whitespace() || letter.is_control())
    {
        (
            ErrorKind::Invalid,
            "a key has no spaces and no control characters",
        )
    } else {
        return Ok(());
    };
    Err(refuse(kind, operation, key, why))
}

fn check(operation: &'static str, key: &str, lifetime: Duration) -> Result<(), Error> {
    check_key(operation, key)?;
    if lifetime < Duration::from_millis(1) {
        let why = "a lifetime is at least 1ms";
        return Err(refuse(ErrorKind::Invalid, operation, key, why));
    }
    Ok(())
}

/// Returns when a lifetime that begins now ends.
fn end(now: Instant, lifetime: Duration) -> Instant {
    now + lifetime.min(limits::LONGEST)
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
                let why = format!("the value ends at {}, not at {at}", there.unwrap_or(0));
                return Err(refuse(ErrorKind::Conflict, "append", key, &why));
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
}

#[cfg(test)]
mod tests;
