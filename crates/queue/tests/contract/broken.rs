//! The suite itself under test: adapters with one fault each, which it has to find, and one without, which it passes.
//!
//! They stand on the embedded queue. What they add, and the faultless one shows that it is right, is an engine that
//! lives apart from its clients and can go down.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libtest_mimic::{Failed, Trial};
use muster_model::ErrorKind;
use muster_queue::contract::{Ending, Fixture, cases};
use muster_queue::{
    Capabilities, Consumer, Delivery, Error, ExchangeKind, Message, Queue, QueueOptions, Settler, open,
};
use muster_runtime::{CancellationToken, Tasks};
use tokio::sync::watch;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Every second acknowledgement is forgotten.
    DropsAcknowledgements,
    /// What is acknowledged is there once more.
    DoublesWhatWasAcknowledged,
    /// A delivery counts as done when it is handed over.
    AcknowledgesByItself,
    /// One message of many never arrives.
    LosesOne,
    /// Two neighbours change places.
    ChangesTheOrder,
    /// Redelivered or not, nobody says so.
    ForgetsRedelivery,
    /// Consumers get more than they asked for.
    IgnoresThePrefetch,
    /// Replies go to the wrong caller.
    MixesReplies,
    /// At a restart, the oldest message of each queue is gone.
    LosesOneAtARestart,
    /// After a restart, consumers hear nothing more.
    ForgetsConsumersAtARestart,
    /// What was told while nobody could hear it is passed over in silence.
    GoesOnAsIfNothingWasMissed,
    /// A tag of before the restart settles what has it now.
    TrustsOldTags,
    /// While the engine is away, calls wait for it for ever.
    WaitsForEver,
}

/// Each fault, and a case that has to find it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::DropsAcknowledgements, "acknowledged_messages_are_gone"),
    (
        Fault::DoublesWhatWasAcknowledged,
        "acknowledged_messages_are_gone",
    ),
    (Fault::AcknowledgesByItself, "redelivers_when_the_consumer_dies"),
    (Fault::LosesOne, "messages_keep_their_order"),
    (Fault::ChangesTheOrder, "messages_keep_their_order"),
    (Fault::ForgetsRedelivery, "redelivers_when_the_consumer_dies"),
    (Fault::IgnoresThePrefetch, "prefetch_is_respected"),
    (Fault::MixesReplies, "replies_find_their_calls_in_any_order"),
    (Fault::LosesOneAtARestart, "persistent_messages_survive_a_restart"),
    (
        Fault::LosesOneAtARestart,
        "what_was_confirmed_survives_a_kill_under_load",
    ),
    (
        Fault::ForgetsConsumersAtARestart,
        "a_consumer_goes_on_after_a_kill",
    ),
    (
        Fault::GoesOnAsIfNothingWasMissed,
        "a_consumer_of_a_queue_that_went_with_it_ends_at_a_restart",
    ),
    (
        Fault::GoesOnAsIfNothingWasMissed,
        "a_consumer_of_a_queue_that_went_with_it_ends_at_a_kill",
    ),
    (Fault::TrustsOldTags, "a_consumer_goes_on_after_a_restart"),
    (
        Fault::WaitsForEver,
        "an_engine_that_is_away_is_unavailable_in_bounded_time",
    ),
];

/// Returns the trials.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("broken::the_suite_passes_what_has_no_fault", || {
        for case in cases() {
            check(Fault::None, case.name).map_err(|why| format!("{}: {why}", case.name))?;
        }
        Ok(())
    })];
    for (fault, case) in FAULTS {
        trials.push(Trial::test(
            format!("broken::{case}_finds_{fault:?}"),
            move || match check(*fault, case) {
                Err(_) => Ok(()),
                Ok(()) => Err(Failed::from("the suite did not see it")),
            },
        ));
    }
    trials
}

fn check(fault: Fault, name: &str) -> Result<(), String> {
    let fixture: Arc<dyn Fixture> = Arc::new(Engines {
        fault,
        running: Mutex::default(),
    });
    let case = cases().into_iter().find(|case| case.name == name);
    case.ok_or("there is no such case")?.check(&fixture)
}

/// The engines behind the doors, one for each namespace.
struct Engines {
    fault: Fault,
    running: Mutex<HashMap<String, Arc<Engine>>>,
}

/// An engine, which outlives its clients.
struct Engine {
    inner: Arc<dyn Queue>,
    fault: Fault,
    /// How often it has been started; None while it is down.
    life: watch::Sender<Option<u64>>,
    queues: Mutex<Vec<String>>,
    /// Those that go with their consumers.
    passing: Mutex<HashSet<String>>,
    published: AtomicU64,
    lives: AtomicU64,
}

impl Engine {
    /// Returns once the engine is up; fails where it is down for longer than a caller waits.
    async fn is_up(&self, operation: &str) -> Result<u64, Error> {
        let mut life = self.life.subscribe();
        let waiting = life.wait_for(Option::is_some);
        let limit = if self.fault == Fault::WaitsForEver {
            Duration::from_secs(1_000_000)
        } else {
            Duration::from_secs(1)
        };
        match muster_runtime::clock::deadline(limit, waiting).await {
            Ok(Ok(life)) => Ok(life.unwrap_or_default()),
            _ => Err(Error::new(ErrorKind::Unavailable, operation)),
        }
    }
}

#[async_trait]
impl Fixture for Engines {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn is_in_process(&self) -> bool {
        true
    }

    async fn open(&self, namespace: &str, tasks: &Tasks) -> Result<Arc<dyn Queue>, Error> {
        let known = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(namespace)
            .cloned();
        let engine = match known {
            Some(engine) => engine,
            None => {
                let engine = Arc::new(Engine {
                    inner: open("memory:", tasks).await?,
                    fault: self.fault,
                    life: watch::Sender::new(Some(1)),
                    queues: Mutex::default(),
                    passing: Mutex::default(),
                    published: AtomicU64::new(0),
                    lives: AtomicU64::new(1),
                });
                let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                running.insert(namespace.to_owned(), Arc::clone(&engine));
                engine
            }
        };
        engine.is_up("open").await?;
        Ok(Arc::new(Door {
            engine,
            closed: CancellationToken::new(),
        }))
    }

    async fn end(&self, namespace: &str, _how: Ending) -> Result<(), Error> {
        let engine = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(namespace)
            .cloned();
        let Some(engine) = engine else { return Ok(()) };
        engine.life.send_replace(None);
        if self.fault == Fault::LosesOneAtARestart {
            let queues = engine
                .queues
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            for queue in queues {
                let mut consumer = engine.inner.consume(&queue, 1).await?;
                if let Ok(Some(lost)) =
                    muster_runtime::clock::deadline(Duration::from_millis(1), consumer.next()).await
                {
                    consumer.settler().ack(&[lost.tag]).await?;
                }
            }
        }
        Ok(())
    }

    async fn start(&self, namespace: &str) -> Result<(), Error> {
        let engine = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(namespace)
            .cloned();
        let Some(engine) = engine else { return Ok(()) };
        let next = engine.lives.fetch_add(1, Ordering::SeqCst) + 1;
        engine.life.send_replace(Some(next));
        Ok(())
    }
}

/// A client's door to the engine.
struct Door {
    engine: Arc<Engine>,
    closed: CancellationToken,
}

impl Door {
    async fn enter(&self, operation: &str) -> Result<&Arc<dyn Queue>, Error> {
        if self.closed.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, operation));
        }
        self.engine.is_up(operation).await?;
        Ok(&self.engine.inner)
    }
}

#[async_trait]
impl Queue for Door {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            shared: true,
        }
    }

    async fn declare_exchange(&self, name: &str, kind: ExchangeKind) -> Result<(), Error> {
        self.enter("declare exchange")
            .await?
            .declare_exchange(name, kind)
            .await
    }

    async fn declare_queue(&self, name: &str, options: QueueOptions) -> Result<(), Error> {
        let is_passing = options.auto_delete;
        self.enter("declare queue")
            .await?
            .declare_queue(name, options)
            .await?;
        if is_passing {
            let mut passing = self.engine.passing.lock().unwrap_or_else(PoisonError::into_inner);
            passing.insert(name.to_owned());
        }
        let mut queues = self.engine.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.push(name.to_owned());
        Ok(())
    }

    async fn bind(
        &self,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: &[(String, String)],
    ) -> Result<(), Error> {
        self.enter("bind")
            .await?
            .bind(queue, exchange, key, arguments)
            .await
    }

    async fn delete_queue(&self, name: &str) -> Result<(), Error> {
        self.enter("delete queue").await?.delete_queue(name).await
    }

    async fn publish(&self, exchange: &str, mut messages: Vec<Message>) -> Result<(), Error> {
        let inner = self.enter("publish").await?;
        let before = self
            .engine
            .published
            .fetch_add(messages.len() as u64, Ordering::SeqCst);
        match self.engine.fault {
            Fault::LosesOne if before + messages.len() as u64 >= 300 && before < 300 => {
                messages.pop();
            }
            Fault::ChangesTheOrder if messages.len() > 1 => messages.swap(0, 1),
            _ => {}
        }
        inner.publish(exchange, messages).await
    }

    async fn consume(&self, queue: &str, prefetch: u32) -> Result<Box<dyn Consumer>, Error> {
        let inner = self.enter("consume").await?;
        let many = if self.engine.fault == Fault::IgnoresThePrefetch {
            prefetch * 10
        } else {
            prefetch
        };
        let consumer = inner.consume(queue, many).await?;
        let is_passing = self
            .engine
            .passing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(queue);
        let place = Arc::new(Place {
            engine: Arc::clone(&self.engine),
            settler: Mutex::new((1, consumer.settler())),
            held: Mutex::default(),
            counted: Mutex::default(),
        });
        Ok(Box::new(Client {
            queue: queue.to_owned(),
            prefetch: many,
            life: self.engine.life.borrow().unwrap_or_default(),
            is_passing,
            consumer: Some(consumer),
            place,
            closed: self.closed.clone(),
        }))
    }

    async fn depth(&self, queue: &str) -> Result<u64, Error> {
        self.enter("depth").await?.depth(queue).await
    }

    async fn call(&self, exchange: &str, request: Message, limit: Duration) -> Result<Bytes, Error> {
        let inner = self.enter("call").await?;
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Error::new(ErrorKind::Cancelled, "call")),
            answer = inner.call(exchange, request, limit) => answer,
        }
    }

    async fn reply(&self, request: &Message, body: Bytes) -> Result<(), Error> {
        let inner = self.enter("reply").await?;
        let mut request = request.clone();
        if self.engine.fault == Fault::MixesReplies {
            let number = request
                .correlation_id
                .as_deref()
                .and_then(|id| id.parse::<u64>().ok());
            request.correlation_id = number.map(|number| (number ^ 1).to_string());
        }
        inner.reply(&request, body).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.enter("ping").await?.ping().await
    }

    async fn close(&self) {
        self.closed.cancel();
    }
}

/// What a client's settlers share with it. Tags are the engine's, with the life of their connection before them.
struct Place {
    engine: Arc<Engine>,
    settler: Mutex<(u64, Arc<dyn Settler>)>,
    held: Mutex<HashMap<u64, Message>>,
    /// The engine's tags of this life, in order: what a connection counts by itself.
    counted: Mutex<Vec<u64>>,
}

const LIVES: u64 = 1 << 32;

/// A consumer that goes on when the engine is there again, where its queue is.
struct Client {
    queue: String,
    prefetch: u32,
    life: u64,
    is_passing: bool,
    /// None after the end.
    consumer: Option<Box<dyn Consumer>>,
    place: Arc<Place>,
    closed: CancellationToken,
}

#[async_trait]
impl Consumer for Client {
    async fn next(&mut self) -> Option<Delivery> {
        let mut life = self.place.engine.life.subscribe();
        loop {
            let now = tokio::select! {
                biased;
                () = self.closed.cancelled() => return None,
                now = life.wait_for(Option::is_some) => (*now.ok()?).unwrap_or_default(),
            };
            let fault = self.place.engine.fault;
            if now != self.life && self.is_passing && fault != Fault::GoesOnAsIfNothingWasMissed {
                self.consumer = None;
                return None;
            }
            if now != self.life && fault != Fault::ForgetsConsumersAtARestart {
                // What was held on the older connection goes back as that one goes.
                let fresh = self
                    .place
                    .engine
                    .inner
                    .consume(&self.queue, self.prefetch)
                    .await
                    .ok()?;
                self.life = now;
                let mut settler = self.place.settler.lock().unwrap_or_else(PoisonError::into_inner);
                *settler = (settler.0 + 1, fresh.settler());
                self.consumer = Some(fresh);
                self.place
                    .counted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clear();
            }
            let consumer = self.consumer.as_mut()?;
            let delivery = tokio::select! {
                biased;
                () = self.closed.cancelled() => return None,
                _ = life.wait_for(|life| *life != Some(now)) => continue,
                delivery = consumer.next(), if now == self.life => delivery,
            };
            let mut delivery = delivery?;
            if fault == Fault::AcknowledgesByItself {
                let _ = consumer.settler().ack(&[delivery.tag]).await;
            }
            if fault == Fault::ForgetsRedelivery {
                delivery.redelivered = false;
            }
            let lives = self
                .place
                .settler
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if fault == Fault::TrustsOldTags {
                let mut counted = self.place.counted.lock().unwrap_or_else(PoisonError::into_inner);
                counted.push(delivery.tag);
                delivery.tag = counted.len() as u64;
            } else {
                delivery.tag += lives * LIVES;
            }
            let mut held = self.place.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.insert(delivery.tag, delivery.message.clone());
            return Some(delivery);
        }
    }

    fn set_prefetch(&mut self, prefetch: u32) {
        self.prefetch = prefetch;
        if let Some(consumer) = &mut self.consumer {
            consumer.set_prefetch(prefetch);
        }
    }

    fn settler(&self) -> Arc<dyn Settler> {
        Arc::new(Hand(Arc::clone(&self.place)))
    }
}

struct Hand(Arc<Place>);

impl Hand {
    /// Returns who settles, and the engine's own tag where it is of this life.
    fn of_now(&self, tag: u64) -> Option<(Arc<dyn Settler>, u64)> {
        let settler = self.0.settler.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.engine.fault == Fault::TrustsOldTags {
            let counted = self.0.counted.lock().unwrap_or_else(PoisonError::into_inner);
            let own = usize::try_from(tag)
                .ok()
                .and_then(|tag| counted.get(tag.checked_sub(1)?).copied());
            return own.map(|own| (Arc::clone(&settler.1), own));
        }
        (tag / LIVES == settler.0).then(|| (Arc::clone(&settler.1), tag % LIVES))
    }
}

#[async_trait]
impl Settler for Hand {
    async fn ack(&self, tags: &[u64]) -> Result<(), Error> {
        for tag in tags {
            let Some((settler, own)) = self.of_now(*tag) else {
                continue;
            };
            let message = self
                .0
                .held
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(tag);
            match self.0.engine.fault {
                Fault::DropsAcknowledgements if own % 2 == 1 => {}
                Fault::DoublesWhatWasAcknowledged => {
                    settler.ack(&[own]).await?;
                    if let Some(message) = message {
                        self.0.engine.inner.publish("", vec![message]).await?;
                    }
                }
                _ => settler.ack(&[own]).await?,
            }
        }
        Ok(())
    }

    async fn reject(&self, tag: u64, requeue: bool) -> Result<(), Error> {
        match self.of_now(tag) {
            Some((settler, own)) => settler.reject(own, requeue).await,
            None => Ok(()),
        }
    }
}
