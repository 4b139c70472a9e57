//! Messages to whoever listens.

use std::time::Duration;

use bytes::Bytes;
use muster_model::ErrorKind::TooLarge;
use muster_runtime::clock::{deadline, sleep};

use super::bench::{Bench, ensure, ensure_kind};
use super::case::{Outcome, list};
use crate::port::{News, Subscription};

list!(CASES, Channels, false:
    who_listens_gets_what_is_published_afterwards,
    messages_arrive_in_their_order,
    a_channel_is_heard_by_everybody_and_no_other_is,
    a_message_over_1_mib_is_refused,
);

list!(OUTAGES, ChannelOutages, false: a_listener_hears_that_it_has_missed_something_and_listens_on);

const PATIENCE: Duration = Duration::from_secs(20);

/// Checks what comes next.
async fn hears(listener: &mut Box<dyn Subscription>, message: &[u8]) -> Outcome {
    let news = deadline(PATIENCE, listener.next())
        .await
        .map_err(|_| "nothing is heard")?;
    let expected = News::Message(Bytes::copy_from_slice(message));
    if news == expected {
        return Ok(());
    }
    Err(format!("it heard {news:?}, not {expected:?}").into())
}

async fn who_listens_gets_what_is_published_afterwards(bench: Bench) -> Outcome {
    let channels = bench.cache.channels()?;
    channels.publish("news", "to nobody".into()).await?;
    let mut listener = channels.subscribe("news").await?;
    for message in [&b"text"[..], b"", b"\0\xff\r\n"] {
        channels.publish("news", Bytes::copy_from_slice(message)).await?;
        hears(&mut listener, message).await?;
    }
    drop(listener);
    channels.publish("news", "to nobody".into()).await?;
    let mut listener = channels.subscribe("news").await?;
    channels
        .publish("news", "to one who has come back".into())
        .await?;
    hears(&mut listener, b"to one who has come back").await
}

async fn messages_arrive_in_their_order(bench: Bench) -> Outcome {
    let channels = bench.cache.channels()?;
    let mut listener = channels.subscribe("news").await?;
    for number in 0..500 {
        channels.publish("news", number.to_string().into()).await?;
    }
    for number in 0..500 {
        hears(&mut listener, number.to_string().as_bytes()).await?;
    }
    Ok(())
}

async fn a_channel_is_heard_by_everybody_and_no_other_is(bench: Bench) -> Outcome {
    let channels = bench.cache.channels()?;
    let mut one = channels.subscribe("news").await?;
    let mut two = channels.subscribe("news").await?;
    let mut other = channels.subscribe("news.2").await?;
    channels.publish("news", "all".into()).await?;
    hears(&mut one, b"all").await?;
    hears(&mut two, b"all").await?;
    channels.publish("news.2", "other".into()).await?;
    hears(&mut other, b"other").await
}

async fn a_message_over_1_mib_is_refused(bench: Bench) -> Outcome {
    let channels = bench.cache.channels()?;
    let mut listener = channels.subscribe("news").await?;
    let most = Bytes::from(vec![7; 1 << 20]);
    let larger = Bytes::from(vec![7; (1 << 20) + 1]);
    ensure_kind(channels.publish("news", larger).await, TooLarge)?;
    channels.publish("news", most.clone()).await?;
    hears(&mut listener, &most).await
}

async fn a_listener_hears_that_it_has_missed_something_and_listens_on(bench: Bench) -> Outcome {
    let engine = bench.engine.clone().ok_or("there is no engine to kill")?;
    let channels = bench.cache.channels()?;
    let mut listener = channels.subscribe("news").await?;
    channels.publish("news", "before".into()).await?;
    hears(&mut listener, b"before").await?;
    engine.kill();
    engine.start_again();
    let news = deadline(PATIENCE, listener.next())
        .await
        .map_err(|_| "nothing is heard")?;
    ensure(news == News::Missed, "it is told of the gap")?;
    let publish = async {
        while channels.publish("news", "after".into()).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    deadline(PATIENCE, publish)
        .await
        .map_err(|_| "nothing can be published")?;
    hears(&mut listener, b"after").await
}
