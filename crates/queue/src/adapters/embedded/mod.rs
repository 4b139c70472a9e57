//! The queue inside this process.

mod broker;
mod consumer;
mod core;
mod headers;
mod meter;
mod ready;
mod timer;
mod topic;
mod topology;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use muster_model::ErrorKind;
use muster_runtime::Tasks;
use tokio::time::Instant;

use self::broker::Broker;
use self::consumer::Place;
pub(crate) use self::meter::Limits;
use super::checks;
use crate::error::Error;
use crate::port::{Consumer, Queue};
use crate::types::{Capabilities, ExchangeKind, Message, QueueOptions};

/// Where replies to [`Queue::call`] go. No queue can have this name.
const REPLY_TO: &str = "amq.reply";

/// The embedded queue.
#[derive(Debug)]
pub(crate) struct Embedded {
    broker: Arc<Broker>,
}

impl Embedded {
    /// Returns an empty queue whose timer runs in `tasks`.
    pub(crate) fn new(limits: Limits, tasks: &Tasks) -> Self {
        let broker = Arc::new(Broker::new(limits));
        let timer = Arc::clone(&broker.timer);
        let run = timer.run(Arc::downgrade(&broker), tasks.work().clone());
        tasks.spawn("queue-expiry", run);
        Self { broker }
    }
}

#[async_trait]
impl Queue for Embedded {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: false,
            shared: false,
        }
    }

    async fn declare_exchange(&self, name: &str, kind: ExchangeKind) -> Result<(), Error> {
        self.broker.declare_exchange(name, kind)
    }

    async fn declare_queue(&self, name: &str, options: QueueOptions) -> Result<(), Error> {
        self.broker.declare_queue(name, options)
    }

    async fn bind(
        &self,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: &[(String, String)],
    ) -> Result<(), Error> {
        self.broker.bind(queue, exchange, key, arguments)
    }

    async fn delete_queue(&self, name: &str) -> Result<(), Error> {
        self.broker.check_open(|| format!("delete queue '{name}'"))?;
        self.broker.delete_queue(name);
        Ok(())
    }

    async fn publish(&self, exchange: &str, messages: Vec<Message>) -> Result<(), Error> {
        self.broker.publish(exchange, messages)
    }

    async fn consume(&self, queue: &str, prefetch: u32) -> Result<Box<dyn Consumer>, Error> {
        let operation = || format!("consume from queue '{queue}'");
        let core = self.broker.queue(queue, operation)?;
        let (id, effects) = core.join(prefetch, Instant::now());
        self.broker.settle(&core, effects);
        let id = id.ok_or_else(|| Error::new(ErrorKind::NotFound, operation()))?;
        Ok(Box::new(Place::new(Arc::clone(&self.broker), core, id)))
    }

    async fn depth(&self, queue: &str) -> Result<u64, Error> {
        let core = self.broker.queue(queue, || format!("depth of queue '{queue}'"))?;
        let (depth, effects) = core.depth(Instant::now());
        self.broker.settle(&core, effects);
        Ok(depth)
    }

    async fn call(&self, exchange: &str, request: Message, limit: Duration) -> Result<Bytes, Error> {
        let operation = || format!("call '{}' through exchange '{exchange}'", request.key);
        self.broker.check_open(operation)?;
        let mut call = self.broker.calls.open();
        let what = operation();
        let request = Message {
            reply_to: Some(REPLY_TO.to_owned()),
            correlation_id: Some(call.id.to_string()),
            ..request
        };
        self.broker.publish(exchange, vec![request])?;
        match muster_runtime::clock::deadline(limit, &mut call.answer).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err(Error::new(ErrorKind::Cancelled, what)),
            Err(_) => Err(Error::new(ErrorKind::Timeout, what)),
        }
    }

    async fn reply(&self, request: &Message, body: Bytes) -> Result<(), Error> {
        let operation = || format!("reply to '{}'", request.key);
        self.broker.check_open(operation)?;
        match request.reply_to.as_deref() {
            Some(REPLY_TO) => {
                checks::check_body(&body, operation)?;
                self.broker.calls.answer(request.correlation_id.as_deref(), body);
                Ok(())
            }
            Some(queue) => {
                let mut answer = Message::new(queue, body);
                answer.correlation_id.clone_from(&request.correlation_id);
                self.broker.publish("", vec![answer])
            }
            None => Err(Error::new(
                ErrorKind::Invalid,
                format!("{}: it carries no reply-to", operation()),
            )),
        }
    }

    async fn ping(&self) -> Result<(), Error> {
        self.broker.check_open(|| "ping".to_owned())
    }

    async fn close(&self) {
        self.broker.close();
    }
}

#[cfg(test)]
mod tests;
