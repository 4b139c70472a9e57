//! Calls and their replies.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use muster_model::ErrorKind::{Invalid, NotFound, Timeout};

use super::bench::{Bench, ensure, ensure_kind, take};
use super::case::{Outcome, list};
use crate::port::Consumer;
use crate::types::{ExchangeKind, Message};

list!(Nothing, false:
    a_call_returns_its_reply,
    calls_through_an_exchange_reach_the_bound_queue,
    replies_find_their_calls_in_any_order,
    a_call_without_a_reply_times_out,
    a_late_reply_is_dropped,
    only_the_first_reply_counts,
    a_dropped_call_leaves_nothing_behind,
    a_message_that_asks_for_no_reply_cannot_be_answered,
    a_call_to_a_missing_exchange_is_refused,
);

const LIMIT: Duration = Duration::from_secs(20);

/// Calls while a server answers with the body in brackets, and returns once both are done: the reply may be here before
/// its sender has its confirm, and a queue that is closed in between takes that from it.
async fn call_served(
    bench: &Bench,
    consumer: &mut Box<dyn Consumer>,
    exchange: &str,
    request: Message,
) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let call = bench.queue.call(exchange, request, LIMIT);
    let answer = async {
        let delivery = take(consumer).await?;
        let body = [b"[", &delivery.message.body[..], b"]"].concat();
        bench.queue.reply(&delivery.message, body.into()).await?;
        consumer.settler().ack(&[delivery.tag]).await?;
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    };
    let (reply, answered) = futures_util::join!(call, answer);
    answered?;
    Ok(reply?)
}

async fn a_call_returns_its_reply(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("requests", 10).await?;
    for text in ["one", "", "three"] {
        let reply = call_served(&bench, &mut consumer, "", Message::new("requests", text)).await?;
        ensure(reply == format!("[{text}]"), "the reply is the server's")?;
    }
    Ok(())
}

async fn calls_through_an_exchange_reach_the_bound_queue(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("requests", 10).await?;
    bench
        .queue
        .declare_exchange("calls", ExchangeKind::Direct)
        .await?;
    bench.queue.bind("requests", "calls", "agent.7", &[]).await?;
    let reply = call_served(&bench, &mut consumer, "calls", Message::new("agent.7", "up?")).await?;
    ensure(reply == "[up?]", "the reply is the server's")
}

async fn replies_find_their_calls_in_any_order(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("requests", 50).await?;
    let calls = (0..50).map(|number| {
        let request = Message::new("requests", number.to_string());
        let queue = &bench.queue;
        async move { (number, queue.call("", request, LIMIT).await) }
    });
    let answer = async {
        let mut requests = Vec::new();
        for _ in 0..50 {
            requests.push(take(&mut consumer).await?.message);
        }
        for request in requests.into_iter().rev() {
            bench.queue.reply(&request, request.body.clone()).await?;
        }
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    };
    let (replies, answered) = futures_util::join!(join_all(calls), answer);
    answered?;
    for (number, reply) in replies {
        ensure(reply? == number.to_string(), "each call gets its own reply")?;
    }
    Ok(())
}

async fn a_call_without_a_reply_times_out(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("requests", 10).await?;
    let limit = Duration::from_millis(200);
    ensure_kind(
        bench.queue.call("", Message::new("requests", "?"), limit).await,
        Timeout,
    )?;
    let request = take(&mut consumer).await?.message;
    ensure(
        request.reply_to.is_some() && request.correlation_id.is_some(),
        "the request came all the same",
    )
}

async fn a_late_reply_is_dropped(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("requests", 10).await?;
    let limit = Duration::from_millis(200);
    ensure_kind(
        bench
            .queue
            .call("", Message::new("requests", "early"), limit)
            .await,
        Timeout,
    )?;
    let early = take(&mut consumer).await?.message;
    let call = bench.queue.call("", Message::new("requests", "late"), LIMIT);
    let answer = async {
        let late = take(&mut consumer).await?.message;
        bench.queue.reply(&early, "too late".into()).await?;
        bench.queue.reply(&late, "in time".into()).await?;
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    };
    let (reply, answered) = futures_util::join!(call, answer);
    answered?;
    ensure(reply? == "in time", "a late reply reaches no other call")
}

async fn only_the_first_reply_counts(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("requests", 10).await?;
    let call = bench.queue.call("", Message::new("requests", "?"), LIMIT);
    let answer = async {
        let request = take(&mut consumer).await?.message;
        bench.queue.reply(&request, "first".into()).await?;
        bench.queue.reply(&request, "second".into()).await?;
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    };
    let (reply, answered) = futures_util::join!(call, answer);
    answered?;
    ensure(reply? == "first", "the second reply is dropped")
}

async fn a_dropped_call_leaves_nothing_behind(bench: Bench) -> Outcome {
    let mut consumer = bench.consumer("requests", 10).await?;
    {
        let call = bench.queue.call("", Message::new("requests", "?"), LIMIT);
        let request = futures_util::future::select(call, Box::pin(take(&mut consumer))).await;
        let futures_util::future::Either::Right((request, call)) = request else {
            return Err("the call ended by itself".into());
        };
        drop(call);
        bench.queue.reply(&request?.message, "!".into()).await?;
    }
    drop(consumer);
    bench.queue.delete_queue("requests").await?;
    let mut consumer = bench.consumer("requests", 10).await?;
    let reply = call_served(&bench, &mut consumer, "", Message::new("requests", "next")).await?;
    ensure(reply == "[next]", "the next call gets its own reply")
}

async fn a_message_that_asks_for_no_reply_cannot_be_answered(bench: Bench) -> Outcome {
    let answer = bench
        .queue
        .reply(&Message::new("requests", "?"), Bytes::new())
        .await;
    ensure_kind(answer, Invalid)
}

async fn a_call_to_a_missing_exchange_is_refused(bench: Bench) -> Outcome {
    ensure_kind(
        bench.queue.call("missing", Message::new("a", "?"), LIMIT).await,
        NotFound,
    )
}
