//! The port of the cache. Nothing in it is the truth: it may vanish at any moment.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

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

    /// Checks that the engine answers. For `muster doctor`.
    async fn ping(&self) -> Result<(), Error>;
}
