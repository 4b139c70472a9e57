//! What a key may be, and what a lifetime.

use std::time::Duration;

use bytes::Bytes;
use muster_model::ErrorKind::{self, Invalid, TooLarge};

use super::bench::{Bench, LONG, ensure_kind};
use super::case::{Outcome, list};

list!(CASES, Nothing, false:
    keys_are_told_apart,
    a_key_of_250_bytes_is_the_longest,
    a_key_without_spaces_and_control_characters_is_asked_for,
    a_lifetime_of_nothing_is_refused,
);

async fn keys_are_told_apart(bench: Bench) -> Outcome {
    let keys = [
        "key", "Key", "KEY", "key.1", "key.11", "key:1", "ключ", "*", "k?y", "{key}", "~^",
    ];
    for key in keys {
        bench.set(key, key).await?;
    }
    for key in keys {
        bench.holds(key, Some(key)).await?;
    }
    Ok(())
}

/// Checks that every method refuses a key.
async fn is_refused(bench: &Bench, key: &str, kind: ErrorKind) -> Outcome {
    let cache = &bench.cache;
    ensure_kind(cache.get(key).await, kind)?;
    ensure_kind(cache.get_many(&["good".to_owned(), key.to_owned()]).await, kind)?;
    ensure_kind(cache.set(key, Bytes::new(), LONG).await, kind)?;
    ensure_kind(cache.add(key, Bytes::new(), LONG).await, kind)?;
    ensure_kind(cache.delete(key).await, kind)?;
    ensure_kind(cache.increment(key, 1, LONG).await, kind)?;
    ensure_kind(cache.append(key, 0, Bytes::new(), LONG).await, kind)?;
    ensure_kind(cache.range(key, 0, 1).await, kind)?;
    ensure_kind(cache.touch(key, LONG).await, kind)
}

async fn a_key_of_250_bytes_is_the_longest(bench: Bench) -> Outcome {
    let longest = "k".repeat(250);
    bench.set(&longest, "kept").await?;
    bench.holds(&longest, Some("kept")).await?;
    is_refused(&bench, &"k".repeat(251), TooLarge).await?;
    is_refused(&bench, &"ж".repeat(126), TooLarge).await
}

async fn a_key_without_spaces_and_control_characters_is_asked_for(bench: Bench) -> Outcome {
    for key in [
        "",
        " ",
        "a b",
        "a\n",
        "a\r\nflush_all\r\n",
        "\0",
        "a\tb",
        "a\u{7f}",
        "a\u{a0}b",
        "a\u{85}b",
    ] {
        let told = |error| format!("key {key:?}: {error}");
        is_refused(&bench, key, Invalid).await.map_err(told)?;
    }
    Ok(())
}

async fn a_lifetime_of_nothing_is_refused(bench: Bench) -> Outcome {
    let cache = &bench.cache;
    bench.set("key", "stays").await?;
    ensure_kind(cache.set("key", Bytes::new(), Duration::ZERO).await, Invalid)?;
    ensure_kind(cache.add("new", Bytes::new(), Duration::ZERO).await, Invalid)?;
    ensure_kind(cache.increment("new", 1, Duration::ZERO).await, Invalid)?;
    ensure_kind(
        cache.append("new", 0, Bytes::new(), Duration::ZERO).await,
        Invalid,
    )?;
    ensure_kind(cache.touch("key", Duration::ZERO).await, Invalid)?;
    bench.holds("key", Some("stays")).await?;
    bench.holds("new", None).await
}
