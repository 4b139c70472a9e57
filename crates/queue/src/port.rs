//! The port of the message queue: the AMQP 0-9-1 model (exchanges, queues, bindings, acknowledgement).

use async_trait::async_trait;
use std::time::Duration;

use bytes::Bytes;

use crate::error::Error;
use crate::types::{Capabilities, Delivery, ExchangeKind, Message, QueueOptions};

/// A message queue. Cheap to share: `Arc<dyn Queue>`.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Returns what this adapter can do.
    fn capabilities(&self) -> Capabilities;

    /// Declares an exchange. Idempotent; `Conflict` where it exists with another kind.
    async fn declare_exchange(&self, name: &str, kind: ExchangeKind) -> Result<(), Error>;

    /// Declares a queue. Idempotent; `Conflict` where it exists with other options.
    async fn declare_queue(&self, name: &str, options: QueueOptions) -> Result<(), Error>;

    /// Binds a queue to an exchange. Idempotent; `NotFound` where either is missing.
    ///
    /// `key` is compared as the exchange's kind has it: equal for direct, ignored for fanout, words with
    /// `*` (one) and `#` (any) for topic. A headers exchange uses `arguments` with `x-match` `all` or `any`.
    async fn bind(
        &self,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: &[(String, String)],
    ) -> Result<(), Error>;

    /// Deletes a queue with what is in it. Idempotent. Its consumers end.
    async fn delete_queue(&self, name: &str) -> Result<(), Error>;

    /// Publishes messages to one exchange, in order. When it returns, the engine has confirmed all of
    /// them: persistent messages in durable queues survive what the adapter's `durable` capability says.
    /// The exchange `""` routes by queue name. A message that no queue is bound for is dropped.
    ///
    /// `NotFound` where the exchange is missing, `TooLarge` over the size limit, `OutcomeUnknown` where
    /// the connection broke before the confirm (some may be in).
    async fn publish(&self, exchange: &str, messages: Vec<Message>) -> Result<(), Error>;

    /// Opens a consumer that holds at most `prefetch` unacknowledged messages. Messages of a queue go to
    /// its consumers in turn (fair dispatch); higher priority first. Dropping the consumer puts what it
    /// had not settled back, marked redelivered.
    ///
    /// A consumer outlives connections to the engine: it goes on by itself when the engine is there again. But for
    /// one of an `auto_delete` queue, which may have gone with the connection: see [`Consumer::next`].
    async fn consume(&self, queue: &str, prefetch: u32) -> Result<Box<dyn Consumer>, Error>;

    /// Returns how many messages wait in a queue, without those that a consumer holds.
    async fn depth(&self, queue: &str) -> Result<u64, Error>;

    /// Calls: publishes a request with reply-to and correlation id, and waits for the reply.
    /// `Timeout` after `limit`; the request may still be worked on then.
    async fn call(&self, exchange: &str, request: Message, limit: Duration) -> Result<Bytes, Error>;

    /// Answers a request that carries reply-to. A caller that is gone drops the answer.
    async fn reply(&self, request: &Message, body: Bytes) -> Result<(), Error>;

    /// Checks that the engine answers and takes messages; `Unavailable` where it does not, as one in alarm does not. For
    /// `muster doctor`, and for who waits until it is well.
    async fn ping(&self) -> Result<(), Error>;

    /// Closes: consumers end, later calls are `Cancelled`.
    async fn close(&self);
}

/// A stream of deliveries. Settle each with [`Settler::ack`] or [`Settler::reject`].
#[async_trait]
pub trait Consumer: Send {
    /// Returns the next delivery; None when the queue was deleted or closed, from then on for ever. Cancel-safe: a
    /// delivery is either returned or still in the queue.
    ///
    /// None also where the connection to the engine was lost, or the engine ended the consumer, and the queue is an
    /// `auto_delete` one that was declared here: it may be gone, and what was published since then has reached nobody.
    /// Who listens declares it anew, binds it, consumes, and then reads elsewhere what it has missed.
    async fn next(&mut self) -> Option<Delivery>;

    /// Changes how many unacknowledged messages this consumer may hold.
    fn set_prefetch(&mut self, prefetch: u32);

    /// Returns a handle that settles deliveries from elsewhere.
    fn settler(&self) -> std::sync::Arc<dyn Settler>;
}

/// Settles deliveries of one consumer. A tag that is unknown (settled already, or the consumer gone) is
/// ignored: the message has then been put back or was settled before.
#[async_trait]
pub trait Settler: Send + Sync {
    /// Acknowledges: the messages are done with.
    async fn ack(&self, tags: &[u64]) -> Result<(), Error>;

    /// Rejects: back into the queue, or, without `requeue`, to the queue's dead-letter exchange.
    async fn reject(&self, tag: u64, requeue: bool) -> Result<(), Error>;
}
