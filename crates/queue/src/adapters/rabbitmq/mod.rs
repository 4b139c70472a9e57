//! The queue on RabbitMQ, 3.10 and newer.
//!
//! The connection is kept by a task of our own ([`house`]) and not by the library's recovery: it makes everything
//! anew on a new connection, so that no tag, no confirm and no channel of an older one can be taken for one of this.

mod calls;
mod connect;
mod consumer;
mod errors;
mod hello;
mod house;
mod link;
mod message;
mod place;
mod publish;
mod topology;
mod url;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use muster_model::ErrorKind;
use muster_runtime::Tasks;

use self::house::House;
use self::link::Link;
use self::topology::Binding;
use self::url::Settings;
use crate::adapters::checks::{check_binding, check_body, check_name, clip};
use crate::error::Error;
use crate::port::{Consumer, Queue};
use crate::types::{Capabilities, ExchangeKind, Message, QueueOptions};

/// How long a call waits for a connection that is being made again, and for a broker in alarm.
const WAITS: Duration = Duration::from_secs(10);
/// How long the broker may take for one answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// The queue on RabbitMQ.
pub(crate) struct RabbitMq {
    house: Arc<House>,
}

impl RabbitMq {
    /// Connects to the broker that a URL names.
    pub(crate) async fn open(url: &str, tasks: &Tasks) -> Result<Self, Error> {
        let settings = Settings::read(url)?;
        let house = House::open(settings, tasks).await?;
        Ok(Self { house })
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.house.closed.cancel();
    }
}

#[async_trait]
impl Queue for RabbitMq {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            shared: true,
        }
    }

    async fn declare_exchange(&self, name: &str, kind: ExchangeKind) -> Result<(), Error> {
        let operation = format!("declare exchange '{}'", clip(name));
        self.house.check_open(&operation)?;
        check_name(name, || operation.clone())?;
        let declare = |link: Arc<Link>| async move { topology::declare_exchange(&link, name, kind).await };
        self.house.attempt(&operation, declare).await?;
        self.house.topology.lock().note_exchange(name, kind);
        Ok(())
    }

    async fn declare_queue(&self, name: &str, options: QueueOptions) -> Result<(), Error> {
        let operation = format!("declare queue '{}'", clip(name));
        self.house.check_open(&operation)?;
        check_name(name, || operation.clone())?;
        let asked = &options;
        let declare = |link: Arc<Link>| async move { topology::declare_queue(&link, name, asked).await };
        self.house.attempt(&operation, declare).await?;
        self.house.topology.lock().note_queue(name, &options);
        Ok(())
    }

    async fn bind(
        &self,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: &[(String, String)],
    ) -> Result<(), Error> {
        let operation = format!("bind queue '{}' to exchange '{}'", clip(queue), clip(exchange));
        self.house.check_open(&operation)?;
        check_binding(exchange, key, arguments, || operation.clone())?;
        let binding = Binding {
            exchange: exchange.to_owned(),
            key: key.to_owned(),
            arguments: arguments.to_vec(),
        };
        let asked = &binding;
        let bind = |link: Arc<Link>| async move { topology::bind(&link, queue, asked).await };
        self.house.attempt(&operation, bind).await?;
        self.house.topology.lock().note_binding(queue, binding);
        Ok(())
    }

    async fn delete_queue(&self, name: &str) -> Result<(), Error> {
        let operation = format!("delete queue '{}'", clip(name));
        self.house.check_open(&operation)?;
        // Before, so that a connection made meanwhile does not bring it back.
        self.house.topology.lock().forget_queue(name);
        let delete = |link: Arc<Link>| async move { topology::delete_queue(&link, name).await };
        self.house.attempt(&operation, delete).await
    }

    async fn publish(&self, exchange: &str, messages: Vec<Message>) -> Result<(), Error> {
        publish::publish(&self.house, exchange, messages).await
    }

    async fn consume(&self, queue: &str, prefetch: u32) -> Result<Box<dyn Consumer>, Error> {
        consumer::open(&self.house, queue, prefetch).await
    }

    async fn depth(&self, queue: &str) -> Result<u64, Error> {
        let operation = format!("depth of queue '{}'", clip(queue));
        let look = |link: Arc<Link>| async move { topology::depth(&link, queue).await };
        self.house.attempt(&operation, look).await
    }

    async fn call(&self, exchange: &str, request: Message, limit: Duration) -> Result<Bytes, Error> {
        calls::call(&self.house, exchange, request, limit).await
    }

    async fn reply(&self, request: &Message, body: Bytes) -> Result<(), Error> {
        let operation = || format!("reply to '{}'", clip(&request.key));
        self.house.check_open(&operation())?;
        let Some(queue) = request.reply_to.as_deref() else {
            let why = format!("{}: it carries no reply-to", operation());
            return Err(Error::new(ErrorKind::Invalid, why));
        };
        check_body(&body, operation)?;
        let mut answer = Message::new(queue, body);
        answer.correlation_id.clone_from(&request.correlation_id);
        self.publish("", vec![answer]).await
    }

    async fn ping(&self) -> Result<(), Error> {
        let link = self.house.link_now("ping")?;
        // An exchange that every virtual host has.
        link.find_exchange("amq.direct", "ping").await?;
        publish::probe(&link, "ping").await
    }

    async fn close(&self) {
        self.house.close().await;
    }
}
