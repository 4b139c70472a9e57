//! RabbitMQ behind a network that fails: reset, cut in the middle of a frame, stalled, slow, refused, and healed.
//!
//! One broker for all, each behind a proxy and in a virtual host of its own. What is in a queue at the end is read on a
//! connection that goes round the proxy.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libtest_mimic::{Failed, Trial};
use muster_model::ErrorKind::{OutcomeUnknown, Unavailable};
use muster_queue::{Consumer, Error, Message, Queue, QueueOptions, open};
use muster_runtime::{Tasks, clock};
use muster_testkit::proxy::{Proxy, Way};
use muster_testkit::{RabbitMq, require};

use crate::alarms::a_broker_without_disk_takes_nothing_loses_nothing_and_goes_on;
use crate::checks::{Check, all_at_once, one};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T = ()> = Result<T, Failure>;

const PATIENCE: Duration = Duration::from_secs(30);
const CHECKS: &[(&str, Check)] = &[
    (
        "nothing_confirmed_is_lost_where_connections_are_reset",
        nothing_confirmed_is_lost_where_connections_are_reset,
    ),
    (
        "a_stalled_link_is_noticed_and_left",
        a_stalled_link_is_noticed_and_left,
    ),
    ("a_slow_link_is_no_lost_one", a_slow_link_is_no_lost_one),
    (
        "what_was_cut_in_the_middle_comes_again_whole",
        what_was_cut_in_the_middle_comes_again_whole,
    ),
    (
        "who_is_turned_away_comes_again_after_pauses_that_grow_and_differ",
        who_is_turned_away_comes_again_after_pauses_that_grow_and_differ,
    ),
    (
        "who_is_refused_is_told_and_goes_on_when_it_is_over",
        who_is_refused_is_told_and_goes_on_when_it_is_over,
    ),
];

/// Returns the trial. The checks wait more than they work: all run at once.
pub(crate) fn trials() -> Vec<Trial> {
    vec![Trial::test("rabbitmq::faults", run)]
}

fn run() -> Result<(), Failed> {
    let Some(broker) = require::or_ignored(RabbitMq::start()) else {
        return Ok(());
    };
    let mut failed = all_at_once("faults", CHECKS, &broker);
    // It concerns everybody at the broker.
    failed.extend(one(
        "faults",
        "a_broker_without_disk_takes_nothing_loses_nothing_and_goes_on",
        a_broker_without_disk_takes_nothing_loses_nothing_and_goes_on,
        &broker,
    ));
    if failed.is_empty() {
        return Ok(());
    }
    Err(failed.join("\n").into())
}

fn ensure(is_so: bool, what: impl Into<String>) -> Outcome {
    if is_so {
        Ok(())
    } else {
        Err(format!("not so: {}", what.into()).into())
    }
}

/// Opens a virtual host twice, behind a proxy and round it, and works with both.
fn with<F>(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
    query: &str,
    work: impl FnOnce(Arc<dyn Queue>, Arc<dyn Queue>, Arc<Proxy>) -> F,
) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let direct = broker.fresh_vhost()?;
    let proxy = Arc::new(Proxy::before(broker.port())?);
    let behind = direct.replace(&format!(":{}/", broker.port()), &format!(":{}/", proxy.port()));
    let tasks = Tasks::new();
    runtime.block_on(async {
        let around = open(&direct, &tasks).await?;
        let queue = open(&format!("{behind}?connection_timeout=2000{query}"), &tasks).await?;
        let work = work(Arc::clone(&queue), Arc::clone(&around), Arc::clone(&proxy));
        let outcome = clock::deadline(Duration::from_secs(100), work).await;
        proxy.heal()?;
        queue.close().await;
        around.close().await;
        ensure(tasks.close(Duration::from_secs(10)).await == 0, "every task ends")?;
        outcome.map_err(|_| "it did not end")?
    })
}

fn kept(max_priority: u8) -> QueueOptions {
    QueueOptions {
        durable: true,
        max_priority,
        ..QueueOptions::default()
    }
}

fn message(queue: &str, body: impl Into<Bytes>) -> Message {
    Message {
        persistent: true,
        ..Message::new(queue, body)
    }
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Outcome<muster_queue::Delivery> {
    let next = clock::deadline(PATIENCE, consumer.next()).await;
    Ok(next.map_err(|_| "nothing comes")?.ok_or("the end came")?)
}

/// Reads a queue until it is empty; what comes twice is an error.
async fn drain(queue: &Arc<dyn Queue>, name: &str) -> Outcome<BTreeSet<String>> {
    let mut consumer = queue.consume(name, 200).await?;
    let settler = consumer.settler();
    let mut seen = BTreeSet::new();
    while let Ok(Some(delivery)) = clock::deadline(Duration::from_secs(1), consumer.next()).await {
        settler.ack(&[delivery.tag]).await?;
        let text = String::from_utf8_lossy(&delivery.message.body).into_owned();
        ensure(seen.insert(text.clone()), format!("{text} is there once"))?;
    }
    Ok(seen)
}

/// Publishes until it works again.
async fn publish_again(queue: &Arc<dyn Queue>, name: &str, text: &str) -> Outcome {
    let started = Instant::now();
    while let Err(error) = queue.publish("", vec![message(name, text.to_owned())]).await {
        let is_bounded = error.kind.may_pass() && started.elapsed() < PATIENCE;
        ensure(is_bounded, format!("it goes on: {error}"))?;
    }
    Ok(())
}

/// What publishers were told of their messages.
#[derive(Default)]
struct Told {
    confirmed: BTreeSet<String>,
    unknown: BTreeSet<String>,
    not_done: BTreeSet<String>,
}

impl Told {
    fn note(&mut self, texts: Vec<String>, outcome: &Result<(), Error>) -> Outcome {
        match outcome.as_ref().map_err(|error| error.kind) {
            Ok(()) => self.confirmed.extend(texts),
            Err(OutcomeUnknown) => self.unknown.extend(texts),
            Err(Unavailable) => self.not_done.extend(texts),
            Err(kind) => return Err(format!("it failed as {kind:?}").into()),
        }
        Ok(())
    }

    fn agrees_with(&self, seen: &BTreeSet<String>) -> Outcome {
        let lost: Vec<_> = self.confirmed.difference(seen).take(3).collect();
        ensure(lost.is_empty(), format!("what was confirmed is there: {lost:?}"))?;
        let done: Vec<_> = self.not_done.intersection(seen).take(3).collect();
        ensure(
            done.is_empty(),
            format!("what was not done is not there: {done:?}"),
        )?;
        let strange = |text: &&String| !self.confirmed.contains(*text) && !self.unknown.contains(*text);
        let strange: Vec<_> = seen.iter().filter(strange).take(3).collect();
        ensure(strange.is_empty(), format!("nothing else is there: {strange:?}"))
    }
}

/// Resets in the middle of messages, and in the middle of their confirms, at other bytes each time.
fn nothing_confirmed_is_lost_where_connections_are_reset(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    const CUTS: [(Way, u64); 8] = [
        (Way::ToServer, 3_001),
        (Way::ToClient, 40),
        (Way::ToServer, 7),
        (Way::ToClient, 5),
        (Way::ToServer, 20_011),
        (Way::ToClient, 131),
        (Way::ToServer, 11_003),
        (Way::ToClient, 17),
    ];
    with(broker, runtime, "", async |queue, around, proxy| {
        let names = ["quorum", "classic"];
        for (name, priority) in [("quorum", 0), ("classic", 9)] {
            around.declare_queue(name, kept(priority)).await?;
        }
        let mut told: [Told; 2] = Default::default();
        let mut number = 0;
        for (way, bytes) in CUTS {
            for name in names {
                publish_again(&queue, name, &format!("ready {number} {name}")).await?;
            }
            let before = proxy.arrivals().len();
            proxy.cut_after(way, bytes)?;
            // Two publishers on each queue, until the cut has met somebody.
            let mut has_failed = false;
            while !has_failed {
                let mut batches = Vec::new();
                for at in [0, 1, 0, 1] {
                    let texts: Vec<String> = (0..40).map(|text| format!("{number}.{text}")).collect();
                    number += 1;
                    let messages = texts.iter().map(|text| message(names[at], text.clone()));
                    batches.push((at, texts.clone(), queue.publish("", messages.collect())));
                }
                let (batches, calls): (Vec<_>, Vec<_>) = batches
                    .into_iter()
                    .map(|(at, texts, call)| ((at, texts), call))
                    .unzip();
                for ((at, texts), outcome) in batches
                    .into_iter()
                    .zip(futures_util::future::join_all(calls).await)
                {
                    has_failed |= outcome.is_err();
                    told[at].note(texts, &outcome)?;
                }
                // A cut that met nobody's confirm: the connection is another one.
                has_failed |= proxy.arrivals().len() > before;
            }
        }
        let unknown: usize = told.iter().map(|told| told.unknown.len()).sum();
        ensure(unknown > 0, "some cuts fall between a message and its confirm")?;
        for (at, name) in names.into_iter().enumerate() {
            publish_again(&queue, name, "ready to be read").await?;
            let all = drain(&around, name).await?;
            let seen = all
                .into_iter()
                .filter(|text| !text.starts_with("ready"))
                .collect();
            told[at].agrees_with(&seen)?;
            ensure(!told[at].confirmed.is_empty(), "some were confirmed")?;
        }
        Ok(())
    })
}

/// A link on which nothing moves says nothing: it is the heartbeats that are missing.
fn a_stalled_link_is_noticed_and_left(broker: &RabbitMq, runtime: &tokio::runtime::Runtime) -> Outcome {
    with(broker, runtime, "&heartbeat=1", async |queue, around, proxy| {
        around.declare_queue("kept", kept(0)).await?;
        let passing = QueueOptions {
            auto_delete: true,
            ..QueueOptions::default()
        };
        queue.declare_queue("passing", passing).await?;
        let mut consumer = queue.consume("kept", 1).await?;
        let mut listener = queue.consume("passing", 1).await?;
        publish_again(&queue, "kept", "before").await?;
        let held = next(&mut consumer).await?;
        consumer.settler().ack(&[held.tag]).await?;
        let arrivals = proxy.arrivals().len();
        proxy.stall()?;
        let started = Instant::now();
        let publishing = queue.publish("", vec![message("kept", "perhaps")]);
        let (published, end) = futures_util::join!(publishing, clock::deadline(PATIENCE, listener.next()));
        let took = started.elapsed();
        ensure(
            published
                .as_ref()
                .is_err_and(|error| error.kind == OutcomeUnknown),
            format!("nobody knows whether it has arrived: {published:?}"),
        )?;
        ensure(matches!(end, Ok(None)), format!("the listener is told: {end:?}"))?;
        // Twice the heartbeat, and what a busy machine takes.
        ensure(
            took < Duration::from_secs(8),
            format!("it is left in time: {took:?}"),
        )?;
        let failed = queue.depth("kept").await;
        ensure(
            failed.is_err_and(|error| error.kind == Unavailable),
            "and nothing hangs on it",
        )?;
        ensure(proxy.arrivals().len() > arrivals, "it tries to connect meanwhile")?;
        proxy.heal()?;
        publish_again(&queue, "kept", "after").await?;
        loop {
            let delivery = next(&mut consumer).await?;
            consumer.settler().ack(&[delivery.tag]).await?;
            if delivery.message.body == "after" {
                return Ok(());
            }
            // What nobody knew of may have arrived, once it could; and what was acknowledged comes again where that was
            // still on its way.
            let is_known = delivery.message.body == "perhaps"
                || (delivery.message.body == "before" && delivery.redelivered);
            ensure(is_known, format!("{delivery:?}"))?;
        }
    })
}

/// A message that takes longer than the heartbeat is no silence.
fn a_slow_link_is_no_lost_one(broker: &RabbitMq, runtime: &tokio::runtime::Runtime) -> Outcome {
    with(broker, runtime, "&heartbeat=2", async |queue, around, proxy| {
        around.declare_queue("q", kept(0)).await?;
        let mut consumer = queue.consume("q", 1).await?;
        publish_again(&queue, "q", "before").await?;
        let before = next(&mut consumer).await?;
        consumer.settler().ack(&[before.tag]).await?;
        let arrivals = proxy.arrivals().len();
        proxy.slow(12_000)?;
        let body = Bytes::from(vec![b'x'; 80_000]);
        let started = Instant::now();
        queue.publish("", vec![message("q", body.clone())]).await?;
        let delivery = next(&mut consumer).await?;
        ensure(
            delivery.message.body == body && !delivery.redelivered,
            "it comes whole",
        )?;
        consumer.settler().ack(&[delivery.tag]).await?;
        let took = started.elapsed();
        ensure(
            took > Duration::from_secs(8),
            format!("the link was slow: {took:?}"),
        )?;
        ensure(proxy.arrivals().len() == arrivals, "and was never given up")
    })
}

/// A delivery of which half has come is none.
fn what_was_cut_in_the_middle_comes_again_whole(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    const MESSAGES: u8 = 24;
    let body = |number: u8| Bytes::from(vec![number; 50_000]);
    with(broker, runtime, "", async |queue, around, proxy| {
        around.declare_queue("q", kept(0)).await?;
        let messages = (0..MESSAGES).map(|number| message("q", body(number)));
        around.publish("", messages.collect()).await?;
        let arrivals = proxy.arrivals().len();
        let mut consumer = queue.consume("q", 4).await?;
        let mut seen = BTreeSet::new();
        let mut cuts = [60_000u64, 149_999, 3, 210_001].into_iter();
        while seen.len() < usize::from(MESSAGES) {
            if seen.len() % 5 == 0
                && let Some(bytes) = cuts.next()
            {
                proxy.cut_after(Way::ToClient, bytes)?;
            }
            let delivery = next(&mut consumer).await?;
            let number = *delivery.message.body.first().ok_or("a body")?;
            ensure(delivery.message.body == body(number), "each comes whole")?;
            let is_new = seen.insert(number);
            ensure(is_new || delivery.redelivered, "what comes again says so")?;
            // It may be lost on the way: then the message comes again.
            let _ = consumer.settler().ack(&[delivery.tag]).await;
        }
        ensure(proxy.arrivals().len() > arrivals, "it was cut")?;
        let emptied = async {
            loop {
                if let Ok(again) = clock::deadline(Duration::from_millis(300), consumer.next()).await {
                    let again = again.ok_or("the end came")?;
                    consumer.settler().ack(&[again.tag]).await?;
                } else if around.depth("q").await? == 0 {
                    return Ok::<(), Failure>(());
                }
            }
        };
        clock::deadline(PATIENCE, emptied)
            .await
            .map_err(|_| "the queue never empties")?
    })
}

/// The pauses between arrivals.
fn pauses(proxy: &Proxy, from: usize) -> Vec<Duration> {
    let arrivals = proxy.arrivals();
    arrivals[from..]
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect()
}

fn who_is_turned_away_comes_again_after_pauses_that_grow_and_differ(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    /// How many tries: the pauses before them are 0.1 s to 3 s at most, and half of that at least.
    const TRIES: usize = 7;
    with(broker, runtime, "", async |queue, around, proxy| {
        around.declare_queue("q", kept(0)).await?;
        let mut consumer = queue.consume("q", 1).await?;
        // A second one, cut off at the same moment.
        let other_proxy = Proxy::before(broker.port())?;
        let other_url = broker.fresh_vhost()?.replace(
            &format!(":{}/", broker.port()),
            &format!(":{}/", other_proxy.port()),
        );
        let tasks = Tasks::new();
        let other = open(&other_url, &tasks).await?;
        let both = [&*proxy, &other_proxy];
        let before = both.map(|proxy| proxy.arrivals().len());
        for proxy in both {
            proxy.turn_away()?;
            proxy.cut()?;
        }
        let tried = async {
            while !(0..2).all(|at| both[at].arrivals().len() >= before[at] + TRIES) {
                clock::sleep(Duration::from_millis(20)).await;
            }
        };
        clock::deadline(PATIENCE, tried)
            .await
            .map_err(|_| "it gives up")?;
        let [mine, its] = [0, 1].map(|at| pauses(both[at], before[at]));
        println!("pauses: {mine:?} and {its:?}");
        for pauses in [&mine, &its] {
            let least = [100, 200, 400, 800, 1500, 1500].map(Duration::from_millis);
            for (pause, least) in pauses.iter().zip(least) {
                ensure(*pause >= least.mul_f64(0.9), format!("they grow: {pauses:?}"))?;
                ensure(
                    *pause < Duration::from_secs(5),
                    format!("and stay bounded: {pauses:?}"),
                )?;
            }
        }
        let differs = |(mine, its): (&Duration, &Duration)| mine.abs_diff(*its) > Duration::from_millis(20);
        ensure(mine.iter().zip(&its).any(differs), "two do not come in step")?;
        for proxy in both {
            proxy.heal()?;
        }
        publish_again(&queue, "q", "after").await?;
        let delivery = next(&mut consumer).await?;
        ensure(delivery.message.body == "after", "it goes on")?;
        consumer.settler().ack(&[delivery.tag]).await?;
        other.close().await;
        ensure(tasks.close(Duration::from_secs(10)).await == 0, "every task ends")
    })
}

fn who_is_refused_is_told_and_goes_on_when_it_is_over(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    with(broker, runtime, "", async |queue, around, proxy| {
        around.declare_queue("q", kept(0)).await?;
        let mut consumer = queue.consume("q", 1).await?;
        proxy.refuse()?;
        proxy.cut()?;
        let started = Instant::now();
        // The first may be on its way when the connection breaks.
        let mut failed = queue.publish("", vec![message("q", "lost")]).await;
        if failed.as_ref().is_err_and(|error| error.kind == OutcomeUnknown) {
            failed = queue.publish("", vec![message("q", "lost")]).await;
        }
        let took = started.elapsed();
        let error = failed.err().ok_or("nobody took it")?;
        let place = format!("127.0.0.1:{}", proxy.port());
        let mut told = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            told = format!("{told}: {inner}");
            cause = inner.source();
        }
        ensure(
            error.kind == Unavailable && told.contains(&place) && told.contains("refused"),
            format!("it says where nobody listens: {told}"),
        )?;
        ensure(
            took < Duration::from_secs(20),
            format!("the wait is bounded: {took:?}"),
        )?;
        proxy.heal()?;
        let started = Instant::now();
        publish_again(&queue, "q", "after").await?;
        let took = started.elapsed();
        ensure(
            took < Duration::from_secs(10),
            format!("it is soon there again: {took:?}"),
        )?;
        loop {
            let delivery = next(&mut consumer).await?;
            consumer.settler().ack(&[delivery.tag]).await?;
            if delivery.message.body == "after" {
                return Ok(());
            }
        }
    })
}
