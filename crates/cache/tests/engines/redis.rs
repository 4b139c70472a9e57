//! Redis alone.

use std::time::{Duration, Instant};

use bytes::Bytes;
use muster_cache::open;
use muster_model::ErrorKind::{Denied, Invalid, OutcomeUnknown, TooLarge, Unavailable};
use muster_runtime::clock::sleep;
use muster_testkit::{Certificates, Redis, RedisCluster, RedisSentinel, require};

use super::{LONG, alone, opened, refused};

alone!("redis":
    a_place_where_nobody_listens_is_named_and_used_as_soon_as_it_is_there,
    wrong_logins_are_told,
    the_documented_user_may_do_everything_that_is_asked,
    what_a_user_may_not_do_is_named,
    the_server_s_certificate_has_to_be_trusted,
    a_client_s_certificate_is_shown,
    a_full_memory_that_evicts_nothing_is_told,
    a_server_that_stands_still_costs_one_wait,
    a_unix_socket_is_reached,
    another_database_is_another_world,
    scripts_are_sent_again_where_they_were_forgotten,
    lifetimes_go_to_the_millisecond,
    a_key_of_another_program_is_told,
    many_calls_at_once_share_one_connection,
    a_cluster_is_told_from_a_single_server,
    behind_sentinel_the_next_primary_is_found,
    an_unknown_service_of_sentinel_is_told,
);

/// The user that the documentation describes.
fn documented_user(name: &str, prefix: &str) -> String {
    let page = include_str!("../../../../docs/operations/cache.md");
    let line = page
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("user muster on "));
    let line = line.expect("the documentation has the user");
    line.replace("user muster ", &format!("user {name} "))
        .replace("PASSWORD", "hunter2")
        .replace("muster:", prefix)
}

async fn a_place_where_nobody_listens_is_named_and_used_as_soon_as_it_is_there() {
    let mut redis = require!(Redis::start());
    redis.stop().expect("it stops");
    let cache = opened(&format!("redis://:hunter2@127.0.0.1:{}", redis.port())).await;
    refused(
        cache.ping().await,
        Unavailable,
        &format!("nobody listens at Redis at 127.0.0.1:{}", redis.port()),
    );
    let cache = opened(&redis.url()).await;
    redis.start_again().expect("it starts");
    while cache.get("key").await.is_err() {
        sleep(Duration::from_millis(20)).await;
    }
    let none = opened("redis://no-such-host.invalid").await;
    refused(none.ping().await, Unavailable, "no-such-host.invalid");
}

async fn wrong_logins_are_told() {
    let redis = require!(Redis::with(&[
        "requirepass sesame",
        "user me on >sesame ~* &* +@all"
    ]));
    let place = format!("127.0.0.1:{}", redis.port());
    refused(
        open(&format!("redis://{place}")).await,
        Denied,
        "wants a password",
    );
    refused(
        open(&format!("redis://:hunter2@{place}")).await,
        Denied,
        "refuses the user or the password",
    );
    refused(
        open(&format!("redis://me:hunter2@{place}")).await,
        Denied,
        "refuses the user or the password",
    );
    refused(
        open(&format!("redis://nobody:hunter2@{place}")).await,
        Denied,
        "refuses the user or the password",
    );
    for login in [":sesame", "me:sesame", "me:s%65same"] {
        opened(&format!("redis://{login}@{place}"))
            .await
            .ping()
            .await
            .expect("it is let in");
    }
    let open_one = require!(Redis::start());
    let url = format!("redis://:hunter2@127.0.0.1:{}", open_one.port());
    refused(
        open(&url).await,
        Denied,
        "where its default user has none, write none",
    );
}

async fn the_documented_user_may_do_everything_that_is_asked() {
    let redis = require!(Redis::with(&[
        "user default off",
        &documented_user("ops", "own.")
    ]));
    let cluster = require!(RedisCluster::start());
    for node in &cluster.nodes {
        let line = documented_user("ops", "own.");
        let words: Vec<&str> = line.split(' ').skip(2).collect();
        node.ask(&[&["acl", "setuser", "ops"], words.as_slice()].concat())
            .expect("a user");
        node.ask(&["acl", "setuser", "default", "resetpass", "-@all"])
            .expect("closed");
    }
    let single = format!("redis://ops:hunter2@127.0.0.1:{}/1?prefix=own.", redis.port());
    let several = cluster.url().replace("//", "//ops:hunter2@") + "?prefix=own.";
    for url in [single, several] {
        let cache = opened(&url).await;
        cache.ping().await.expect("ping");
        cache.set("key", "value".into(), LONG).await.expect("set");
        assert_eq!(cache.get("key").await.expect("get"), Some("value".into()));
        let keys: Vec<String> = (0..20).map(|number| format!("key.{number}")).collect();
        cache.get_many(&keys).await.expect("get many");
        assert!(cache.add("new", "value".into(), LONG).await.expect("add"));
        assert_eq!(cache.increment("count", 2, LONG).await.expect("increment"), 2);
        assert_eq!(
            cache.append("log", 0, "ab".into(), LONG).await.expect("append"),
            2
        );
        assert_eq!(cache.range("log", 1, 5).await.expect("range"), Some("b".into()));
        assert_eq!(cache.range("log", 1, 0).await.expect("range"), Some(Bytes::new()));
        assert!(cache.touch("log", LONG).await.expect("touch"));
        assert!(cache.delete("log").await.expect("delete"));
        let bits = cache.bits().expect("bits");
        bits.set_bit("row", 3, true, LONG).await.expect("set a bit");
        assert!(bits.bit("row", 3).await.expect("a bit"));
        assert_eq!(bits.count_bits("row").await.expect("a count"), 1);
        let channels = cache.channels().expect("channels");
        let mut listener = channels.subscribe("news").await.expect("subscribe");
        channels.publish("news", "hello".into()).await.expect("publish");
        assert_eq!(listener.next().await, muster_cache::News::Message("hello".into()));
    }
}

async fn what_a_user_may_not_do_is_named() {
    let less = documented_user("less", "muster:")
        .replace("+evalsha ", "")
        .replace("+eval ", "");
    let other = documented_user("other", "theirs:");
    let redis = require!(Redis::with(&[&less, &other]));
    let place = format!("127.0.0.1:{}", redis.port());
    let cache = opened(&format!("redis://less:hunter2@{place}")).await;
    cache
        .set("key", "value".into(), LONG)
        .await
        .expect("that it may do");
    refused(
        cache.increment("count", 1, LONG).await,
        Denied,
        "ACL SETUSER less +evalsha",
    );
    let cache = opened(&format!("redis://other:hunter2@{place}")).await;
    refused(cache.get("key").await, Denied, "ACL SETUSER other ~muster:*");
    let channels = cache.channels().expect("channels");
    refused(
        channels.publish("news", "m".into()).await,
        Denied,
        "ACL SETUSER other &muster:*",
    );
    refused(
        channels.subscribe("news").await,
        Denied,
        "ACL SETUSER other &muster:*",
    );
    // What is refused does not take the rest for away.
    let cache = opened(&format!("redis://other:hunter2@{place}?prefix=theirs:")).await;
    cache
        .set("key", "value".into(), LONG)
        .await
        .expect("that it may do");
}

async fn the_server_s_certificate_has_to_be_trusted() {
    let certificates = require!(Certificates::make());
    let redis = require!(Redis::with_tls(&certificates, false));
    let url = redis.url();
    let ca = certificates.path("ca.crt").display().to_string();
    let other = certificates.path("other.crt").display().to_string();
    refused(open(&url).await, Denied, "by ca=");
    refused(open(&format!("{url}?ca={other}")).await, Denied, "by ca=");
    let cache = opened(&format!("{url}?ca={ca}")).await;
    cache.set("key", "value".into(), LONG).await.expect("set");
    let mut listener = cache
        .channels()
        .expect("channels")
        .subscribe("news")
        .await
        .expect("a listener");
    cache
        .channels()
        .expect("channels")
        .publish("news", "m".into())
        .await
        .expect("published");
    assert_eq!(listener.next().await, muster_cache::News::Message("m".into()));
    let key = certificates.path("ca.key").display().to_string();
    refused(
        open(&format!("{url}?ca={key}&cert={key}&key={ca}")).await,
        Invalid,
        "no PEM file",
    );
    let plain = require!(Redis::start());
    let wrong = plain.url().replace("redis:", "rediss:");
    let cache = opened(&format!("{wrong}?ca={ca}&timeout=500ms")).await;
    refused(cache.ping().await, Unavailable, "Redis at");
}

async fn a_client_s_certificate_is_shown() {
    let certificates = require!(Certificates::make());
    let redis = require!(Redis::with_tls(&certificates, true));
    let path = |name| certificates.path(name).display().to_string();
    let url = format!("{}?ca={}", redis.url(), path("ca.crt"));
    // What it says of our certificate comes late in TLS 1.3, and is lost where its hanging up overtakes it (a reset drops
    // what was not read yet): then it is one that hangs up, and what may be right is said all the same.
    let answer = open(&url).await;
    let kind = match &answer {
        Err(error) if error.kind == Unavailable => Unavailable,
        _ => Denied,
    };
    refused(answer, kind, "cert= and key=");
    let cache = opened(&format!(
        "{url}&cert={}&key={}",
        path("client.crt"),
        path("client.key")
    ))
    .await;
    cache.set("key", "value".into(), LONG).await.expect("set");
}

async fn a_full_memory_that_evicts_nothing_is_told() {
    let redis = require!(Redis::with(&["maxmemory 3mb", "maxmemory-policy noeviction"]));
    let cache = opened(&redis.url()).await;
    let mut number = 0;
    let error = loop {
        let value = Bytes::from(vec![7; 100_000]);
        match cache.set(&format!("key.{number}"), value, LONG).await {
            Ok(()) => number += 1,
            refusal => break refusal,
        }
        assert!(number < 100, "it fills up");
    };
    refused(error, TooLarge, "set maxmemory-policy allkeys-lru");
    refused(
        cache.append("log", 0, Bytes::from(vec![7; 100_000]), LONG).await,
        TooLarge,
        "allkeys-lru",
    );
    assert!(cache.get("key.0").await.expect("reading goes on").is_some());
}

async fn a_server_that_stands_still_costs_one_wait() {
    let redis = require!(Redis::start());
    let cache = opened(&format!("{}?timeout=300ms", redis.url())).await;
    cache.set("key", "value".into(), LONG).await.expect("set");
    redis.stand_still();
    let start = Instant::now();
    refused(
        cache.increment("count", 1, LONG).await,
        OutcomeUnknown,
        "did not answer",
    );
    assert!(start.elapsed() < Duration::from_secs(2));
    let start = Instant::now();
    for _ in 0..1000 {
        refused(cache.get("key").await, Unavailable, "Redis at");
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    redis.go_on();
    while cache.get("key").await.is_err() {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(cache.get("key").await.expect("it is there"), Some("value".into()));
}

async fn a_unix_socket_is_reached() {
    let redis = require!(Redis::start());
    let cache = opened(&format!("redis+unix://{}/socket?db=3", redis.dir().display())).await;
    cache.set("key", "value".into(), LONG).await.expect("set");
    assert_eq!(
        redis.ask(&["-n", "3", "get", "muster:key"]).expect("read"),
        "value\n"
    );
}

async fn another_database_is_another_world() {
    let redis = require!(Redis::start());
    let one = opened(&format!("{}/1", redis.url())).await;
    let two = opened(&format!("{}/2", redis.url())).await;
    one.set("key", "value".into(), LONG).await.expect("set");
    assert_eq!(two.get("key").await.expect("read"), None);
    refused(
        open(&format!("{}/99", redis.url())).await,
        Invalid,
        "no database 99",
    );
}

async fn scripts_are_sent_again_where_they_were_forgotten() {
    let redis = require!(Redis::start());
    let cache = opened(&redis.url()).await;
    for count in 1..4 {
        assert_eq!(cache.increment("count", 1, LONG).await.expect("counted"), count);
        redis.ask(&["script", "flush"]).expect("forgotten");
    }
}

async fn lifetimes_go_to_the_millisecond() {
    let redis = require!(Redis::start());
    let cache = opened(&redis.url()).await;
    cache
        .set("key", "v".into(), Duration::from_micros(86_400_000_500))
        .await
        .expect("set");
    let left: u64 = redis
        .ask(&["pttl", "muster:key"])
        .expect("read")
        .trim()
        .parse()
        .expect("a number");
    assert!((86_390_000..=86_400_001).contains(&left), "{left}");
    cache.set("long", "v".into(), Duration::MAX).await.expect("set");
    let left: u64 = redis
        .ask(&["pttl", "muster:long"])
        .expect("read")
        .trim()
        .parse()
        .expect("a number");
    assert!(left <= 366 * 24 * 3600 * 1000, "{left}");
    cache
        .set("brief", "v".into(), Duration::from_millis(30))
        .await
        .expect("set");
    while cache.get("brief").await.expect("read").is_some() {
        sleep(Duration::from_millis(5)).await;
    }
}

async fn a_key_of_another_program_is_told() {
    let redis = require!(Redis::start());
    redis.ask(&["rpush", "muster:list", "1"]).expect("pushed");
    let cache = opened(&redis.url()).await;
    refused(
        cache.get("list").await,
        muster_model::ErrorKind::Conflict,
        "?prefix=",
    );
}

async fn many_calls_at_once_share_one_connection() {
    let redis = require!(Redis::start());
    let cache = opened(&redis.url()).await;
    let tasks = muster_runtime::Tasks::new();
    for number in 0..500 {
        let cache = std::sync::Arc::clone(&cache);
        tasks.spawn("caller", async move {
            let key = format!("key.{number}");
            for _ in 0..20 {
                cache.set(&key, key.clone().into(), LONG).await.expect("set");
                assert_eq!(cache.get(&key).await.expect("get"), Some(key.clone().into()));
            }
        });
    }
    while tasks.running() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(tasks.panics(), 0);
    let told = redis.ask(&["info", "stats"]).expect("told");
    let count = told
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    let count: u32 = count.expect("a line").trim().parse().expect("a number");
    // One of the cache, one of `redis-cli`, one of the look whether it answers.
    assert!(count <= 3, "{count} connections");
}

async fn a_cluster_is_told_from_a_single_server() {
    let redis = require!(Redis::start());
    let url = format!("redis+cluster://127.0.0.1:{}", redis.port());
    refused(open(&url).await, Invalid, "is no cluster: write redis://");
}

async fn behind_sentinel_the_next_primary_is_found() {
    let mut set = require!(RedisSentinel::start(3));
    let cache = opened(&set.url()).await;
    cache.set("key", "value".into(), LONG).await.expect("set");
    assert_eq!(
        cache.append("log", 0, "ab".into(), LONG).await.expect("append"),
        2
    );
    let before = set.primary().expect("a primary");
    set.fail_over().expect("another one");
    assert_ne!(set.primary().expect("a primary"), before);
    // It finds the other one by itself; what it takes it keeps.
    while cache.set("key", "new".into(), LONG).await.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(cache.get("key").await.expect("get"), Some("new".into()));
}

async fn an_unknown_service_of_sentinel_is_told() {
    let set = require!(RedisSentinel::start(1));
    opened(&set.url()).await.ping().await.expect("one Sentinel does");
    let url = set.url().replace("/main", "/other");
    refused(
        open(&url).await,
        Invalid,
        "no Sentinel watches a service of that name",
    );
}
