//! Several processes at one engine.

use std::time::Duration;

use super::bench::{Bench, ensure, expect, take};
use super::case::{Case, Need, Outcome, case};
use crate::types::{ExchangeKind, Message, QueueOptions};

pub(super) const SHARED: &[Case] = &[
    case("two_processes_share_a_queue", Need::Shared, false, |bench| {
        Box::pin(two_processes_share_a_queue(bench))
    }),
    case(
        "a_call_is_answered_from_another_process",
        Need::Shared,
        false,
        |bench| Box::pin(a_call_is_answered_from_another_process(bench)),
    ),
];

async fn two_processes_share_a_queue(bench: Bench) -> Outcome {
    let other = bench.open_again().await?;
    bench.queue.declare_exchange("topic", ExchangeKind::Topic).await?;
    bench.queue.declare_queue("work", QueueOptions::default()).await?;
    bench.queue.bind("work", "topic", "#", &[]).await?;
    other
        .publish("topic", vec![Message::new("a", "from the other")])
        .await?;
    let mut here = bench.queue.consume("work", 1).await?;
    expect(&mut here, &["from the other"]).await?;
    let mut there = other.consume("work", 1).await?;
    drop(here);
    let held = expect(&mut there, &["from the other"]).await?;
    ensure(held[0].redelivered, "it is marked redelivered")?;
    other.close().await;
    Ok(())
}

async fn a_call_is_answered_from_another_process(bench: Bench) -> Outcome {
    let other = bench.open_again().await?;
    other.declare_queue("requests", QueueOptions::default()).await?;
    let mut consumer = other.consume("requests", 1).await?;
    let call = bench
        .queue
        .call("", Message::new("requests", "where?"), Duration::from_secs(20));
    let answer = async {
        let request = take(&mut consumer).await?.message;
        other.reply(&request, "there".into()).await?;
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    };
    let (reply, answered) = futures_util::join!(call, answer);
    answered?;
    other.close().await;
    ensure(reply? == "there", "the reply crosses")
}
