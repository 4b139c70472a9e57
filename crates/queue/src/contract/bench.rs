//! What a case works with: an adapter in a namespace of its own, and waiting without hoping.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_model::ErrorKind;
use muster_runtime::Tasks;
use muster_runtime::clock::{deadline, sleep};

use super::{Case, Outcome};
use crate::error::Error;
use crate::port::{Consumer, Queue};
use crate::types::{Delivery, Message, QueueOptions};

/// How long a case waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a case listens before it believes that nothing comes.
const QUIET: Duration = Duration::from_millis(250);

/// Opens one adapter for the cases.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// Returns the adapter's name, as it stands before each case's.
    fn name(&self) -> &'static str;

    /// Tells whether the adapter lives in this process, so that time may be virtual.
    fn is_in_process(&self) -> bool;

    /// Opens the adapter in a namespace: nothing that another namespace holds can be seen in it, and where
    /// the adapter is shared, opening it twice gives two doors to the same.
    async fn open(&self, namespace: &str, tasks: &Tasks) -> Result<Arc<dyn Queue>, Error>;

    /// Ends the engine behind a namespace: as an operator does, or as a power cut does. Where the engine is the
    /// adapter, there is nothing to do: what is opened next is what a restart would leave.
    async fn end(&self, namespace: &str, how: Ending) -> Result<(), Error>;

    /// Starts the engine again after [`Fixture::end`].
    async fn start(&self, namespace: &str) -> Result<(), Error>;
}

/// How an engine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is asked to, and cleans up.
    Orderly,
    /// `kill -9`.
    Killed,
}

/// What a case works with.
pub struct Bench {
    /// The adapter, in a namespace of the case's own.
    pub queue: Arc<dyn Queue>,
    /// Where the case's own tasks run.
    pub tasks: Tasks,
    fixture: Arc<dyn Fixture>,
    namespace: String,
    ending: Option<Ending>,
}

impl Bench {
    /// Opens the adapter for a case.
    ///
    /// # Errors
    ///
    /// Where the adapter cannot be opened.
    pub async fn open(fixture: Arc<dyn Fixture>, case: &Case) -> Result<Self, Error> {
        let namespace = format!("{}-{}", case.name, std::process::id());
        let tasks = Tasks::new();
        let queue = fixture.open(&namespace, &tasks).await?;
        Ok(Self {
            queue,
            tasks,
            fixture,
            namespace,
            ending: case.ending,
        })
    }

    /// Opens the same namespace once more, as another process would.
    pub(super) async fn open_again(&self) -> Result<Arc<dyn Queue>, Error> {
        self.fixture.open(&self.namespace, &self.tasks).await
    }

    /// Restarts the engine.
    pub(super) async fn restart(&self, how: Ending) -> Result<(), Error> {
        self.end(how).await?;
        self.start().await
    }

    /// Ends the engine.
    pub(super) async fn end(&self, how: Ending) -> Result<(), Error> {
        if self.ending != Some(how) {
            let why = "end the engine: the list of cases says something else of this one";
            return Err(Error::new(ErrorKind::Internal, why));
        }
        self.fixture.end(&self.namespace, how).await
    }

    /// Starts the engine again.
    pub(super) async fn start(&self) -> Result<(), Error> {
        self.fixture.start(&self.namespace).await
    }

    /// Declares a queue with default options and consumes from it.
    pub(super) async fn consumer(&self, name: &str, prefetch: u32) -> Result<Box<dyn Consumer>, Error> {
        self.queue.declare_queue(name, QueueOptions::default()).await?;
        self.queue.consume(name, prefetch).await
    }

    /// Publishes texts to a queue by its name.
    pub(super) async fn send(&self, queue: &str, texts: &[&str]) -> Result<(), Error> {
        self.publish("", queue, texts).await
    }

    /// Publishes texts to an exchange.
    pub(super) async fn publish(&self, exchange: &str, key: &str, texts: &[&str]) -> Result<(), Error> {
        let message = |text: &&str| Message::new(key, (*text).to_owned());
        self.queue
            .publish(exchange, texts.iter().map(message).collect())
            .await
    }

    /// Waits until a queue has so many messages waiting.
    pub(super) async fn depth_becomes(&self, queue: &str, expected: u64) -> Outcome {
        let mut depth = 0;
        let wait = async {
            loop {
                depth = self.queue.depth(queue).await?;
                if depth == expected {
                    return Ok::<(), Error>(());
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        match deadline(PATIENCE, wait).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(format!("queue '{queue}' has {depth} messages, not {expected}").into()),
        }
    }
}

/// Waits for the next delivery.
pub(super) async fn take(
    consumer: &mut Box<dyn Consumer>,
) -> Result<Delivery, Box<dyn std::error::Error + Send + Sync>> {
    match deadline(PATIENCE, consumer.next()).await {
        Ok(Some(delivery)) => Ok(delivery),
        Ok(None) => Err("the consumer ended".into()),
        Err(_) => Err("no delivery came".into()),
    }
}

/// Takes so many deliveries and checks their texts, in order.
pub(super) async fn expect(
    consumer: &mut Box<dyn Consumer>,
    texts: &[&str],
) -> Result<Vec<Delivery>, Box<dyn std::error::Error + Send + Sync>> {
    let mut deliveries = Vec::new();
    for text in texts {
        let delivery = take(consumer)
            .await
            .map_err(|error| format!("waiting for '{text}': {error}"))?;
        deliveries.push(delivery);
    }
    let found: Vec<String> = deliveries.iter().map(text).collect();
    if found != texts {
        return Err(format!("{found:?} came, not {texts:?}").into());
    }
    Ok(deliveries)
}

/// Checks that nothing comes.
pub(super) async fn expect_nothing(consumer: &mut Box<dyn Consumer>) -> Outcome {
    match deadline(QUIET, consumer.next()).await {
        Err(_) => Ok(()),
        Ok(None) => Err("the consumer ended".into()),
        Ok(Some(delivery)) => Err(format!("'{}' came, and nothing should", text(&delivery)).into()),
    }
}

/// Checks that the consumer ends.
pub(super) async fn expect_end(consumer: &mut Box<dyn Consumer>) -> Outcome {
    match deadline(PATIENCE, consumer.next()).await {
        Ok(None) => Ok(()),
        Ok(Some(delivery)) => Err(format!("'{}' came instead of the end", text(&delivery)).into()),
        Err(_) => Err("the consumer did not end".into()),
    }
}

/// Returns the body of a delivery as text.
pub(super) fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.message.body).into_owned()
}

/// Fails with what was promised where it is not so.
pub(super) fn ensure(is_so: bool, promise: &str) -> Outcome {
    if is_so {
        Ok(())
    } else {
        Err(format!("not so: {promise}").into())
    }
}

/// Checks that a call failed with a kind.
pub(super) fn ensure_kind<T>(answer: Result<T, Error>, kind: muster_model::ErrorKind) -> Outcome {
    match answer {
        Err(error) if error.kind == kind => Ok(()),
        Err(error) => Err(format!("it failed as '{}', not as '{kind}'", error.kind).into()),
        Ok(_) => Err(format!("it did not fail as '{kind}'").into()),
    }
}
