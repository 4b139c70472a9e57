//! What holds when the engine goes down and comes back, while somebody works with it.
//!
//! Each case looks at the end through a second door, as another process would.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use muster_model::ErrorKind::{NotFound, OutcomeUnknown, Unavailable};
use muster_runtime::CancellationToken;
use muster_runtime::clock::{deadline, sleep};
use tokio::sync::watch;

use super::bench::{Bench, Ending, ensure, ensure_kind, expect, expect_end, expect_nothing, take, text};
use super::case::{Outcome, list};
use crate::error::Error;
use crate::port::{Consumer, Queue};
use crate::types::{ExchangeKind, Message, QueueOptions};

list!(ORDERLY, Durable, Orderly:
    persistent_messages_survive_a_restart,
    what_was_confirmed_survives_a_restart_under_load,
    a_consumer_goes_on_after_a_restart,
    a_consumer_of_a_queue_that_went_with_it_ends_at_a_restart,
    what_was_declared_is_there_again_after_a_restart,
);

list!(KILLED, Durable, Killed:
    persistent_messages_survive_a_kill,
    what_was_confirmed_survives_a_kill_under_load,
    a_consumer_goes_on_after_a_kill,
    a_consumer_of_a_queue_that_went_with_it_ends_at_a_kill,
    what_was_acknowledged_does_not_come_again,
    calls_go_on_after_a_restart,
    an_engine_that_is_away_is_unavailable_in_bounded_time,
);

/// How long an engine may take to be there again, and its clients to notice.
const BACK_WITHIN: Duration = Duration::from_secs(60);

fn durable() -> QueueOptions {
    QueueOptions {
        durable: true,
        ..QueueOptions::default()
    }
}

/// The queue of Muster's own work: durable, with priorities.
fn urgent() -> QueueOptions {
    QueueOptions {
        durable: true,
        max_priority: 9,
        ..QueueOptions::default()
    }
}

fn persistent(queue: &str, text: impl Into<String>) -> Message {
    Message {
        persistent: true,
        ..Message::new(queue, text.into())
    }
}

/// Tries until the engine is there again.
async fn until_done<T, F>(mut work: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let trying = async {
        loop {
            match work().await {
                Err(error) if error.kind.may_pass() => sleep(Duration::from_millis(50)).await,
                other => return other,
            }
        }
    };
    deadline(BACK_WITHIN, trying)
        .await
        .unwrap_or_else(|_| Err(Error::new(Unavailable, "the engine never came back")))
}

async fn persistent_messages_survive_a_restart(bench: Bench) -> Outcome {
    survive(bench, Ending::Orderly).await
}

async fn persistent_messages_survive_a_kill(bench: Bench) -> Outcome {
    survive(bench, Ending::Killed).await
}

async fn survive(bench: Bench, how: Ending) -> Outcome {
    for (queue, options) in [("work", durable()), ("urgent", urgent())] {
        bench.queue.declare_queue(queue, options).await?;
        let kept = ["a", "b", "c"].map(|text| persistent(queue, text));
        bench.queue.publish("", kept.into()).await?;
    }
    bench.restart(how).await?;
    let again = bench.open_again().await?;
    for queue in ["work", "urgent"] {
        let mut consumer = again.consume(queue, 10).await?;
        expect(&mut consumer, &["a", "b", "c"]).await?;
    }
    again.close().await;
    Ok(())
}

async fn what_was_confirmed_survives_a_restart_under_load(bench: Bench) -> Outcome {
    under_load(bench, Ending::Orderly).await
}

async fn what_was_confirmed_survives_a_kill_under_load(bench: Bench) -> Outcome {
    under_load(bench, Ending::Killed).await
}

/// How many batches are confirmed on each queue, at least, and how many of them after the engine was there again.
const BATCHES: usize = 60;
const AFTERWARDS: usize = 20;
const BATCH: usize = 20;
/// Between two batches: how much is published does not hang on how long the engine is ended.
const PACE: Duration = Duration::from_millis(20);

/// Publishes until it is told that it is enough, and keeps what was confirmed. What failed is not sent again.
async fn publish_on(
    queue: Arc<dyn Queue>,
    name: &'static str,
    confirmed: watch::Sender<Vec<String>>,
    enough: CancellationToken,
) {
    let mut number = 0;
    while !enough.is_cancelled() {
        let texts: Vec<String> = (0..BATCH).map(|at| format!("{}", number * BATCH + at)).collect();
        number += 1;
        let messages = texts.iter().map(|text| persistent(name, text.clone())).collect();
        match queue.publish("", messages).await {
            Ok(()) => confirmed.send_modify(|all| all.extend(texts)),
            Err(error) => {
                let is_allowed = [OutcomeUnknown, Unavailable].contains(&error.kind);
                assert!(is_allowed, "{error}");
            }
        }
        sleep(PACE).await;
    }
}

async fn under_load(bench: Bench, how: Ending) -> Outcome {
    let queues = [("work", durable()), ("urgent", urgent())];
    let enough = CancellationToken::new();
    let mut heard = Vec::new();
    for (queue, options) in queues {
        bench.queue.declare_queue(queue, options).await?;
        let (tx, rx) = watch::channel(Vec::new());
        let publishing = publish_on(Arc::clone(&bench.queue), queue, tx, enough.clone());
        bench.tasks.spawn("publishes", publishing);
        heard.push((queue, rx));
    }
    // It happens in the middle of the work.
    for (_, confirmed) in &mut heard {
        confirmed.wait_for(|texts| !texts.is_empty()).await?;
    }
    bench.restart(how).await?;
    for (_, confirmed) in &mut heard {
        let so_far = confirmed.borrow().len();
        let all = (BATCHES * BATCH).max(so_far + AFTERWARDS * BATCH);
        deadline(BACK_WITHIN, confirmed.wait_for(|texts| texts.len() >= all))
            .await
            .map_err(|_| "publishing does not go on")??;
    }
    enough.cancel();
    for (_, confirmed) in &mut heard {
        // Until the publisher has gone.
        while confirmed.changed().await.is_ok() {}
    }
    let again = bench.open_again().await?;
    for (queue, confirmed) in &heard {
        let confirmed = confirmed.borrow().clone();
        let mut missing: BTreeSet<String> = confirmed.iter().cloned().collect();
        ensure(missing.len() == confirmed.len(), "every batch was confirmed once")?;
        let mut consumer = again.consume(queue, 500).await?;
        let settler = consumer.settler();
        let mut seen = BTreeSet::new();
        while !missing.is_empty() {
            let delivery = take(&mut consumer).await.map_err(|error| {
                format!(
                    "{} confirmed ones of '{queue}' are missing: {error}",
                    missing.len()
                )
            })?;
            settler.ack(&[delivery.tag]).await?;
            let text = text(&delivery);
            missing.remove(&text);
            ensure(seen.insert(text), "none is doubled")?;
        }
    }
    again.close().await;
    Ok(())
}

async fn a_consumer_goes_on_after_a_restart(bench: Bench) -> Outcome {
    go_on(bench, Ending::Orderly).await
}

async fn a_consumer_goes_on_after_a_kill(bench: Bench) -> Outcome {
    go_on(bench, Ending::Killed).await
}

async fn go_on(bench: Bench, how: Ending) -> Outcome {
    let mut before = Vec::new();
    for (queue, options) in [("work", durable()), ("urgent", urgent())] {
        bench.queue.declare_queue(queue, options).await?;
        let messages = ["a", "b"].map(|text| persistent(queue, text));
        bench.queue.publish("", messages.into()).await?;
        let mut consumer = bench.queue.consume(queue, 1).await?;
        let old = expect(&mut consumer, &["a"]).await?;
        ensure(!old[0].redelivered, "a first delivery is not marked")?;
        before.push((queue, consumer, old[0].tag));
    }
    bench.restart(how).await?;
    let other = until_done(|| bench.open_again()).await?;
    for (queue, mut consumer, old) in before {
        let settler = consumer.settler();
        other.publish("", vec![persistent(queue, "c")]).await?;
        let new = deadline(BACK_WITHIN, expect(&mut consumer, &["a"]))
            .await
            .map_err(|_| "the consumer does not go on")??;
        ensure(new[0].redelivered, "what was not settled comes again, marked")?;
        ensure(new[0].tag != old, "a tag is not given twice")?;
        // The old tag settles nothing: with a prefetch of 1, nothing else comes.
        settler.ack(&[old]).await?;
        settler.reject(old, false).await?;
        expect_nothing(&mut consumer).await?;
        settler.ack(&[new[0].tag]).await?;
        for text in ["b", "c"] {
            let held = expect(&mut consumer, &[text]).await?;
            settler.ack(&[held[0].tag]).await?;
        }
        expect_nothing(&mut consumer).await?;
    }
    other.close().await;
    Ok(())
}

async fn a_consumer_of_a_queue_that_went_with_it_ends_at_a_restart(bench: Bench) -> Outcome {
    listen_again(bench, Ending::Orderly).await
}

async fn a_consumer_of_a_queue_that_went_with_it_ends_at_a_kill(bench: Bench) -> Outcome {
    listen_again(bench, Ending::Killed).await
}

/// Declares a queue that goes with its consumer, and hears by it what is told.
async fn listen(queue: &Arc<dyn Queue>) -> Result<Box<dyn Consumer>, Error> {
    queue.declare_exchange("events", ExchangeKind::Topic).await?;
    let passing = QueueOptions {
        auto_delete: true,
        ..QueueOptions::default()
    };
    queue.declare_queue("listener", passing).await?;
    queue.bind("listener", "events", "task.#", &[]).await?;
    queue.consume("listener", 10).await
}

/// Who listens must not believe that nothing was told while nobody could hear it.
async fn listen_again(bench: Bench, how: Ending) -> Outcome {
    let mut consumer = listen(&bench.queue).await?;
    bench.publish("events", "task.1", &["before"]).await?;
    // One that is held, and goes with the rest.
    expect(&mut consumer, &["before"]).await?;
    bench.restart(how).await?;
    let other = until_done(|| bench.open_again()).await?;
    until_done(|| other.publish("events", vec![Message::new("task.1", "unheard")])).await?;
    deadline(BACK_WITHIN, expect_end(&mut consumer))
        .await
        .map_err(|_| "the consumer never ends")??;
    until_done(|| bench.queue.ping()).await?;
    ensure_kind(other.depth("listener").await, NotFound)?;
    ensure(consumer.next().await.is_none(), "an end is an end")?;
    let mut again = until_done(|| listen(&bench.queue)).await?;
    // The older one is dropped only now: that changes nothing for the newer one.
    drop(consumer);
    other
        .publish("events", vec![Message::new("task.2", "after")])
        .await?;
    let heard = expect(&mut again, &["after"]).await?;
    again.settler().ack(&[heard[0].tag]).await?;
    expect_nothing(&mut again).await?;
    drop(again);
    let gone = async {
        while other.depth("listener").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    deadline(BACK_WITHIN, gone)
        .await
        .map_err(|_| "the queue outlives its consumer")?;
    other.close().await;
    Ok(())
}

/// An engine need not say when it has noted an acknowledgement. With a prefetch of 1 it shows: the next one comes.
async fn what_was_acknowledged_does_not_come_again(bench: Bench) -> Outcome {
    bench.queue.declare_queue("work", durable()).await?;
    let texts: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    let messages = texts
        .iter()
        .map(|text| persistent("work", text.clone()))
        .collect();
    bench.queue.publish("", messages).await?;
    let mut consumer = bench.queue.consume("work", 1).await?;
    let settler = consumer.settler();
    for text in &texts[..30] {
        let held = expect(&mut consumer, &[text]).await?;
        settler.ack(&[held[0].tag]).await?;
    }
    let held = expect(&mut consumer, &[&texts[30]]).await?;
    bench.restart(Ending::Killed).await?;
    let again = until_done(|| bench.open_again()).await?;
    drop((consumer, held));
    let mut consumer = again.consume("work", 50).await?;
    let left: Vec<&str> = texts[30..].iter().map(String::as_str).collect();
    expect(&mut consumer, &left).await?;
    expect_nothing(&mut consumer).await?;
    again.close().await;
    Ok(())
}

async fn what_was_declared_is_there_again_after_a_restart(bench: Bench) -> Outcome {
    bench
        .queue
        .declare_exchange("events", ExchangeKind::Topic)
        .await?;
    bench
        .queue
        .declare_queue("watcher", QueueOptions::default())
        .await?;
    bench.queue.bind("watcher", "events", "task.#", &[]).await?;
    let mut consumer = bench.queue.consume("watcher", 10).await?;
    bench.publish("events", "task.1", &["before"]).await?;
    let held = expect(&mut consumer, &["before"]).await?;
    consumer.settler().ack(&[held[0].tag]).await?;
    bench.restart(Ending::Orderly).await?;
    let other = until_done(|| bench.open_again()).await?;
    // The other one may be there before the watcher is bound again.
    let published = async {
        loop {
            until_done(|| other.publish("events", vec![Message::new("task.2", "after")])).await?;
            sleep(Duration::from_millis(200)).await;
        }
    };
    let arrived = deadline(BACK_WITHIN, take(&mut consumer));
    let delivery = tokio::select! {
        failed = published => {
            let failed: Result<(), Error> = failed;
            failed?;
            return Err("publishing ended".into());
        }
        delivery = arrived => delivery.map_err(|_| "the watcher hears nothing any more")??,
    };
    ensure(text(&delivery) == "after", "the watcher hears what comes after")?;
    other.close().await;
    Ok(())
}

async fn calls_go_on_after_a_restart(bench: Bench) -> Outcome {
    bench.queue.declare_queue("requests", durable()).await?;
    let mut consumer = bench.queue.consume("requests", 10).await?;
    let serving = Arc::clone(&bench.queue);
    bench.tasks.spawn("serves", async move {
        while let Some(delivery) = consumer.next().await {
            // The engine may be away right now: then the caller asks again.
            let _ = serving
                .reply(&delivery.message, delivery.message.body.clone())
                .await;
            let _ = consumer.settler().ack(&[delivery.tag]).await;
        }
    });
    let limit = Duration::from_secs(20);
    let reply = bench
        .queue
        .call("", Message::new("requests", "one"), limit)
        .await?;
    ensure(reply == "one", "a call is answered")?;
    bench.restart(Ending::Killed).await?;
    let other = until_done(|| bench.open_again()).await?;
    for queue in [&bench.queue, &other] {
        let reply =
            until_done(|| queue.call("", Message::new("requests", "two"), Duration::from_secs(5))).await?;
        ensure(reply == "two", "calls are answered again")?;
    }
    other.close().await;
    Ok(())
}

async fn an_engine_that_is_away_is_unavailable_in_bounded_time(bench: Bench) -> Outcome {
    bench.queue.declare_queue("work", durable()).await?;
    bench
        .queue
        .publish("", vec![persistent("work", "before")])
        .await?;
    bench.end(Ending::Killed).await?;
    let queue = &bench.queue;
    let calls = async {
        let (published, declared, depth, consumer, ping) = futures_util::join!(
            queue.publish("", vec![persistent("work", "lost")]),
            queue.declare_queue("other", durable()),
            queue.depth("work"),
            queue.consume("work", 1),
            queue.ping(),
        );
        let failed = [published, declared, depth.map(drop), consumer.map(drop), ping];
        failed.map(|outcome| outcome.map_err(|error| error.kind))
    };
    let failed = deadline(Duration::from_secs(45), calls).await;
    bench.start().await?;
    let failed = failed.map_err(|_| "a call waits for ever")?;
    ensure(
        matches!(failed[0], Err(Unavailable | OutcomeUnknown)),
        "publishing says that it may not have happened",
    )?;
    ensure(
        failed[1..].iter().all(|outcome| *outcome == Err(Unavailable)),
        "everything else says that the engine is away",
    )?;
    until_done(|| bench.queue.publish("", vec![persistent("work", "after")])).await?;
    let again = until_done(|| bench.open_again()).await?;
    let mut consumer = again.consume("work", 10).await?;
    expect(&mut consumer, &["before", "after"]).await?;
    again.close().await;
    Ok(())
}
