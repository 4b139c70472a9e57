//! Memcached alone.

use std::time::{Duration, Instant};

use bytes::Bytes;
use muster_cache::open;
use muster_model::ErrorKind::{Conflict, Invalid, Unavailable, Unsupported};
use muster_testkit::{Memcached, Redis, require};

use super::{LONG, alone, opened, refused};

alone!("memcached":
    while_one_server_is_away_the_keys_of_the_other_work,
    lifetimes_are_whole_seconds_rounded_up,
    a_value_that_lost_a_piece_is_gone_as_a_whole,
    pieces_live_as_long_as_their_value,
    a_key_of_another_program_is_told,
    what_is_no_memcached_is_told,
    a_place_where_nobody_listens_is_named,
    bits_and_channels_are_said_to_be_missing,
);

async fn while_one_server_is_away_the_keys_of_the_other_work() {
    let (mut one, two) = (require!(Memcached::start(64)), require!(Memcached::start(64)));
    let cache = opened(&format!("memcached://{},{}", one.place(), two.place())).await;
    let keys: Vec<String> = (0..200).map(|number| format!("key.{number}")).collect();
    for key in &keys {
        cache.set(key, key.clone().into(), LONG).await.expect("set");
    }
    one.kill();
    let start = Instant::now();
    let mut there = 0;
    for _ in 0..10 {
        there = 0;
        for key in &keys {
            match cache.get(key).await {
                Ok(Some(value)) => {
                    assert_eq!(value, key.as_bytes());
                    there += 1;
                }
                Ok(None) => panic!("{key} is nowhere else"),
                Err(error) => assert!(error.operation.contains(&one.place()), "{error:?}"),
            }
        }
        assert!((50..150).contains(&there), "{there} of 200");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    refused(cache.ping().await, Unavailable, "nobody listens at Memcached at");
    one.start_again().expect("it starts");
    cache.ping().await.expect("both are there");
    let values = cache.get_many(&keys).await.expect("read");
    assert_eq!(values.iter().flatten().count(), there, "the other one is empty");
}

/// Returns how many seconds a key has left.
fn left(server: &Memcached, name: &str) -> i64 {
    let told = server.ask(&format!("mg {name} t")).expect("told");
    told.trim()
        .strip_prefix("HD t")
        .expect("it is there")
        .parse()
        .expect("a number")
}

async fn lifetimes_are_whole_seconds_rounded_up() {
    let server = require!(Memcached::start(64));
    let cache = opened(&format!("memcached://{}", server.place())).await;
    for (lifetime, expected) in [
        (Duration::from_millis(60_001), 62),
        (Duration::from_secs(60), 61),
        // Past thirty days Memcached takes points in time.
        (Duration::from_secs(30 * 24 * 3600), 30 * 24 * 3600 + 1),
        (Duration::from_secs(200 * 24 * 3600), 200 * 24 * 3600 + 1),
        (Duration::MAX, 366 * 24 * 3600 + 1),
    ] {
        cache.set("key", "v".into(), lifetime).await.expect("set");
        let left = left(&server, "muster:key");
        assert!(
            (expected - 3..=expected + 1).contains(&left),
            "{lifetime:?}: {left}"
        );
    }
    // No shorter than it was told: 1 ms is a second at least.
    cache
        .set("brief", "v".into(), Duration::from_millis(1))
        .await
        .expect("set");
    assert!(cache.get("brief").await.expect("read").is_some());
}

/// Returns the names of the pieces that a server holds.
fn pieces(server: &Memcached) -> Vec<String> {
    // It lists in the background what it has.
    let told = server.ask("lru_crawler metadump all").expect("told");
    let names = told
        .lines()
        .filter_map(|line| line.strip_prefix("key=")?.split(' ').next());
    let decoded = names.map(|name| name.replace("%3A", ":").replace("%23", "#"));
    decoded.filter(|name| name.starts_with("muster:#")).collect()
}

async fn a_value_that_lost_a_piece_is_gone_as_a_whole() {
    let server = require!(Memcached::start(64));
    let cache = opened(&format!("memcached://{}", server.place())).await;
    let piece = Bytes::from(vec![7; 300_000]);
    let mut end = 0;
    for _ in 0..3 {
        end = cache
            .append("log", end, piece.clone(), LONG)
            .await
            .expect("append");
    }
    let names = pieces(&server);
    assert_eq!(names.len(), 3, "{names:?}");
    server.ask(&format!("delete {}", names[0])).expect("deleted");
    assert_eq!(cache.get("log").await.expect("read"), None);
    refused(
        cache.append("log", end, "x".into(), LONG).await,
        Conflict,
        "ends at 0",
    );
    assert_eq!(cache.append("log", 0, "x".into(), LONG).await.expect("anew"), 1);
}

async fn pieces_live_as_long_as_their_value() {
    let server = require!(Memcached::start(64));
    let cache = opened(&format!("memcached://{}", server.place())).await;
    let piece = Bytes::from(vec![7; 300_000]);
    cache
        .append("log", 0, piece.clone(), Duration::from_secs(10))
        .await
        .expect("append");
    for lifetime in [100, 1000] {
        if lifetime == 100 {
            cache
                .append("log", 300_000, "x".into(), Duration::from_secs(lifetime))
                .await
                .expect("append");
        } else {
            assert!(
                cache
                    .touch("log", Duration::from_secs(lifetime))
                    .await
                    .expect("touch")
            );
        }
        for name in pieces(&server) {
            assert!(
                left(&server, &name) >= i64::try_from(lifetime).expect("small"),
                "{name}"
            );
        }
    }
}

async fn a_key_of_another_program_is_told() {
    let server = require!(Memcached::start(64));
    let cache = opened(&format!("memcached://{}", server.place())).await;
    assert_eq!(
        server.ask("set muster:key 0 0 5\r\nvalue").expect("set"),
        "STORED\r\n"
    );
    refused(cache.get("key").await, Conflict, "?prefix=");
    cache
        .set("key", "ours".into(), LONG)
        .await
        .expect("it may be overwritten");
}

async fn what_is_no_memcached_is_told() {
    let redis = require!(Redis::start());
    let url = format!("memcached://127.0.0.1:{}", redis.port());
    refused(open(&url).await, Invalid, "no Memcached");
}

async fn a_place_where_nobody_listens_is_named() {
    let mut server = require!(Memcached::start(64));
    server.stop().expect("it stops");
    let cache = opened(&format!("memcached://{}", server.place())).await;
    refused(cache.ping().await, Unavailable, &server.place());
    server.start_again().expect("it starts");
    cache.ping().await.expect("it is there");
    cache.set("key", "value".into(), LONG).await.expect("and used");
}

async fn bits_and_channels_are_said_to_be_missing() {
    let server = require!(Memcached::start(64));
    let cache = opened(&format!("memcached://{}", server.place())).await;
    refused(cache.bits().map(drop), Unsupported, "redis://");
    refused(cache.channels().map(drop), Unsupported, "redis://");
}
