//! What names and messages may be.

use muster_model::ErrorKind;

use crate::error::Error;
use crate::types::Message;

/// The largest body.
const BODY_BYTES: usize = 16 << 20;
/// The longest name or key: what AMQP's short strings hold.
pub(super) const NAME_BYTES: usize = 255;
/// The most headers of a message, and of all of them the most bytes.
const HEADERS: usize = 256;
const HEADER_BYTES: usize = 64 << 10;
/// Fails where a name cannot be declared.
pub(super) fn check_name(name: &str, operation: impl Fn() -> String) -> Result<(), Error> {
    let (kind, why) = if name.is_empty() {
        (ErrorKind::Invalid, "the name is empty")
    } else if name.len() > NAME_BYTES {
        (ErrorKind::Invalid, "the name is longer than 255 bytes")
    } else if name.starts_with("amq.") {
        (
            ErrorKind::Denied,
            "names that begin with 'amq.' are the broker's own",
        )
    } else {
        return Ok(());
    };
    Err(Error::new(kind, format!("{}: {why}", operation())))
}

/// Fails where a body is over the limit.
pub(super) fn check_body(body: &[u8], operation: impl Fn() -> String) -> Result<(), Error> {
    if body.len() <= BODY_BYTES {
        return Ok(());
    }
    let why = format!(
        "the body has {} bytes, at most {BODY_BYTES} are taken",
        body.len()
    );
    Err(Error::new(ErrorKind::TooLarge, format!("{}: {why}", operation())))
}

/// Fails where a message is over a limit.
pub(super) fn check_message(exchange: &str, message: &Message) -> Result<(), Error> {
    let operation = || {
        format!(
            "publish '{}' to exchange '{}'",
            clip(&message.key),
            clip(exchange)
        )
    };
    check_body(&message.body, operation)?;
    let header_bytes = || -> usize {
        let pairs = message.headers.iter();
        pairs.map(|(name, value)| name.len() + value.len()).sum()
    };
    let (kind, why) = if message.key.len() > NAME_BYTES {
        let why = format!("the key is longer than {NAME_BYTES} bytes");
        (ErrorKind::Invalid, why)
    } else if message.headers.len() > HEADERS || header_bytes() > HEADER_BYTES {
        (
            ErrorKind::TooLarge,
            format!("at most {HEADERS} headers of {HEADER_BYTES} bytes are taken"),
        )
    } else {
        return Ok(());
    };
    Err(Error::new(kind, format!("{}: {why}", operation())))
}

/// Shortens a name for a message.
pub(super) fn clip(name: &str) -> String {
    name.chars().take(60).collect()
}
