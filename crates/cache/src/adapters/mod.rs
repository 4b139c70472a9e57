//! The adapters. Private: [`crate::open`] is the only door.

pub(crate) mod embedded;
#[cfg(feature = "memcached")]
pub(crate) mod memcached;
#[cfg(feature = "redis")]
pub(crate) mod redis;
