//! Where a message goes.

use std::time::Duration;

use muster_model::ErrorKind::{NotFound, TooLarge};

use super::bench::{Bench, ensure, ensure_kind, expect, expect_nothing, take};
use super::case::{Outcome, list};
use crate::types::{ExchangeKind, Message, QueueOptions};

list!(Nothing, false:
    the_default_exchange_routes_by_queue_name,
    direct_routes_by_an_equal_key,
    fanout_reaches_every_queue_whatever_the_key,
    topic_routes_by_words,
    headers_route_by_all_or_any,
    a_queue_gets_a_message_once_however_many_bindings_match,
    a_message_that_no_queue_is_bound_for_is_dropped,
    publishing_to_a_missing_exchange_is_refused,
    messages_keep_their_order,
    messages_arrive_with_all_their_properties,
    a_body_of_16_mib_arrives_and_a_larger_one_is_refused,
);

/// What a pattern matches, and what it does not.
const TOPICS: &[(&str, &[&str], &[&str])] = &[
    (
        "task.7.web",
        &["task.7.web"],
        &["task.7", "task.7.web.x", "task.7.db", ""],
    ),
    ("task.*", &["task.7", "task."], &["task", "task.7.web", "other.7"]),
    ("*.7", &["task.7", ".7"], &["7", "task.task.7", "task.8"]),
    (
        "task.#",
        &["task", "task.7", "task.7.web.done"],
        &["tasks", "a.task", ""],
    ),
    (
        "#.done",
        &["done", "task.done", "task.7.web.done"],
        &["task.done.7", "undone"],
    ),
    (
        "task.#.done",
        &["task.done", "task.7.done", "task.7.web.done"],
        &["task", "done", "task.7"],
    ),
    ("task.*.#", &["task.7", "task.7.web"], &["task", "other.7"]),
    ("*.*", &["a.b", "."], &["a", "a.b.c", ""]),
    ("#", &["", "a", "a.b", "a.b.c"], &[]),
    ("#.#", &["", "a", "a.b.c"], &[]),
    ("*.#.*", &["a.b", "a.b.c"], &["a", ""]),
    ("a*.b", &["a*.b"], &["ax.b", "a.b"]),
];

async fn the_default_exchange_routes_by_queue_name(bench: Bench) -> Outcome {
    let mut one = bench.consumer("one", 10).await?;
    let mut two = bench.consumer("two", 10).await?;
    bench.send("one", &["a"]).await?;
    bench.send("two", &["b"]).await?;
    bench.send("three", &["c"]).await?;
    expect(&mut one, &["a"]).await?;
    expect(&mut two, &["b"]).await?;
    expect_nothing(&mut one).await
}

async fn direct_routes_by_an_equal_key(bench: Bench) -> Outcome {
    bench
        .queue
        .declare_exchange("direct", ExchangeKind::Direct)
        .await?;
    let mut one = bench.consumer("one", 10).await?;
    let mut two = bench.consumer("two", 10).await?;
    for (queue, key) in [("one", "red"), ("one", "green"), ("two", "green")] {
        bench.queue.bind(queue, "direct", key, &[]).await?;
    }
    for key in ["red", "green", "blue", "re", ""] {
        bench.publish("direct", key, &[key]).await?;
    }
    expect(&mut one, &["red", "green"]).await?;
    expect(&mut two, &["green"]).await?;
    expect_nothing(&mut one).await?;
    expect_nothing(&mut two).await
}

async fn fanout_reaches_every_queue_whatever_the_key(bench: Bench) -> Outcome {
    bench
        .queue
        .declare_exchange("fanout", ExchangeKind::Fanout)
        .await?;
    let mut consumers = Vec::new();
    for queue in ["one", "two", "three"] {
        consumers.push(bench.consumer(queue, 10).await?);
        bench.queue.bind(queue, "fanout", "ignored", &[]).await?;
    }
    bench.publish("fanout", "any.key", &["a", "b"]).await?;
    for consumer in &mut consumers {
        expect(consumer, &["a", "b"]).await?;
    }
    Ok(())
}

async fn topic_routes_by_words(bench: Bench) -> Outcome {
    bench.queue.declare_exchange("topic", ExchangeKind::Topic).await?;
    for (pattern, matching, others) in TOPICS {
        let mut consumer = bench.consumer(&format!("q {pattern}"), 100).await?;
        bench
            .queue
            .bind(&format!("q {pattern}"), "topic", pattern, &[])
            .await?;
        for key in others.iter().chain(*matching) {
            bench.publish("topic", key, &[key]).await?;
        }
        let told = |error| format!("pattern '{pattern}': {error}");
        expect(&mut consumer, matching).await.map_err(told)?;
        expect_nothing(&mut consumer).await.map_err(told)?;
        bench.queue.delete_queue(&format!("q {pattern}")).await?;
    }
    Ok(())
}

async fn headers_route_by_all_or_any(bench: Bench) -> Outcome {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect()
    };
    bench
        .queue
        .declare_exchange("headers", ExchangeKind::Headers)
        .await?;
    let mut all = bench.consumer("all", 10).await?;
    let mut any = bench.consumer("any", 10).await?;
    for queue in ["all", "any"] {
        let arguments = pairs(&[("x-match", queue), ("os", "linux"), ("arch", "arm")]);
        bench.queue.bind(queue, "headers", "", &arguments).await?;
    }
    for (text, headers) in [
        ("none", pairs(&[])),
        ("one", pairs(&[("os", "linux")])),
        ("both", pairs(&[("arch", "arm"), ("os", "linux"), ("more", "1")])),
        ("wrong", pairs(&[("os", "bsd"), ("arch", "x86")])),
    ] {
        let message = Message {
            headers,
            ..Message::new("", text)
        };
        bench.queue.publish("headers", vec![message]).await?;
    }
    expect(&mut all, &["both"]).await?;
    expect(&mut any, &["one", "both"]).await?;
    expect_nothing(&mut all).await?;
    expect_nothing(&mut any).await
}

async fn a_queue_gets_a_message_once_however_many_bindings_match(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 10).await?;
    bench.queue.declare_exchange("topic", ExchangeKind::Topic).await?;
    bench
        .queue
        .declare_exchange("fanout", ExchangeKind::Fanout)
        .await?;
    for pattern in ["a.#", "*.b", "a.b", "#", "a.b"] {
        bench.queue.bind("queue", "topic", pattern, &[]).await?;
        bench.queue.bind("queue", "fanout", pattern, &[]).await?;
    }
    bench.publish("topic", "a.b", &["topic"]).await?;
    bench.publish("fanout", "a.b", &["fanout"]).await?;
    expect(&mut consumer, &["topic", "fanout"]).await?;
    expect_nothing(&mut consumer).await
}

async fn a_message_that_no_queue_is_bound_for_is_dropped(bench: Bench) -> Outcome {
    bench.queue.declare_exchange("topic", ExchangeKind::Topic).await?;
    bench.publish("topic", "early", &["early"]).await?;
    bench.send("nowhere", &["lost"]).await?;
    let mut consumer = bench.consumer("queue", 10).await?;
    bench.queue.bind("queue", "topic", "#", &[]).await?;
    bench.publish("topic", "late", &["late"]).await?;
    expect(&mut consumer, &["late"]).await?;
    Ok(())
}

async fn publishing_to_a_missing_exchange_is_refused(bench: Bench) -> Outcome {
    ensure_kind(bench.publish("missing", "key", &["a"]).await, NotFound)?;
    // And what comes after works.
    let mut consumer = bench.consumer("queue", 10).await?;
    bench.send("queue", &["b"]).await?;
    expect(&mut consumer, &["b"]).await?;
    Ok(())
}

async fn messages_keep_their_order(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 50).await?;
    let settler = consumer.settler();
    for batch in 0..20 {
        let numbers = (0..50).map(|number| Message::new("queue", (batch * 50 + number).to_string()));
        bench.queue.publish("", numbers.collect()).await?;
    }
    for number in 0..1000 {
        let delivery = take(&mut consumer).await?;
        ensure(
            delivery.message.body == number.to_string(),
            "they come as they were published",
        )?;
        settler.ack(&[delivery.tag]).await?;
    }
    Ok(())
}

async fn messages_arrive_with_all_their_properties(bench: Bench) -> Outcome {
    let options = QueueOptions {
        durable: true,
        max_priority: 5,
        ..QueueOptions::default()
    };
    bench.queue.declare_queue("queue", options).await?;
    let message = Message {
        key: "queue".to_owned(),
        body: vec![0, 255, 10, 13, 128].into(),
        priority: 3,
        persistent: true,
        expires: Some(Duration::from_secs(60)),
        headers: vec![
            ("host".to_owned(), "wéb-01".to_owned()),
            ("empty".to_owned(), String::new()),
        ],
        reply_to: Some("somewhere".to_owned()),
        correlation_id: Some("call 7".to_owned()),
    };
    bench.queue.publish("", vec![message.clone()]).await?;
    let mut consumer = bench.queue.consume("queue", 1).await?;
    let delivery = take(&mut consumer).await?;
    let mut found = delivery.message;
    found.headers.sort();
    let mut expected = message;
    expected.headers.sort();
    if found != expected {
        return Err(format!("{found:?} came, not {expected:?}").into());
    }
    ensure(
        !delivery.redelivered,
        "a first delivery is not marked redelivered",
    )
}

async fn a_body_of_16_mib_arrives_and_a_larger_one_is_refused(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("queue", 1).await?;
    let body: Vec<u8> = (0..16 << 20).map(|at: u32| (at % 251) as u8).collect();
    let larger = [body.as_slice(), b"!"].concat();
    ensure_kind(
        bench.queue.publish("", vec![Message::new("queue", larger)]).await,
        TooLarge,
    )?;
    bench
        .queue
        .publish("", vec![Message::new("queue", body.clone())])
        .await?;
    ensure(
        take(&mut consumer).await?.message.body == body,
        "it arrives whole",
    )
}
