//! Messages on their way to the broker and back.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use muster_model::ErrorKind;

use crate::adapters::checks::clip;
use crate::error::Error;
use crate::types::Message;

const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// Returns a name as AMQP has it; over 255 bytes it is `Invalid`.
pub(super) fn short(text: &str, operation: impl Fn() -> String) -> Result<ShortString, Error> {
    ShortString::try_new(text).map_err(|_| {
        Error::new(
            ErrorKind::Invalid,
            format!("{}: '{}…' is longer than 255 bytes", operation(), clip(text)),
        )
    })
}

/// Returns pairs as AMQP has them.
pub(super) fn table(pairs: &[(String, String)], operation: impl Fn() -> String) -> Result<FieldTable, Error> {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert(
            short(name, &operation)?,
            AMQPValue::LongString(value.as_str().into()),
        );
    }
    Ok(table)
}

/// Returns everything of a message but its key and its body.
pub(super) fn properties(
    message: &Message,
    operation: impl Fn() -> String,
) -> Result<BasicProperties, Error> {
    let mut properties = BasicProperties::default()
        .with_delivery_mode(if message.persistent { PERSISTENT } else { TRANSIENT })
        .with_priority(message.priority);
    if let Some(expires) = message.expires {
        properties = properties.with_expiration(millis(expires).to_string().into());
    }
    if !message.headers.is_empty() {
        properties = properties.with_headers(table(&message.headers, &operation)?);
    }
    if let Some(reply_to) = &message.reply_to {
        properties = properties.with_reply_to(short(reply_to, &operation)?);
    }
    if let Some(id) = &message.correlation_id {
        properties = properties.with_correlation_id(short(id, &operation)?);
    }
    Ok(properties)
}

/// Returns a time in the broker's unit; part of one counts as one.
pub(super) fn millis(time: Duration) -> u64 {
    let millis = time.as_nanos().div_ceil(1_000_000);
    // What RabbitMQ takes at most, some fifty days.
    u64::try_from(millis).unwrap_or(u64::MAX).min(u64::from(u32::MAX))
}

/// Returns a delivered message.
pub(super) fn message(delivery: lapin::message::Delivery) -> Message {
    let properties = delivery.properties;
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    let headers = properties.headers().iter().flat_map(|table| table.inner());
    Message {
        key: delivery.routing_key.to_string(),
        body: delivery.data.into(),
        priority: properties.priority().unwrap_or(0),
        persistent: *properties.delivery_mode() == Some(PERSISTENT),
        expires: properties
            .expiration()
            .as_ref()
            .and_then(|millis| millis.as_str().parse().ok())
            .map(Duration::from_millis),
        // What is no text is the broker's own note of how the message came here.
        headers: headers
            .filter_map(|(name, value)| match value {
                AMQPValue::LongString(text) => Some((name.to_string(), text.to_string())),
                AMQPValue::ShortString(text) => Some((name.to_string(), text.to_string())),
                _ => None,
            })
            .collect(),
        reply_to: text(properties.reply_to()),
        correlation_id: text(properties.correlation_id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_and_bounded() {
        for (time, expected) in [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(400), 400),
            (Duration::from_micros(1_500), 2),
            (Duration::MAX, u64::from(u32::MAX)),
        ] {
            assert_eq!(millis(time), expected);
        }
    }

    #[test]
    fn what_is_too_long_for_amqp_is_refused_and_does_not_panic() {
        let long = "x".repeat(256);
        let operation = || "publish".to_owned();
        for message in [
            Message {
                reply_to: Some(long.clone()),
                ..Message::new("k", "b")
            },
            Message {
                correlation_id: Some(long.clone()),
                ..Message::new("k", "b")
            },
            Message {
                headers: vec![(long.clone(), String::new())],
                ..Message::new("k", "b")
            },
        ] {
            let error = properties(&message, operation).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid);
        }
    }
}
