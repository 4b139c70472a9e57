//! Consumers of an embedded queue, and the settling of what they took.

use std::future::poll_fn;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::broker::Broker;
use super::core::Core;
use crate::error::Error;
use crate::port::{Consumer, Settler};
use crate::types::Delivery;

/// A place in a queue. Dropping it gives back what it had not settled.
#[derive(Debug)]
pub(super) struct Place {
    broker: Arc<Broker>,
    core: Arc<Core>,
    id: u64,
}

impl Place {
    pub(super) fn new(broker: Arc<Broker>, core: Arc<Core>, id: u64) -> Self {
        Self { broker, core, id }
    }
}

#[async_trait]
impl Consumer for Place {
    async fn next(&mut self) -> Option<Delivery> {
        // A consumer that always finds a message must not keep its thread from others.
        tokio::task::coop::consume_budget().await;
        poll_fn(|cx| {
            let (answer, effects) = self.core.poll_take(self.id, Instant::now(), cx);
            self.broker.settle(&self.core, effects);
            answer
        })
        .await
    }

    fn set_prefetch(&mut self, prefetch: u32) {
        let effects = self.core.set_prefetch(self.id, prefetch);
        self.broker.settle(&self.core, effects);
    }

    fn settler(&self) -> Arc<dyn Settler> {
        Arc::new(Hand {
            broker: Arc::clone(&self.broker),
            core: Arc::clone(&self.core),
            id: self.id,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let effects = self.core.leave(self.id, Instant::now());
        self.broker.settle(&self.core, effects);
    }
}

/// Settles what one consumer took.
#[derive(Debug)]
struct Hand {
    broker: Arc<Broker>,
    core: Arc<Core>,
    id: u64,
}

#[async_trait]
impl Settler for Hand {
    async fn ack(&self, tags: &[u64]) -> Result<(), Error> {
        let effects = self.core.ack(self.id, tags);
        self.broker.settle(&self.core, effects);
        Ok(())
    }

    async fn reject(&self, tag: u64, requeue: bool) -> Result<(), Error> {
        let effects = self.core.reject(self.id, tag, requeue, Instant::now());
        self.broker.settle(&self.core, effects);
        Ok(())
    }
}
