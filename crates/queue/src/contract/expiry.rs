//! Lifetimes, limits of length, and dead letters.

use std::time::Duration;

use muster_runtime::clock::sleep;

use super::bench::{Bench, ensure, expect, expect_nothing};
use super::case::{Outcome, list};
use crate::types::{Delivery, ExchangeKind, Message, QueueOptions};

list!(Nothing, false:
    messages_expire_by_the_time_of_the_queue,
    messages_expire_by_their_own_time,
    the_shorter_of_both_times_counts,
    what_is_held_does_not_expire,
    expired_messages_go_to_the_dead_letter_exchange_by_themselves,
    rejected_messages_go_to_the_dead_letter_exchange,
    surplus_messages_go_to_the_dead_letter_exchange_oldest_first,
    a_full_queue_drops_its_oldest,
    what_a_consumer_has_room_for_is_no_surplus,
    dead_letters_do_not_go_round_for_ever,
    a_missing_dead_letter_exchange_drops_the_letter,
);

const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(600);

fn brief() -> QueueOptions {
    QueueOptions {
        message_ttl: Some(SHORT),
        ..QueueOptions::default()
    }
}

/// Options whose dead letters go to the queue `grave`.
async fn with_grave(bench: &Bench, options: QueueOptions) -> Result<QueueOptions, crate::Error> {
    bench
        .queue
        .declare_exchange("graves", ExchangeKind::Topic)
        .await?;
    bench
        .queue
        .declare_queue("grave", QueueOptions::default())
        .await?;
    bench.queue.bind("grave", "graves", "#", &[]).await?;
    Ok(QueueOptions {
        dead_letter_exchange: Some("graves".to_owned()),
        ..options
    })
}

/// Takes the dead letters and checks what they say of their death.
async fn exhume(bench: &Bench, texts: &[&str], queue: &str, reason: &str) -> Result<Vec<Delivery>, String> {
    let mut consumer = bench
        .queue
        .consume("grave", 100)
        .await
        .map_err(|error| error.to_string())?;
    let letters = expect(&mut consumer, texts)
        .await
        .map_err(|error| error.to_string())?;
    for letter in &letters {
        for (name, expected) in [("x-first-death-queue", queue), ("x-first-death-reason", reason)] {
            let mut headers = letter.message.headers.iter();
            let value = headers
                .find(|(header, _)| header == name)
                .map(|(_, value)| value.as_str());
            if value != Some(expected) {
                return Err(format!("{name} is {value:?}, not '{expected}'"));
            }
        }
    }
    Ok(letters)
}

async fn messages_expire_by_the_time_of_the_queue(bench: Bench) -> Outcome {
    bench.queue.declare_queue("queue", brief()).await?;
    bench.send("queue", &["old"]).await?;
    sleep(SHORT * 2).await;
    bench.depth_becomes("queue", 0).await?;
    bench.send("queue", &["new"]).await?;
    let mut consumer = bench.queue.consume("queue", 10).await?;
    expect(&mut consumer, &["new"]).await?;
    expect_nothing(&mut consumer).await
}

async fn messages_expire_by_their_own_time(bench: Bench) -> Outcome {
    bench
        .queue
        .declare_queue("queue", QueueOptions::default())
        .await?;
    let message = |text: &'static str, expires| Message {
        expires,
        ..Message::new("queue", text)
    };
    let messages = vec![
        message("1", Some(SHORT)),
        message("2", None),
        message("3", Some(SHORT)),
    ];
    bench.queue.publish("", messages).await?;
    sleep(SHORT * 2).await;
    let mut consumer = bench.queue.consume("queue", 10).await?;
    expect(&mut consumer, &["2"]).await?;
    expect_nothing(&mut consumer).await
}

async fn the_shorter_of_both_times_counts(bench: Bench) -> Outcome {
    let long = QueueOptions {
        message_ttl: Some(LONG),
        ..QueueOptions::default()
    };
    for (queue, options, own) in [("a", brief(), LONG), ("b", long, SHORT)] {
        bench.queue.declare_queue(queue, options).await?;
        let message = Message {
            expires: Some(own),
            ..Message::new(queue, "x")
        };
        bench.queue.publish("", vec![message]).await?;
    }
    sleep(SHORT * 2).await;
    bench.depth_becomes("a", 0).await?;
    bench.depth_becomes("b", 0).await
}

async fn what_is_held_does_not_expire(bench: Bench) -> Outcome {
    let options = with_grave(&bench, brief()).await?;
    bench.queue.declare_queue("queue", options).await?;
    let mut consumer = bench.queue.consume("queue", 10).await?;
    bench.send("queue", &["a"]).await?;
    let held = expect(&mut consumer, &["a"]).await?;
    sleep(SHORT * 2).await;
    consumer.settler().ack(&[held[0].tag]).await?;
    bench.depth_becomes("queue", 0).await?;
    let mut grave = bench.queue.consume("grave", 1).await?;
    expect_nothing(&mut grave).await
}

async fn expired_messages_go_to_the_dead_letter_exchange_by_themselves(bench: Bench) -> Outcome {
    let options = with_grave(&bench, brief()).await?;
    bench.queue.declare_queue("queue", options).await?;
    bench.send("queue", &["a", "b"]).await?;
    // Nobody looks at the queue itself.
    bench.depth_becomes("grave", 2).await?;
    let letters = exhume(&bench, &["a", "b"], "queue", "expired").await?;
    ensure(letters[0].message.key == "queue", "they keep their key")?;
    // A later one, when the first timer has long gone.
    sleep(SHORT).await;
    bench.send("queue", &["c"]).await?;
    bench.depth_becomes("grave", 3).await
}

async fn rejected_messages_go_to_the_dead_letter_exchange(bench: Bench) -> Outcome {
    let options = with_grave(&bench, QueueOptions::default()).await?;
    bench.queue.declare_queue("queue", options).await?;
    let mut consumer = bench.queue.consume("queue", 10).await?;
    let message = Message {
        expires: Some(LONG),
        headers: vec![("host".to_owned(), "web-01".to_owned())],
        ..Message::new("queue", "a")
    };
    bench.queue.publish("", vec![message]).await?;
    let held = expect(&mut consumer, &["a"]).await?;
    consumer.settler().reject(held[0].tag, false).await?;
    let letters = exhume(&bench, &["a"], "queue", "rejected").await?;
    let message = &letters[0].message;
    ensure(message.expires.is_none(), "a dead letter expires no more")?;
    let kept = message
        .headers
        .contains(&("host".to_owned(), "web-01".to_owned()));
    ensure(kept, "it keeps its headers")?;
    ensure(!letters[0].redelivered, "in its new queue it is new")
}

async fn surplus_messages_go_to_the_dead_letter_exchange_oldest_first(bench: Bench) -> Outcome {
    let short = QueueOptions {
        max_length: Some(2),
        ..QueueOptions::default()
    };
    let options = with_grave(&bench, short).await?;
    bench.queue.declare_queue("queue", options).await?;
    bench.send("queue", &["a", "b", "c", "d", "e"]).await?;
    exhume(&bench, &["a", "b", "c"], "queue", "maxlen").await?;
    let mut consumer = bench.queue.consume("queue", 10).await?;
    expect(&mut consumer, &["d", "e"]).await?;
    Ok(())
}

async fn a_full_queue_drops_its_oldest(bench: Bench) -> Outcome {
    let options = QueueOptions {
        max_length: Some(3),
        ..QueueOptions::default()
    };
    bench.queue.declare_queue("queue", options).await?;
    let mut consumer = bench.queue.consume("queue", 1).await?;
    bench.send("queue", &["held"]).await?;
    let held = expect(&mut consumer, &["held"]).await?;
    for text in ["a", "b", "c", "d", "e"] {
        bench.send("queue", &[text]).await?;
    }
    bench.depth_becomes("queue", 3).await?;
    consumer.settler().ack(&[held[0].tag]).await?;
    for text in ["c", "d", "e"] {
        let held = expect(&mut consumer, &[text]).await?;
        consumer.settler().ack(&[held[0].tag]).await?;
    }
    expect_nothing(&mut consumer).await
}

async fn what_a_consumer_has_room_for_is_no_surplus(bench: Bench) -> Outcome {
    let options = QueueOptions {
        max_length: Some(2),
        ..QueueOptions::default()
    };
    bench.queue.declare_queue("queue", options).await?;
    let mut consumer = bench.queue.consume("queue", 2).await?;
    bench.send("queue", &["a", "b", "c", "d", "e"]).await?;
    let held = expect(&mut consumer, &["a", "b"]).await?;
    consumer.settler().ack(&[held[0].tag, held[1].tag]).await?;
    expect(&mut consumer, &["d", "e"]).await?;
    Ok(())
}

async fn dead_letters_do_not_go_round_for_ever(bench: Bench) -> Outcome {
    bench
        .queue
        .declare_exchange("round", ExchangeKind::Fanout)
        .await?;
    let mut letters = bench.consumer("letters", 100).await?;
    bench.queue.bind("letters", "round", "", &[]).await?;
    for queue in ["one", "two"] {
        let options = QueueOptions {
            dead_letter_exchange: Some("round".to_owned()),
            ..brief()
        };
        bench.queue.declare_queue(queue, options).await?;
        bench.queue.bind(queue, "round", "", &[]).await?;
    }
    bench.send("one", &["a"]).await?;
    // It dies in the first queue, then in the second, and that is the end of it.
    expect(&mut letters, &["a", "a"]).await?;
    sleep(SHORT * 4).await;
    expect_nothing(&mut letters).await?;
    bench.depth_becomes("one", 0).await?;
    bench.depth_becomes("two", 0).await
}

async fn a_missing_dead_letter_exchange_drops_the_letter(bench: Bench) -> Outcome {
    let options = QueueOptions {
        dead_letter_exchange: Some("missing".to_owned()),
        ..QueueOptions::default()
    };
    bench.queue.declare_queue("queue", options).await?;
    let mut consumer = bench.queue.consume("queue", 1).await?;
    bench.send("queue", &["a", "b"]).await?;
    let held = expect(&mut consumer, &["a"]).await?;
    consumer.settler().reject(held[0].tag, false).await?;
    expect(&mut consumer, &["b"]).await?;
    Ok(())
}
