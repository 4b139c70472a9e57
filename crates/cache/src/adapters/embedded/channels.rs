//! Channels inside this process. A message goes to whoever listens at that moment, and waits for no slow one.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::port::{News, Subscription};

/// How many messages wait for one listener; what is past that it has missed.
const WAITING: usize = 1024;

/// The channels that somebody listens to.
#[derive(Debug, Default)]
pub(super) struct Halls {
    open: Mutex<HashMap<String, broadcast::Sender<Bytes>>>,
}

impl Halls {
    pub(super) fn publish(&self, channel: &str, message: Bytes) {
        if let Some(sender) = self.open.lock().get(channel) {
            // It fails where the last listener is just leaving.
            let _ = sender.send(message);
        }
    }

    pub(super) fn subscribe(halls: &Arc<Self>, channel: &str) -> Listener {
        let mut open = halls.open.lock();
        let sender = open
            .entry(channel.to_owned())
            .or_insert_with(|| broadcast::Sender::new(WAITING));
        Listener {
            receiver: Some(sender.subscribe()),
            channel: channel.to_owned(),
            halls: Arc::clone(halls),
        }
    }
}

/// Somebody who listens to a channel of this process.
pub(super) struct Listener {
    receiver: Option<broadcast::Receiver<Bytes>>,
    channel: String,
    halls: Arc<Halls>,
}

#[async_trait]
impl Subscription for Listener {
    async fn next(&mut self) -> News {
        let news = match &mut self.receiver {
            Some(receiver) => receiver.recv().await,
            None => Err(RecvError::Closed),
        };
        match news {
            Ok(message) => News::Message(message),
            Err(RecvError::Lagged(_)) => News::Missed,
            // The listener itself keeps the channel open.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut open = self.halls.open.lock();
        self.receiver = None;
        if open
            .get(&self.channel)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            open.remove(&self.channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_channel_is_gone_with_its_last_listener() {
        let halls = Arc::new(Halls::default());
        let (one, two) = (Halls::subscribe(&halls, "news"), Halls::subscribe(&halls, "news"));
        drop(one);
        assert_eq!(halls.open.lock().len(), 1);
        drop(two);
        assert!(halls.open.lock().is_empty());
        halls.publish("news", Bytes::new());
    }

    #[tokio::test]
    async fn a_slow_listener_hears_that_it_has_missed_something() {
        let halls = Arc::new(Halls::default());
        let mut slow = Halls::subscribe(&halls, "news");
        for number in 0..=WAITING {
            halls.publish("news", number.to_string().into());
        }
        assert_eq!(slow.next().await, News::Missed);
        assert_eq!(slow.next().await, News::Message("1".into()));
    }
}
