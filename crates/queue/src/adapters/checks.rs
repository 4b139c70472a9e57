//! What names and messages may be, on every adapter alike.

use muster_model::ErrorKind;

use crate::error::Error;
use crate::types::Message;

/// The largest body.
const BODY_BYTES: usize = 16 << 20;
/// The longest name or key: what AMQP's short strings hold.
const NAME_BYTES: usize = 255;
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

/// Fails where a binding cannot be made, whatever is there.
pub(super) fn check_binding(
    exchange: &str,
    key: &str,
    arguments: &[(String, String)],
    operation: impl Fn() -> String,
) -> Result<(), Error> {
    let is_known =
        |(name, value): &(String, String)| name != "x-match" || ["all", "any"].contains(&value.as_str());
    let (kind, why) = if exchange.is_empty() {
        (
            ErrorKind::Denied,
            "the default exchange routes by queue name and takes no bindings",
        )
    } else if key.len() > NAME_BYTES {
        (ErrorKind::Invalid, "the key is longer than 255 bytes")
    } else if !arguments.iter().all(is_known) {
        (ErrorKind::Invalid, "x-match is 'all' or 'any'")
    } else {
        return Ok(());
    };
    Err(Error::new(kind, format!("{}: {why}", operation())))
}

/// Shortens a name for a message.
pub(super) fn clip(name: &str) -> String {
    name.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_way_of_matching_is_refused() {
        let check = |value: &str| {
            let arguments = [("x-match".to_owned(), value.to_owned())];
            check_binding("e", "k", &arguments, || "bind".to_owned())
        };
        assert!(check("all").is_ok() && check("any").is_ok());
        assert_eq!(check("some").map_err(|error| error.kind), Err(ErrorKind::Invalid));
    }
}
