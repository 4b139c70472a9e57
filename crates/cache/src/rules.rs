//! What every adapter refuses before it asks its engine: keys, lifetimes and sizes that the port does not take.

use std::time::Duration;

use muster_model::{ErrorKind, limits};

use crate::error::Error;

/// The longest key.
const KEY_BYTES: usize = 250;
/// The largest value that is set at once.
pub(crate) const SET_BYTES: u64 = 1 << 20;
/// The largest value that grows.
pub(crate) const APPENDED_BYTES: u64 = 64 << 20;

/// Returns an error that names the key.
pub(crate) fn refuse(kind: ErrorKind, operation: &'static str, key: &str, why: &str) -> Error {
    let key: String = key.chars().take(60).collect();
    Error::new(kind, format!("{operation} {key:?}: {why}"))
}

/// Refuses what is no key.
pub(crate) fn check_key(operation: &'static str, key: &str) -> Result<(), Error> {
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

/// Refuses what is no key or no lifetime.
pub(crate) fn check(operation: &'static str, key: &str, lifetime: Duration) -> Result<(), Error> {
    check_key(operation, key)?;
    if lifetime < Duration::from_millis(1) {
        let why = "a lifetime is at least 1ms";
        return Err(refuse(ErrorKind::Invalid, operation, key, why));
    }
    Ok(())
}

/// Refuses a value that is larger than `most`.
pub(crate) fn check_size(len: u64, most: u64, operation: &'static str, key: &str) -> Result<(), Error> {
    if len > most {
        let why = format!("the value has {len} bytes, at most {most} are kept");
        return Err(refuse(ErrorKind::TooLarge, operation, key, &why));
    }
    Ok(())
}

/// Returns how long a value is kept.
pub(crate) fn kept(lifetime: Duration) -> Duration {
    lifetime.min(limits::LONGEST)
}

/// Returns the conflict of a writer who does not know where the value ends.
pub(crate) fn ends_elsewhere(key: &str, end: u64, at: u64) -> Error {
    let why = format!("the value ends at {end}, not at {at}");
    refuse(ErrorKind::Conflict, "append", key, &why)
}

/// Refuses what is no name of a channel: the same as keys.
pub(crate) fn check_channel(operation: &'static str, channel: &str) -> Result<(), Error> {
    check_key(operation, channel)
}

/// Refuses a message that is larger than a value may be.
pub(crate) fn check_message(channel: &str, message: &bytes::Bytes) -> Result<(), Error> {
    check_size(message.len() as u64, SET_BYTES, "publish to", channel)
}
