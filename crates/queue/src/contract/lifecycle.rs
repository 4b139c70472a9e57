//! How exchanges, queues, bindings and the queue itself come and go.

use std::time::Duration;

use muster_model::ErrorKind::{Cancelled, Conflict, NotFound};
use muster_runtime::clock::sleep;

use super::bench::{Bench, ensure_kind, expect, expect_end, expect_nothing};
use super::case::{Outcome, list};
use crate::types::{ExchangeKind, Message, QueueOptions};

list!(Nothing, false:
    declaring_again_changes_nothing,
    an_exchange_of_another_kind_is_a_conflict,
    a_queue_with_other_options_is_a_conflict,
    binding_again_changes_nothing,
    binding_what_is_missing_is_not_found,
    a_missing_queue_is_not_found,
    deleting_a_queue_ends_its_consumers,
    deleting_a_queue_again_changes_nothing,
    a_deleted_queue_comes_back_empty_and_unbound,
    an_auto_delete_queue_goes_with_its_last_consumer,
    closing_ends_consumers_and_calls,
    ping_answers,
);

const KINDS: [ExchangeKind; 4] = [
    ExchangeKind::Direct,
    ExchangeKind::Fanout,
    ExchangeKind::Topic,
    ExchangeKind::Headers,
];

fn auto_delete() -> QueueOptions {
    QueueOptions {
        auto_delete: true,
        ..QueueOptions::default()
    }
}

async fn declaring_again_changes_nothing(bench: Bench) -> Outcome {
    bench.queue.declare_exchange("topic", ExchangeKind::Topic).await?;
    bench
        .queue
        .declare_queue("queue", QueueOptions::default())
        .await?;
    bench.queue.bind("queue", "topic", "#", &[]).await?;
    bench.publish("topic", "a", &["a"]).await?;
    bench.queue.declare_exchange("topic", ExchangeKind::Topic).await?;
    bench
        .queue
        .declare_queue("queue", QueueOptions::default())
        .await?;
    bench.publish("topic", "b", &["b"]).await?;
    let mut consumer = bench.queue.consume("queue", 10).await?;
    expect(&mut consumer, &["a", "b"]).await?;
    Ok(())
}

async fn an_exchange_of_another_kind_is_a_conflict(bench: Bench) -> Outcome {
    for kind in KINDS {
        let name = format!("{kind:?}");
        bench.queue.declare_exchange(&name, kind).await?;
        for other in KINDS.into_iter().filter(|other| *other != kind) {
            ensure_kind(bench.queue.declare_exchange(&name, other).await, Conflict)?;
        }
        bench.queue.declare_exchange(&name, kind).await?;
    }
    Ok(())
}

async fn a_queue_with_other_options_is_a_conflict(bench: Bench) -> Outcome {
    let first = QueueOptions {
        max_priority: 3,
        max_length: Some(10),
        ..QueueOptions::default()
    };
    bench.queue.declare_queue("queue", first.clone()).await?;
    bench.send("queue", &["a"]).await?;
    let others = [
        QueueOptions {
            max_priority: 4,
            ..first.clone()
        },
        QueueOptions {
            max_length: Some(11),
            ..first.clone()
        },
        QueueOptions {
            message_ttl: Some(Duration::from_secs(60)),
            ..first.clone()
        },
        QueueOptions {
            dead_letter_exchange: Some("graves".to_owned()),
            ..first.clone()
        },
        QueueOptions {
            auto_delete: true,
            ..first.clone()
        },
        QueueOptions {
            durable: true,
            ..first.clone()
        },
    ];
    for options in others {
        ensure_kind(bench.queue.declare_queue("queue", options).await, Conflict)?;
    }
    bench.queue.declare_queue("queue", first).await?;
    let mut consumer = bench.queue.consume("queue", 10).await?;
    expect(&mut consumer, &["a"]).await?;
    Ok(())
}

async fn binding_again_changes_nothing(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 10).await?;
    for kind in KINDS {
        let name = format!("{kind:?}");
        bench.queue.declare_exchange(&name, kind).await?;
        for _ in 0..3 {
            bench.queue.bind("queue", &name, "key", &[]).await?;
        }
        bench.publish(&name, "key", &[&name]).await?;
        expect(&mut consumer, &[&name]).await?;
    }
    expect_nothing(&mut consumer).await
}

async fn binding_what_is_missing_is_not_found(bench: Bench) -> Outcome {
    bench.queue.declare_exchange("topic", ExchangeKind::Topic).await?;
    bench
        .queue
        .declare_queue("queue", QueueOptions::default())
        .await?;
    ensure_kind(bench.queue.bind("queue", "missing", "#", &[]).await, NotFound)?;
    ensure_kind(bench.queue.bind("missing", "topic", "#", &[]).await, NotFound)?;
    bench.queue.bind("queue", "topic", "#", &[]).await?;
    Ok(())
}

async fn a_missing_queue_is_not_found(bench: Bench) -> Outcome {
    ensure_kind(bench.queue.consume("missing", 1).await, NotFound)?;
    ensure_kind(bench.queue.depth("missing").await, NotFound)
}

async fn deleting_a_queue_ends_its_consumers(bench: Bench) -> Outcome {
    let mut waiting = bench.consumer("queue", 10).await?;
    let delete = async {
        sleep(Duration::from_millis(50)).await;
        bench.queue.delete_queue("queue").await
    };
    let (ended, deleted) = futures_util::join!(expect_end(&mut waiting), delete);
    deleted?;
    ended?;
    expect_end(&mut waiting).await?;
    waiting.settler().ack(&[1]).await?;
    ensure_kind(bench.queue.depth("queue").await, NotFound)
}

async fn deleting_a_queue_again_changes_nothing(bench: Bench) -> Outcome {
    bench.queue.delete_queue("never").await?;
    bench
        .queue
        .declare_queue("queue", QueueOptions::default())
        .await?;
    bench.queue.delete_queue("queue").await?;
    bench.queue.delete_queue("queue").await?;
    Ok(())
}

async fn a_deleted_queue_comes_back_empty_and_unbound(bench: Bench) -> Outcome {
    for kind in KINDS {
        let name = format!("{kind:?}");
        bench.queue.declare_exchange(&name, kind).await?;
        bench
            .queue
            .declare_queue("queue", QueueOptions::default())
            .await?;
        bench.queue.bind("queue", &name, "key", &[]).await?;
        bench.publish(&name, "key", &["old"]).await?;
        bench.queue.delete_queue("queue").await?;
        let mut consumer = bench.consumer("queue", 10).await?;
        bench.publish(&name, "key", &["unbound"]).await?;
        bench.send("queue", &["new"]).await?;
        expect(&mut consumer, &["new"]).await?;
        expect_nothing(&mut consumer).await?;
        bench.queue.delete_queue("queue").await?;
    }
    Ok(())
}

async fn an_auto_delete_queue_goes_with_its_last_consumer(bench: Bench) -> Outcome {
    bench.queue.declare_queue("queue", auto_delete()).await?;
    bench.send("queue", &["a"]).await?;
    // It waits for its first consumer.
    let mut first = bench.queue.consume("queue", 1).await?;
    expect(&mut first, &["a"]).await?;
    let mut second = bench.queue.consume("queue", 1).await?;
    drop(first);
    expect(&mut second, &["a"]).await?;
    drop(second);
    let wait = async {
        while bench.queue.depth("queue").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = muster_runtime::clock::deadline(Duration::from_secs(20), wait).await;
    gone.map_err(|_| "the queue is still there")?;
    ensure_kind(bench.queue.depth("queue").await, NotFound)?;
    bench.queue.declare_queue("queue", auto_delete()).await?;
    bench.depth_becomes("queue", 0).await
}

async fn closing_ends_consumers_and_calls(bench: Bench) -> Outcome {
    let queue = &bench.queue;
    let mut consumer = bench.consumer("queue", 10).await?;
    let mut requests = bench.consumer("requests", 10).await?;
    let call = queue.call("", Message::new("requests", "?"), Duration::from_secs(60));
    let close = async {
        let request = requests.next().await;
        queue.close().await;
        request
    };
    let (ended, answer, request) = futures_util::join!(expect_end(&mut consumer), call, close);
    ended?;
    ensure_kind(answer, Cancelled)?;
    let request = request.ok_or("the request never came")?.message;
    ensure_kind(
        queue.publish("", vec![Message::new("queue", "a")]).await,
        Cancelled,
    )?;
    ensure_kind(
        queue.declare_queue("new", QueueOptions::default()).await,
        Cancelled,
    )?;
    ensure_kind(
        queue.declare_exchange("new", ExchangeKind::Topic).await,
        Cancelled,
    )?;
    ensure_kind(queue.bind("queue", "new", "#", &[]).await, Cancelled)?;
    ensure_kind(queue.delete_queue("queue").await, Cancelled)?;
    ensure_kind(queue.consume("queue", 1).await, Cancelled)?;
    ensure_kind(queue.depth("queue").await, Cancelled)?;
    ensure_kind(
        queue
            .call("", Message::new("a", "b"), Duration::from_secs(1))
            .await,
        Cancelled,
    )?;
    ensure_kind(queue.reply(&request, "!".into()).await, Cancelled)?;
    ensure_kind(queue.ping().await, Cancelled)?;
    queue.close().await;
    expect_end(&mut consumer).await
}

async fn ping_answers(bench: Bench) -> Outcome {
    Ok(bench.queue.ping().await?)
}
