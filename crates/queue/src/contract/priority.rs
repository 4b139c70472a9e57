//! Urgent messages first.

use super::bench::{Bench, expect};
use super::case::{Outcome, list};
use crate::types::{Message, QueueOptions};

list!(Nothing, false:
    higher_priority_comes_first_and_order_within_one_is_kept,
    priorities_above_the_highest_count_as_the_highest,
    a_queue_without_priorities_ignores_them,
    a_requeued_message_keeps_its_priority_and_its_place,
);

/// Declares a queue and publishes texts with priorities to it.
async fn fill(bench: &Bench, max_priority: u8, messages: &[(&str, u8)]) -> Outcome {
    let options = QueueOptions {
        max_priority,
        ..QueueOptions::default()
    };
    bench.queue.declare_queue("queue", options).await?;
    let message = |(text, priority): &(&str, u8)| Message {
        priority: *priority,
        ..Message::new("queue", (*text).to_owned())
    };
    bench
        .queue
        .publish("", messages.iter().map(message).collect())
        .await?;
    bench.depth_becomes("queue", messages.len() as u64).await
}

async fn higher_priority_comes_first_and_order_within_one_is_kept(bench: Bench) -> Outcome {
    let messages = [
        ("l1", 0),
        ("m1", 5),
        ("h1", 9),
        ("l2", 0),
        ("h2", 9),
        ("m2", 5),
        ("n1", 4),
    ];
    fill(&bench, 9, &messages).await?;
    let mut consumer = bench.queue.consume("queue", 1).await?;
    for text in ["h1", "h2", "m1", "m2", "n1", "l1", "l2"] {
        let held = expect(&mut consumer, &[text]).await?;
        consumer.settler().ack(&[held[0].tag]).await?;
    }
    Ok(())
}

async fn priorities_above_the_highest_count_as_the_highest(bench: Bench) -> Outcome {
    fill(&bench, 2, &[("a", 1), ("b", 2), ("c", 200), ("d", 2)]).await?;
    let mut consumer = bench.queue.consume("queue", 10).await?;
    expect(&mut consumer, &["b", "c", "d", "a"]).await?;
    Ok(())
}

async fn a_queue_without_priorities_ignores_them(bench: Bench) -> Outcome {
    fill(&bench, 0, &[("a", 1), ("b", 200), ("c", 0)]).await?;
    let mut consumer = bench.queue.consume("queue", 10).await?;
    expect(&mut consumer, &["a", "b", "c"]).await?;
    Ok(())
}

async fn a_requeued_message_keeps_its_priority_and_its_place(bench: Bench) -> Outcome {
    fill(&bench, 2, &[("a", 1), ("b", 1), ("c", 2), ("d", 1)]).await?;
    let mut consumer = bench.queue.consume("queue", 3).await?;
    expect(&mut consumer, &["c", "a", "b"]).await?;
    drop(consumer);
    bench.depth_becomes("queue", 4).await?;
    let mut consumer = bench.queue.consume("queue", 4).await?;
    expect(&mut consumer, &["c", "a", "b", "d"]).await?;
    Ok(())
}
