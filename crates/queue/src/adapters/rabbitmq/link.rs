//! One life of the connection to the broker, and the channels on it.
//!
//! Two connections: one publishes, one consumes and declares. A broker in alarm reads nothing more of a connection
//! that publishes; acknowledgements on the same one would stand still with it, and nothing would ever get better.

use std::sync::Arc;

use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use muster_model::ErrorKind;
use muster_runtime::CancellationToken;
use muster_runtime::clock::deadline;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::ANSWERS_WITHIN;
use super::calls::CallChannel;
use super::connect::{connect, greet};
use super::errors::translate;
use super::url::Settings;
use crate::error::Error;

/// How many calls of `publish` go on at a time; others wait for their turn.
const PUBLISHERS: usize = 32;

/// A living connection.
pub(super) struct Link {
    pub(super) publishing: Connection,
    pub(super) consuming: Connection,
    /// Channels with confirms that nobody uses now.
    idle: Mutex<Vec<Channel>>,
    turns: Arc<Semaphore>,
    /// The channel of declarations, where the last one left it whole.
    control: tokio::sync::Mutex<Option<Channel>>,
    pub(super) calls: tokio::sync::Mutex<Option<Arc<CallChannel>>>,
    /// Why the broker takes no messages now.
    pub(super) blocked: watch::Sender<Option<String>>,
    /// Cancelled when this life is over.
    pub(super) lost: CancellationToken,
}

impl Link {
    /// Connects.
    pub(super) async fn open(settings: &Settings) -> Result<Self, Error> {
        let server = greet(settings).await?;
        let consuming = connect(settings, "muster (consumes)").await?;
        let publishing = connect(settings, "muster (publishes)").await?;
        tracing::debug!(
            broker = settings.address(),
            version = server.version,
            "connected to RabbitMQ"
        );
        Ok(Self {
            publishing,
            consuming,
            idle: Mutex::default(),
            turns: Arc::new(Semaphore::new(PUBLISHERS)),
            control: tokio::sync::Mutex::default(),
            calls: tokio::sync::Mutex::default(),
            blocked: watch::Sender::new(None),
            lost: CancellationToken::new(),
        })
    }

    /// Tells whether both connections are there, as far as one knows.
    pub(super) fn is_whole(&self) -> bool {
        self.publishing.status().connected() && self.consuming.status().connected()
    }

    /// Says goodbye, as far as that is possible.
    pub(super) async fn close(&self) {
        self.lost.cancel();
        self.idle.lock().clear();
        for connection in [&self.publishing, &self.consuming] {
            let _ = deadline(ANSWERS_WITHIN, connection.close(200, "OK".into())).await;
        }
    }

    /// Does one thing on the channel of declarations. A refusal ends the channel; the next one opens another.
    pub(super) async fn control<T, F>(
        &self,
        operation: &str,
        needs: &str,
        work: impl FnOnce(Channel) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = lapin::Result<T>>,
    {
        let all = async {
            let mut place = self.control.lock().await;
            // Taken out, so that a caller who leaves in the middle leaves no half-used channel.
            let channel = match place.take() {
                Some(channel) if channel.status().connected() => channel,
                _ => self.consuming.create_channel().await?,
            };
            let done = work(channel.clone()).await?;
            *place = Some(channel);
            Ok(done)
        };
        answered(operation, needs, &self.lost, all).await
    }

    /// Fails where there is no such exchange.
    pub(super) async fn find_exchange(&self, name: &str, operation: &str) -> Result<(), Error> {
        let short = super::message::short(name, || operation.to_owned())?;
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        // Of a passive declaration the kind counts for nothing.
        self.control(operation, "", |channel| async move {
            channel
                .exchange_declare(short, lapin::ExchangeKind::Direct, options, FieldTable::default())
                .await
        })
        .await
    }

    /// Returns a channel with confirms, once it is this caller's turn.
    pub(super) async fn publisher(self: &Arc<Self>, operation: &str) -> Result<Publisher, Error> {
        let turns = Arc::clone(&self.turns);
        let all = async {
            let Ok(turn) = turns.acquire_owned().await else {
                return Err(lapin::ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed).into());
            };
            let found = self.idle.lock().pop();
            let channel = match found {
                Some(channel) if channel.status().connected() => channel,
                _ => {
                    let channel = self.publishing.create_channel().await?;
                    channel.confirm_select(ConfirmSelectOptions::default()).await?;
                    channel
                }
            };
            Ok(Publisher {
                channel,
                link: Arc::clone(self),
                _turn: turn,
            })
        };
        answered(operation, "", &self.lost, all).await
    }
}

/// Waits for the broker's answer, for as long as it may take.
pub(super) async fn answered<T>(
    operation: &str,
    needs: &str,
    lost: &CancellationToken,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    let unavailable = |why: &str| Error::new(ErrorKind::Unavailable, format!("{operation}: {why}"));
    tokio::select! {
        biased;
        answer = deadline(ANSWERS_WITHIN, answer) => match answer {
            Ok(answer) => answer.map_err(|error| translate(operation, needs, error)),
            Err(_) => Err(unavailable("the broker gives no answer")),
        },
        () = lost.cancelled() => Err(unavailable("the connection is gone")),
    }
}

/// A channel with confirms that is one caller's own for a while.
pub(super) struct Publisher {
    pub(super) channel: Channel,
    link: Arc<Link>,
    _turn: OwnedSemaphorePermit,
}

impl Publisher {
    /// Gives the channel to the next one. Where this is not done, something is still on its way: the channel is closed.
    pub(super) fn give_back(self) {
        self.link.idle.lock().push(self.channel);
    }
}
