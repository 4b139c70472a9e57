//! The plain types of the queue's port.

use std::time::Duration;

use bytes::Bytes;

/// What an adapter can do beyond the port's least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Persistent messages in durable queues survive the engine's restart.
    pub durable: bool,
    /// Several processes can share the queue.
    pub shared: bool,
}

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// By an equal key.
    Direct,
    /// To every bound queue.
    Fanout,
    /// By words of the key, with `*` and `#`.
    Topic,
    /// By headers.
    Headers,
}

/// Options of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueOptions {
    /// Survives the engine's restart.
    pub durable: bool,
    /// Deleted when its last consumer goes; also when that one's connection is lost, with which the consumer ends.
    pub auto_delete: bool,
    /// The highest priority that it tells apart; 0: none.
    pub max_priority: u8,
    /// Messages that are older than this go to the dead-letter exchange.
    pub message_ttl: Option<Duration>,
    /// At most so many messages wait; past it the oldest goes to the dead-letter exchange.
    pub max_length: Option<u64>,
    /// Where rejected, expired and surplus messages go.
    pub dead_letter_exchange: Option<String>,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The routing key.
    pub key: String,
    /// The body, at most 16 MiB.
    pub body: Bytes,
    /// 0 to 255; only what the queue's `max_priority` tells apart counts.
    pub priority: u8,
    /// Kept on disk where the queue is durable.
    pub persistent: bool,
    /// How long it may wait in a queue.
    pub expires: Option<Duration>,
    /// For headers exchanges.
    pub headers: Vec<(String, String)>,
    /// Where a reply goes (set by [`crate::Queue::call`]).
    pub reply_to: Option<String>,
    /// Which call a reply belongs to (set by [`crate::Queue::call`]).
    pub correlation_id: Option<String>,
}

impl Message {
    /// Returns a message with a key and a body, everything else at its default.
    #[must_use]
    pub fn new(key: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            body: body.into(),
            ..Self::default()
        }
    }
}

/// A message on its way to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Names the delivery when settling it.
    pub tag: u64,
    /// It was delivered before and not settled.
    pub redelivered: bool,
    /// The message.
    pub message: Message,
}
