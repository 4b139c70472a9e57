//! The port of the cache. Nothing in it is the truth: it may vanish at any moment.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use muster_model::ErrorKind;

use crate::error::Error;

/// A cache. Cheap to share: `Arc<dyn Cache>`. Keys are at most 250 bytes without spaces or control
/// characters, values at most 64 MiB for append and 1 MiB otherwise; past that `TooLarge`. Every value has
/// a lifetime.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// Returns the value, or None.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error>;

    /// Returns the values of several keys, in their order.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Error>;

    /// Sets a value.
    async fn set(&self, key: &str, value: Bytes, lifetime: Duration) -> Result<(), Error>;

    /// Sets a value only if there is none; tells whether it did. Atomic.
    async fn add(&self, key: &str, value: Bytes, lifetime: Duration) -> Result<bool, Error>;

    /// Deletes a value; tells whether there was one.
    async fn delete(&self, key: &str) -> Result<bool, Error>;

    /// Adds `by` to a counter and returns it; a missing one begins at 0. Atomic. `Invalid` where the value
    /// is no counter or would pass 63 bits. A counter's value reads as decimal digits, and such digits that
    /// were set count as one. The lifetime is counted anew.
    async fn increment(&self, key: &str, by: i64, lifetime: Duration) -> Result<i64, Error>;

    /// Appends to a value and returns its new length; a missing one begins empty. Atomic. The lifetime is
    /// counted anew.
    ///
    /// `at` is where the caller believes the value ends: `Conflict` where it does not (the cache lost or
    /// evicted it in between), so that a reader never sees a value with a hole.
    async fn append(&self, key: &str, at: u64, bytes: Bytes, lifetime: Duration) -> Result<u64, Error>;

    /// Returns at most `most` bytes of a value from `from`; None where there is no value; empty where
    /// `from` is at or past its end.
    async fn range(&self, key: &str, from: u64, most: usize) -> Result<Option<Bytes>, Error>;

    /// Counts the lifetime of a value anew; tells whether there was one.
    async fn touch(&self, key: &str, lifetime: Duration) -> Result<bool, Error>;

    /// Checks that the engine answers, and asks it even where it is known to be away. For `muster doctor`.
    async fn ping(&self) -> Result<(), Error>;

    /// Returns the bits of this cache; `Unsupported` where its engine has none.
    fn bits(&self) -> Result<&dyn Bits, Error> {
        let why = "bits: this cache has no single bits: memory: and redis:// have them";
        Err(Error::new(ErrorKind::Unsupported, why))
    }

    /// Returns the channels of this cache; `Unsupported` where its engine has none.
    fn channels(&self) -> Result<&dyn Channels, Error> {
        let why = "channels: this cache has no channels: memory: and redis:// have them";
        Err(Error::new(ErrorKind::Unsupported, why))
    }
}

/// Values as rows of bits. Bit 0 is the highest of the first byte, so that the value reads the same everywhere.
#[async_trait]
pub trait Bits: Send + Sync {
    /// Sets one bit and returns what it was; a missing value is all zeros, and grows to hold the bit. Atomic. The
    /// lifetime is counted anew. `TooLarge` past 64 MiB of value.
    async fn set_bit(&self, key: &str, at: u64, bit: bool, lifetime: Duration) -> Result<bool, Error>;

    /// Returns one bit; what is past the end is zero.
    async fn bit(&self, key: &str, at: u64) -> Result<bool, Error>;

    /// Counts the ones.
    async fn count_bits(&self, key: &str) -> Result<u64, Error>;
}

/// Messages to whoever listens now. Nobody keeps them: who listens later does not get them.
#[async_trait]
pub trait Channels: Send + Sync {
    /// Publishes a message of at most 1 MiB to everybody who listens to a channel, on whatever machine. One
    /// publisher's messages arrive in their order.
    async fn publish(&self, channel: &str, message: Bytes) -> Result<(), Error>;

    /// Listens to a channel: what is published after this has returned arrives.
    async fn subscribe(&self, channel: &str) -> Result<Box<dyn Subscription>, Error>;
}

/// Somebody who listens. Dropping it ends that.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for what comes next. Where the engine goes away it waits for it to be back. Cancel-safe.
    async fn next(&mut self) -> News;
}

/// What a [`Subscription`] brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A message.
    Message(Bytes),
    /// Messages may have been lost here, because the listener was too slow or the engine was away. Who stands on
    /// them reads anew what they were about.
    Missed,
}
