//! Who gets a message, and what becomes of it when it is settled or not.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use muster_runtime::clock::{deadline, sleep};

use super::bench::{Bench, ensure, expect, expect_nothing, take, text};
use super::case::{Outcome, list};
use crate::types::QueueOptions;

list!(Nothing, false:
    acknowledged_messages_are_gone,
    a_requeued_message_goes_back_to_its_place,
    a_rejected_message_is_gone,
    redelivers_when_the_consumer_dies,
    what_a_dead_consumer_held_goes_to_the_others,
    what_several_dead_consumers_held_comes_back_in_order,
    prefetch_is_respected,
    prefetch_can_be_changed,
    the_prefetch_of_a_durable_queue_can_be_changed,
    a_lowered_prefetch_gives_back_what_was_not_handed_over,
    a_pause_keeps_a_queue_that_goes_with_its_last_consumer,
    a_lowered_prefetch_counts_for_what_comes_next,
    a_prefetch_of_zero_holds_deliveries_back,
    consumers_are_served_in_turn,
    a_busy_consumer_is_passed_over,
    settling_twice_is_ignored,
    settling_for_a_dead_consumer_is_ignored,
    a_settler_works_from_elsewhere,
    depth_counts_what_waits_and_not_what_is_held,
    a_dropped_next_loses_nothing,
);

async fn acknowledged_messages_are_gone(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 10).await?;
    bench.send("queue", &["a", "b", "c"]).await?;
    let held = expect(&mut consumer, &["a", "b", "c"]).await?;
    consumer.settler().ack(&[held[0].tag, held[2].tag]).await?;
    drop(consumer);
    let mut consumer = bench.queue.consume("queue", 10).await?;
    expect(&mut consumer, &["b"]).await?;
    expect_nothing(&mut consumer).await
}

async fn a_requeued_message_goes_back_to_its_place(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 2).await?;
    bench.send("queue", &["a", "b", "c", "d"]).await?;
    let held = expect(&mut consumer, &["a", "b"]).await?;
    consumer.settler().reject(held[0].tag, true).await?;
    let again = expect(&mut consumer, &["a"]).await?;
    ensure(again[0].redelivered, "it is marked redelivered")?;
    consumer.settler().ack(&[held[1].tag]).await?;
    let next = expect(&mut consumer, &["c"]).await?;
    ensure(!next[0].redelivered, "what was never delivered is not marked")
}

async fn a_rejected_message_is_gone(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 1).await?;
    bench.send("queue", &["a", "b"]).await?;
    let held = expect(&mut consumer, &["a"]).await?;
    consumer.settler().reject(held[0].tag, false).await?;
    expect(&mut consumer, &["b"]).await?;
    drop(consumer);
    bench.depth_becomes("queue", 1).await
}

async fn redelivers_when_the_consumer_dies(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 3).await?;
    bench.send("queue", &["a", "b", "c", "d", "e"]).await?;
    let held = expect(&mut consumer, &["a", "b", "c"]).await?;
    consumer.settler().ack(&[held[1].tag]).await?;
    drop(consumer);
    bench.depth_becomes("queue", 4).await?;
    let mut consumer = bench.queue.consume("queue", 10).await?;
    let again = expect(&mut consumer, &["a", "c", "d", "e"]).await?;
    ensure(
        again[0].redelivered && again[1].redelivered,
        "what it held is marked redelivered",
    )?;
    ensure(!again[3].redelivered, "what it never had is not marked")
}

async fn what_a_dead_consumer_held_goes_to_the_others(bench: Bench) -> Outcome {
    let mut first = bench.consumer("queue", 1).await?;
    bench.send("queue", &["a"]).await?;
    expect(&mut first, &["a"]).await?;
    let mut second = bench.queue.consume("queue", 1).await?;
    expect_nothing(&mut second).await?;
    let waiting = async { take(&mut second).await };
    let dying = async {
        sleep(Duration::from_millis(50)).await;
        drop(first);
    };
    let (delivery, ()) = futures_util::join!(waiting, dying);
    ensure(delivery?.redelivered, "it comes by itself, marked redelivered")
}

async fn what_several_dead_consumers_held_comes_back_in_order(bench: Bench) -> Outcome {
    let mut first = bench.consumer("queue", 2).await?;
    let mut second = bench.queue.consume("queue", 1).await?;
    bench.send("queue", &["a", "b", "c", "d"]).await?;
    let mut held = [
        take(&mut first).await?,
        take(&mut second).await?,
        take(&mut first).await?,
    ];
    held.sort_by_key(text);
    ensure(
        held.iter().map(text).eq(["a", "b", "c"]),
        "they share what is there",
    )?;
    drop(first);
    bench.depth_becomes("queue", 3).await?;
    drop(second);
    bench.depth_becomes("queue", 4).await?;
    let mut third = bench.queue.consume("queue", 10).await?;
    expect(&mut third, &["a", "b", "c", "d"]).await?;
    Ok(())
}

async fn prefetch_is_respected(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 2).await?;
    bench.send("queue", &["a", "b", "c", "d"]).await?;
    let held = expect(&mut consumer, &["a", "b"]).await?;
    expect_nothing(&mut consumer).await?;
    consumer.settler().ack(&[held[0].tag]).await?;
    expect(&mut consumer, &["c"]).await?;
    expect_nothing(&mut consumer).await?;
    consumer.settler().reject(held[1].tag, false).await?;
    expect(&mut consumer, &["d"]).await?;
    Ok(())
}

async fn prefetch_can_be_changed(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 1).await?;
    bench.send("queue", &["a", "b", "c", "d", "e"]).await?;
    let mut held = expect(&mut consumer, &["a"]).await?;
    consumer.set_prefetch(3);
    held.extend(expect(&mut consumer, &["b", "c"]).await?);
    expect_nothing(&mut consumer).await?;
    consumer.set_prefetch(1);
    consumer.settler().ack(&[held[0].tag, held[1].tag]).await?;
    expect_nothing(&mut consumer).await?;
    consumer.settler().ack(&[held[2].tag]).await?;
    expect(&mut consumer, &["d"]).await?;
    expect_nothing(&mut consumer).await
}

async fn the_prefetch_of_a_durable_queue_can_be_changed(bench: Bench) -> Outcome {
    let durable = QueueOptions {
        durable: true,
        ..QueueOptions::default()
    };
    bench.queue.declare_queue("queue", durable).await?;
    let texts: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    bench.send("queue", &texts).await?;
    let mut consumer = bench.queue.consume("queue", 2).await?;
    let settler = consumer.settler();
    let mut held = expect(&mut consumer, &texts[..2]).await?;
    consumer.set_prefetch(5);
    held.extend(expect(&mut consumer, &texts[2..5]).await?);
    expect_nothing(&mut consumer).await?;
    consumer.set_prefetch(0);
    settler.ack(&[held[0].tag, held[1].tag, held[2].tag]).await?;
    expect_nothing(&mut consumer).await?;
    bench.depth_becomes("queue", 7).await?;
    consumer.set_prefetch(3);
    held.extend(expect(&mut consumer, &texts[5..6]).await?);
    expect_nothing(&mut consumer).await?;
    settler.ack(&[held[3].tag, held[4].tag, held[5].tag]).await?;
    let held = expect(&mut consumer, &texts[6..9]).await?;
    expect_nothing(&mut consumer).await?;
    settler.reject(held[0].tag, false).await?;
    settler.ack(&[held[1].tag]).await?;
    expect(&mut consumer, &texts[9..11]).await?;
    expect_nothing(&mut consumer).await
}

async fn a_lowered_prefetch_gives_back_what_was_not_handed_over(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 10).await?;
    bench.send("queue", &["a", "b", "c", "d"]).await?;
    let held = expect(&mut consumer, &["a"]).await?;
    consumer.set_prefetch(1);
    bench.depth_becomes("queue", 3).await?;
    let mut other = bench.queue.consume("queue", 10).await?;
    expect(&mut other, &["b", "c", "d"]).await?;
    expect_nothing(&mut consumer).await?;
    bench.send("queue", &["e", "f"]).await?;
    expect(&mut other, &["e", "f"]).await?;
    consumer.settler().ack(&[held[0].tag]).await?;
    drop(other);
    expect(&mut consumer, &["b"]).await?;
    Ok(())
}

async fn a_pause_keeps_a_queue_that_goes_with_its_last_consumer(bench: Bench) -> Outcome {
    let passing = QueueOptions {
        auto_delete: true,
        ..QueueOptions::default()
    };
    bench.queue.declare_queue("queue", passing).await?;
    let mut consumer = bench.queue.consume("queue", 5).await?;
    bench.send("queue", &["a"]).await?;
    let held = expect(&mut consumer, &["a"]).await?;
    consumer.set_prefetch(0);
    consumer.settler().ack(&[held[0].tag]).await?;
    bench.send("queue", &["b", "c"]).await?;
    expect_nothing(&mut consumer).await?;
    consumer.set_prefetch(2);
    let held = expect(&mut consumer, &["b", "c"]).await?;
    consumer.settler().ack(&[held[0].tag, held[1].tag]).await?;
    expect_nothing(&mut consumer).await?;
    drop(consumer);
    let gone = async {
        while bench.queue.depth("queue").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    Ok(deadline(Duration::from_secs(20), gone)
        .await
        .map_err(|_| "the queue is still there")?)
}

async fn a_lowered_prefetch_counts_for_what_comes_next(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 10).await?;
    consumer.set_prefetch(1);
    // Something has to come and go, so that an engine that is told in the background knows by now.
    bench.send("queue", &["a"]).await?;
    let held = expect(&mut consumer, &["a"]).await?;
    consumer.settler().ack(&[held[0].tag]).await?;
    bench.send("queue", &["b", "c", "d"]).await?;
    expect(&mut consumer, &["b"]).await?;
    expect_nothing(&mut consumer).await?;
    bench.depth_becomes("queue", 2).await
}

async fn a_prefetch_of_zero_holds_deliveries_back(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 0).await?;
    bench.send("queue", &["a"]).await?;
    expect_nothing(&mut consumer).await?;
    consumer.set_prefetch(1);
    expect(&mut consumer, &["a"]).await?;
    Ok(())
}

async fn consumers_are_served_in_turn(bench: Bench) -> Outcome {
    let mut consumers = vec![bench.consumer("queue", 10).await?];
    for _ in 0..2 {
        consumers.push(bench.queue.consume("queue", 10).await?);
    }
    bench.send("queue", &["1", "2", "3", "4", "5", "6"]).await?;
    let mut found = Vec::new();
    for consumer in &mut consumers {
        for _ in 0..2 {
            found.push(text(&take(consumer).await?));
        }
        expect_nothing(consumer).await?;
    }
    found.sort();
    ensure(
        found == ["1", "2", "3", "4", "5", "6"],
        "each gets its share, and together they get all",
    )
}

async fn a_busy_consumer_is_passed_over(bench: Bench) -> Outcome {
    let mut busy = bench.consumer("queue", 1).await?;
    bench.send("queue", &["long"]).await?;
    expect(&mut busy, &["long"]).await?;
    let mut free = bench.queue.consume("queue", 1).await?;
    bench.send("queue", &["1", "2", "3", "4"]).await?;
    for text in ["1", "2", "3", "4"] {
        let held = expect(&mut free, &[text]).await?;
        free.settler().ack(&[held[0].tag]).await?;
    }
    expect_nothing(&mut busy).await
}

async fn settling_twice_is_ignored(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 2).await?;
    bench.send("queue", &["a", "b", "c"]).await?;
    let held = expect(&mut consumer, &["a"]).await?;
    let settler = consumer.settler();
    settler.ack(&[held[0].tag, held[0].tag]).await?;
    settler.ack(&[held[0].tag]).await?;
    settler.reject(held[0].tag, true).await?;
    settler.ack(&[u64::MAX]).await?;
    expect(&mut consumer, &["b", "c"]).await?;
    expect_nothing(&mut consumer).await
}

async fn settling_for_a_dead_consumer_is_ignored(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 1).await?;
    bench.send("queue", &["a"]).await?;
    let held = expect(&mut consumer, &["a"]).await?;
    let settler = consumer.settler();
    drop(consumer);
    bench.depth_becomes("queue", 1).await?;
    settler.ack(&[held[0].tag]).await?;
    settler.reject(held[0].tag, false).await?;
    let mut consumer = bench.queue.consume("queue", 1).await?;
    expect(&mut consumer, &["a"]).await?;
    settler.ack(&[held[0].tag]).await?;
    drop(consumer);
    bench.depth_becomes("queue", 1).await
}

async fn a_settler_works_from_elsewhere(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 1).await?;
    bench.send("queue", &["a", "b"]).await?;
    let held = expect(&mut consumer, &["a"]).await?;
    let (settler, tag) = (consumer.settler(), held[0].tag);
    let settling = async {
        sleep(Duration::from_millis(20)).await;
        settler.ack(&[tag]).await
    };
    let (next, settled) = futures_util::join!(expect(&mut consumer, &["b"]), settling);
    settled?;
    next?;
    Ok(())
}

async fn depth_counts_what_waits_and_not_what_is_held(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 2).await?;
    bench.send("queue", &["a", "b", "c", "d", "e"]).await?;
    let held = expect(&mut consumer, &["a", "b"]).await?;
    bench.depth_becomes("queue", 3).await?;
    consumer.settler().ack(&[held[0].tag, held[1].tag]).await?;
    bench.depth_becomes("queue", 1).await?;
    drop(consumer);
    bench.depth_becomes("queue", 3).await
}

async fn a_dropped_next_loses_nothing(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 1).await?;
    for round in 0..50u64 {
        {
            // Polled once, so that it waits, and dropped while the message comes.
            let mut next = pin!(consumer.next());
            let is_early = futures_util::poll!(next.as_mut()).is_ready();
            ensure(!is_early, "nothing comes before it is published")?;
            bench
                .queue
                .publish("", vec![crate::Message::new("queue", round.to_string())])
                .await?;
            if round % 2 == 0 {
                sleep(Duration::from_millis(round)).await;
            }
        }
        // Dropped in the middle of taking it, as a select does; what it then gives back counts too.
        let delivery = match deadline(Duration::from_micros(round * 20), consumer.next()).await {
            Ok(delivery) => delivery.ok_or("the consumer ended")?,
            Err(_) => take(&mut consumer).await?,
        };
        ensure(
            delivery.message.body == round.to_string(),
            "each comes once, in order",
        )?;
        consumer.settler().ack(&[delivery.tag]).await?;
    }
    let last = {
        let mut next = pin!(consumer.next());
        futures_util::poll!(next.as_mut())
    };
    ensure(matches!(last, Poll::Pending), "and nothing is left over")?;
    expect_nothing(&mut consumer).await
}
