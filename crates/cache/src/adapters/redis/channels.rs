//! Listening to a channel: each listener has a connection of its own, which is made anew when it breaks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use muster_runtime::Backoff;
use muster_runtime::clock::sleep;
use redis::aio::PubSub;

use super::link::{Link, What};
use crate::error::Error;
use crate::port::{News, Subscription};

/// Somebody who listens.
pub(super) struct Listener {
    link: Arc<Link>,
    name: String,
    /// None while there is no connection.
    heard: Option<PubSub>,
    /// Which server of several is asked next.
    turn: usize,
    backoff: Backoff,
}

fn patience() -> Backoff {
    Backoff::new(Duration::from_millis(50), Duration::from_secs(2))
}

impl Listener {
    /// Begins to listen to what Redis calls `name`.
    pub(super) async fn open(link: Arc<Link>, channel: &str, name: String) -> Result<Self, Error> {
        let what = What {
            operation: "subscribe to",
            key: channel,
            writes: false,
        };
        let heard = link.listen(what, &name).await?;
        Ok(Self {
            link,
            name,
            heard: Some(heard),
            turn: 1,
            backoff: patience(),
        })
    }
}

#[async_trait]
impl Subscription for Listener {
    async fn next(&mut self) -> News {
        loop {
            if let Some(heard) = &mut self.heard {
                if let Some(message) = heard.on_message().next().await {
                    return News::Message(Bytes::copy_from_slice(message.get_payload_bytes()));
                }
                self.heard = None;
            }
            let turn = self.turn;
            match self.link.connect_listener(turn, &self.name).await {
                Ok(heard) => {
                    self.heard = Some(heard);
                    self.backoff = patience();
                    // What was published in between nobody kept.
                    return News::Missed;
                }
                Err(error) => {
                    tracing::debug!(cache = %self.link.circuit.name(), %error, "a channel cannot be listened to");
                    self.turn = turn.wrapping_add(1);
                    sleep(self.backoff.step()).await;
                }
            }
        }
    }
}
