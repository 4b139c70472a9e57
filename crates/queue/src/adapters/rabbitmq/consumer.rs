//! Consumers, which outlive connections: each has a task that asks for its messages on whatever connection there is.
//!
//! But for those of queues that go with their consumers: such a queue may have gone with the connection, and what was
//! published since then with it. They end, so that who listens knows that something may be missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join_all, ready};
use futures_util::stream::{BoxStream, SelectAll, once};
use futures_util::{FutureExt, StreamExt};
use lapin::Channel;
use lapin::message::Delivery as Raw;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    BasicRejectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use muster_model::ErrorKind;
use muster_runtime::Backoff;
use muster_runtime::clock::{deadline, sleep};
use tokio::time::Instant;

use super::ANSWERS_WITHIN;
use super::errors::translate;
use super::house::{House, chain};
use super::link::{Link, answered};
use super::message::short;
use super::place::{Found, Place, Plan};
use crate::adapters::checks::clip;
use crate::error::Error;
use crate::port::{Consumer, Settler};
use crate::types::Delivery;

/// Between tries to consume again on a connection that stands.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Consuming that went well for so long begins again at once.
const GOOD: Duration = Duration::from_secs(10);
/// How many deliveries are moved before orders are looked at again.
const BURST: usize = 256;

/// Opens a consumer.
pub(super) async fn open(house: &Arc<House>, queue: &str, prefetch: u32) -> Result<Box<dyn Consumer>, Error> {
    let operation = operation(queue);
    house.check_open(&operation)?;
    short(queue, || operation.clone())?;
    let auto_delete = house.topology.lock().is_auto_delete(queue);
    let place = Arc::new(Place::new(queue, prefetch, auto_delete));
    let own = &place;
    let described = &operation;
    let begin = |link: Arc<Link>| async move {
        let session = Session::open(&link, own).await?;
        let mut topology = house.topology.lock();
        if link.lost.is_cancelled() {
            // Counted now, it would be counted for what is declared on the next connection.
            let why = format!("{described}: the connection is gone");
            return Err(Error::new(ErrorKind::Unavailable, why));
        }
        Ok((session, topology.consumer_came(queue)))
    };
    let (session, declared) = house.attempt(&operation, begin).await?;
    let seat = Arc::new(Seat {
        house: Arc::clone(house),
        place,
        declared,
        has_left: AtomicBool::new(false),
    });
    house
        .tasks
        .spawn("queue-consumer", run(Arc::clone(&seat), session));
    Ok(Box::new(Handle(seat)))
}

fn operation(queue: &str) -> String {
    format!("consume from queue '{}'", clip(queue))
}

/// A consumer, as its task and its owner share it.
struct Seat {
    house: Arc<House>,
    place: Arc<Place>,
    /// Which declaration of the queue it consumes from.
    declared: u64,
    has_left: AtomicBool,
}

impl Seat {
    /// Notes that the consumer is no more, once, however often it is said.
    fn leave(&self) {
        if !self.has_left.swap(true, Ordering::SeqCst) {
            self.place.left.cancel();
            let mut topology = self.house.topology.lock();
            topology.consumer_left(&self.place.queue, self.declared);
        }
    }

    /// Ends: whoever listens is told, and finds the queue forgotten where it went with this one.
    fn end(&self) {
        self.leave();
        self.place.end();
    }
}

/// A consumer.
struct Handle(Arc<Seat>);

#[async_trait]
impl Consumer for Handle {
    async fn next(&mut self) -> Option<Delivery> {
        // A consumer that always finds a message must not keep its thread from others.
        tokio::task::coop::consume_budget().await;
        loop {
            match self.0.place.take() {
                Found::Delivery(delivery) => return Some(delivery),
                Found::End => return None,
                Found::Nothing => self.0.place.ready.notified().await,
            }
        }
    }

    fn set_prefetch(&mut self, prefetch: u32) {
        self.0.place.set_prefetch(prefetch);
    }

    fn settler(&self) -> Arc<dyn Settler> {
        Arc::new(Hand(Arc::clone(&self.0.place)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.place.pause();
        self.0.leave();
    }
}

/// Settles what one consumer took.
struct Hand(Arc<Place>);

#[async_trait]
impl Settler for Hand {
    async fn ack(&self, tags: &[u64]) -> Result<(), Error> {
        let _turn = self.0.settling.lock().await;
        let Some((channel, acks)) = self.0.acknowledge(tags) else {
            return Ok(());
        };
        // All are handed to the connection at once: a caller who leaves in the middle leaves none behind.
        let sending = join_all(acks.into_iter().map(|ack| {
            let options = BasicAckOptions {
                multiple: ack.multiple,
            };
            channel.basic_ack(ack.tag, options)
        }));
        let sent = sending.map(|sent| sent.into_iter().collect::<Result<Vec<()>, _>>());
        settled("acknowledge", &self.0.queue, sent).await
    }

    async fn reject(&self, tag: u64, requeue: bool) -> Result<(), Error> {
        let _turn = self.0.settling.lock().await;
        let Some((channel, tag)) = self.0.reject(tag) else {
            return Ok(());
        };
        let sent = channel.basic_reject(tag, BasicRejectOptions { requeue });
        settled("reject", &self.0.queue, sent).await
    }
}

/// Waits until the connection has taken it. Where it broke instead, the message comes again.
async fn settled<T>(
    what: &str,
    queue: &str,
    sent: impl Future<Output = lapin::Result<T>>,
) -> Result<(), Error> {
    let operation = || format!("{what} deliveries of queue '{}'", clip(queue));
    match deadline(ANSWERS_WITHIN, sent).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(translate(operation(), "", error)),
        Err(_) => Err(Error::new(
            ErrorKind::OutcomeUnknown,
            format!("{}: the broker takes nothing", operation()),
        )),
    }
}

/// Why a session is over.
enum End {
    /// The consumer was dropped.
    Left,
    /// The queue was closed.
    Closed,
    /// The connection is gone.
    Lost,
    /// The broker ended it.
    Ended(String),
}

/// Keeps a consumer supplied until it is dropped, or its queue deleted or closed, or possibly lost.
async fn run(seat: Arc<Seat>, first: Session) {
    let (house, place) = (&seat.house, &seat.place);
    let mut session = Some(first);
    let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
    loop {
        if let Some(mut session) = session.take() {
            let since = Instant::now();
            let end = session.run(house, place).await;
            place.pause();
            match end {
                End::Left => return session.close().await,
                End::Closed => return seat.end(),
                End::Lost => {}
                End::Ended(why) => {
                    tracing::debug!(queue = place.queue, why, "a consumer was ended by the broker");
                    session.close().await;
                }
            }
            if place.auto_delete {
                return seat.end();
            }
            if since.elapsed() >= GOOD {
                backoff = Backoff::new(AGAIN.0, AGAIN.1);
            }
        }
        let again = async {
            sleep(backoff.step()).await;
            let link = house.link_whenever().await?;
            Some(Session::open(&link, place).await)
        };
        let opened = tokio::select! {
            biased;
            () = place.left.cancelled() => return,
            opened = again => opened,
        };
        match opened {
            Some(Ok(opened)) => session = Some(opened),
            Some(Err(error)) if error.kind == ErrorKind::NotFound => {
                // Somebody has deleted it: a connection made later must not bring it back.
                house.topology.lock().forget_queue(&place.queue);
                return seat.end();
            }
            Some(Err(error)) => {
                tracing::warn!(why = chain(&error), "a consumer cannot go on yet");
            }
            None => return seat.end(),
        }
    }
}

/// What a stream of a lot brings: a delivery, an error, or its end.
type Item = (u32, Option<lapin::Result<Raw>>);

/// Consuming on one channel.
struct Session {
    link: Arc<Link>,
    channel: Channel,
    streams: SelectAll<BoxStream<'static, Item>>,
}

impl Session {
    async fn open(link: &Arc<Link>, place: &Place) -> Result<Self, Error> {
        let operation = operation(&place.queue);
        let channel = answered(&operation, "", &link.lost, link.consuming.create_channel()).await?;
        place.begin(channel.clone());
        let mut session = Self {
            link: Arc::clone(link),
            channel,
            streams: SelectAll::new(),
        };
        if place.prefetch() == 0 {
            // Nothing is asked for: whether the queue is there has to be asked.
            let name = short(&place.queue, || operation.clone())?;
            let options = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::default()
            };
            let look = session
                .channel
                .queue_declare(name, options, FieldTable::default());
            answered(&operation, "", &link.lost, look).await?;
        }
        session.tune(place).await?;
        Ok(session)
    }

    async fn run(&mut self, house: &House, place: &Place) -> End {
        loop {
            tokio::select! {
                biased;
                () = place.left.cancelled() => return End::Left,
                () = house.closed.cancelled() => return End::Closed,
                () = self.link.lost.cancelled() => return End::Lost,
                () = place.orders.notified() => {
                    if let Err(error) = self.tune(place).await {
                        return End::Ended(chain(&error));
                    }
                }
                item = self.streams.next(), if !self.streams.is_empty() => {
                    let mut next = item;
                    for _ in 0..BURST {
                        match next {
                            Some((lot, Some(Ok(delivery)))) => place.push(lot, delivery),
                            Some((_, Some(Err(error)))) => return End::Ended(chain(&error)),
                            Some((_, None)) => return End::Ended("the queue may be gone".to_owned()),
                            None => break,
                        }
                        next = self.streams.next().now_or_never().flatten();
                    }
                    if let Some((lot, Some(Ok(delivery)))) = next {
                        place.push(lot, delivery);
                    }
                }
            }
        }
    }

    /// Makes the lots fit the prefetch.
    async fn tune(&mut self, place: &Place) -> Result<(), Error> {
        loop {
            match place.plan() {
                Plan::Keep => return Ok(()),
                Plan::Add(limit) => self.ask(place, limit).await?,
                Plan::Replace {
                    cancel,
                    give_back,
                    limit,
                    never_without,
                } => {
                    let mut old = std::mem::take(&mut self.streams);
                    if never_without {
                        self.ask(place, limit).await?;
                    }
                    let operation = operation(&place.queue);
                    for tag in cancel {
                        let cancelling = self.channel.basic_cancel(tag, BasicCancelOptions::default());
                        answered(&operation, "", &self.link.lost, cancelling).await?;
                    }
                    let mut back = give_back;
                    // They end with what came before the broker heard of it.
                    while let Ok(Some((_, item))) = deadline(ANSWERS_WITHIN, old.next()).await {
                        if let Some(Ok(delivery)) = item {
                            back.push(delivery.delivery_tag);
                        }
                    }
                    for tag in back {
                        let options = BasicNackOptions {
                            requeue: true,
                            ..BasicNackOptions::default()
                        };
                        let giving = self.channel.basic_nack(tag, options);
                        answered(&operation, "", &self.link.lost, giving).await?;
                    }
                    if !never_without && limit > 0 {
                        self.ask(place, limit).await?;
                    }
                }
            }
        }
    }

    /// Asks for another lot.
    async fn ask(&mut self, place: &Place, limit: u16) -> Result<(), Error> {
        let operation = operation(&place.queue);
        let needs = format!("'read' on queue '{}'", place.queue);
        let name = short(&place.queue, || operation.clone())?;
        let (id, tag) = place.next_lot();
        let tag = short(&tag, || operation.clone())?;
        let asking = async {
            self.channel.basic_qos(limit, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            self.channel
                .basic_consume(name, tag.clone(), options, FieldTable::default())
                .await
        };
        let stream = answered(&operation, &needs, &self.link.lost, asking).await?;
        place.add_lot(id, tag, limit);
        let items = stream.map(move |item| (id, Some(item)));
        self.streams.push(items.chain(once(ready((id, None)))).boxed());
        Ok(())
    }

    async fn close(self) {
        // What is not settled goes back with the channel.
        let closing = self.channel.close(200, "OK".into());
        let _ = answered("close", "", &self.link.lost, closing).await;
    }
}
