//! Real servers behind a network that fails: stalled, slow, reset in the middle of an answer, refused, and healed; and
//! what the log is told of it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use muster_cache::{Cache, Error, open};
use muster_model::ErrorKind::{OutcomeUnknown, TooLarge, Unavailable, Unsupported};
use muster_runtime::clock::{deadline, sleep};
use muster_testkit::proxy::{Proxy, Way};
use muster_testkit::{Memcached, Redis, Scripted, require};
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

use super::{LONG, alone, opened, refused};

alone!("network":
    a_stalled_redis_costs_one_deadline_and_is_passed_over_with_one_warning,
    a_stalled_memcached_costs_one_deadline_and_is_passed_over_with_one_warning,
    a_redis_that_is_cut_off_in_the_middle_gives_no_half_value,
    a_memcached_that_is_cut_off_in_the_middle_gives_no_half_value,
    a_slow_redis_is_no_lost_one,
    a_slow_memcached_is_no_lost_one,
    a_redis_that_refuses_is_used_again_when_it_does_not,
    a_memcached_that_refuses_is_used_again_when_it_does_not,
    a_full_redis_is_passed_over_with_one_warning,
    versions_that_are_too_old_are_named,
);

const PATIENCE: Duration = Duration::from_secs(20);
/// How long a call may take here.
const TIMEOUT: Duration = Duration::from_millis(700);

/// Opens a server behind a proxy.
async fn behind(scheme: &str, server: u16) -> (Arc<Proxy>, Arc<dyn Cache>) {
    let proxy = Arc::new(Proxy::before(server).expect("a proxy"));
    let url = format!("{scheme}://127.0.0.1:{}?timeout=700ms", proxy.port());
    (proxy, opened(&url).await)
}

async fn works_again(cache: &Arc<dyn Cache>) {
    let set = async {
        while cache.set("again", "value".into(), LONG).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    deadline(PATIENCE, set).await.expect("it is used again");
}

fn may_pass<T: fmt::Debug>(answer: &Result<T, Error>) {
    let Err(error) = answer else {
        panic!("it did not fail: {answer:?}")
    };
    assert!(error.kind.may_pass(), "{error:?}");
}

async fn a_stalled_redis_costs_one_deadline_and_is_passed_over_with_one_warning() {
    let redis = require!(Redis::start());
    stalled("redis", redis.port()).await;
}

async fn a_stalled_memcached_costs_one_deadline_and_is_passed_over_with_one_warning() {
    let memcached = require!(Memcached::start(64));
    stalled("memcached", memcached.port()).await;
}

/// Nothing answers and nothing is closed: only the deadline tells.
async fn stalled(scheme: &str, server: u16) {
    let (proxy, cache) = behind(scheme, server).await;
    let log = Log::default();
    let all = async {
        cache.set("key", "value".into(), LONG).await.expect("set");
        proxy.stall().expect("stalled");
        // Many meet it at once: all of them wait together.
        let start = Instant::now();
        let calls = (0..50).map(|number| {
            let cache = Arc::clone(&cache);
            async move {
                if number % 2 == 0 {
                    cache.get("key").await.map(drop)
                } else {
                    cache.set("key", "value".into(), LONG).await
                }
            }
        });
        join_all(calls).await.iter().for_each(may_pass);
        let took = start.elapsed();
        assert!(took >= TIMEOUT.mul_f64(0.9), "it is waited for: {took:?}");
        assert!(took < TIMEOUT * 2, "for one deadline: {took:?}");
        // From then on one at a time asks whether it is back, and waits for a deadline; nobody else waits.
        let start = Instant::now();
        let mut slow = 0;
        let mut calls = 0;
        while start.elapsed() < TIMEOUT * 4 {
            let one = Instant::now();
            may_pass(&cache.get("key").await);
            may_pass(&cache.increment("count", 1, LONG).await);
            slow += u32::from(one.elapsed() > TIMEOUT / 2);
            calls += 1;
            sleep(Duration::from_millis(1)).await;
        }
        assert!(slow <= 4 && calls > 100, "{slow} of {calls} waited");
        proxy.heal().expect("healed");
        works_again(&cache).await;
        assert!(cache.get("again").await.expect("read").is_some());
    };
    log.keep(all).await;
    assert_eq!(log.told("the cache is away"), 1, "{log:?}");
    assert_eq!(log.told("the cache is back"), 1, "{log:?}");
    assert_eq!(log.warnings(), 1, "{log:?}");
}

async fn a_redis_that_is_cut_off_in_the_middle_gives_no_half_value() {
    let redis = require!(Redis::start());
    cut_off("redis", redis.port()).await;
}

async fn a_memcached_that_is_cut_off_in_the_middle_gives_no_half_value() {
    let memcached = require!(Memcached::start(64));
    cut_off("memcached", memcached.port()).await;
}

async fn cut_off(scheme: &str, server: u16) {
    let (proxy, cache) = behind(scheme, server).await;
    let direct = opened(&format!("{scheme}://127.0.0.1:{server}")).await;
    let old = Bytes::from(vec![b'o'; 300_000]);
    let new = Bytes::from(vec![b'n'; 300_000]);
    for bytes in [1, 17, 5_003, 100_001, 299_999] {
        direct.set("key", old.clone(), LONG).await.expect("set");
        works_again(&cache).await;
        // In the middle of an answer: what is read is whole, or it is said that it could not be read.
        proxy.cut_after(Way::ToClient, bytes).expect("ordered");
        match cache.get("key").await {
            Ok(value) => assert_eq!(value, Some(old.clone()), "{bytes}"),
            Err(error) => assert!(error.kind.may_pass(), "{error:?}"),
        }
        works_again(&cache).await;
        assert_eq!(
            cache.get("key").await.expect("read"),
            Some(old.clone()),
            "{bytes}"
        );
        // In the middle of a value: it is the old one, or none where it may be in.
        proxy.cut_after(Way::ToServer, bytes).expect("ordered");
        let set = cache.set("key", new.clone(), LONG).await;
        may_pass(&set);
        works_again(&cache).await;
        let value = direct.get("key").await.expect("read");
        assert_eq!(value, Some(old.clone()), "half a value is none ({bytes})");
        // In the middle of what it says to that: nobody knows.
        proxy.cut_after(Way::ToClient, 1).expect("ordered");
        if let Err(error) = cache.append("log", 0, new.clone(), LONG).await {
            assert!(error.kind.may_pass(), "{error:?}");
        }
        works_again(&cache).await;
        let log = direct.get("log").await.expect("read");
        assert!(
            log.is_none() || log == Some(new.clone()),
            "all of it or nothing, and once"
        );
        direct.delete("log").await.expect("deleted");
    }
    // A change whose answer is lost is not made again.
    direct.set("count", "0".into(), LONG).await.expect("set");
    let mut least = 0;
    let mut most = 0;
    for _ in 0..10 {
        works_again(&cache).await;
        proxy.cut_after(Way::ToClient, 1).expect("ordered");
        most += 1;
        match cache.increment("count", 1, LONG).await {
            Ok(_) => least += 1,
            Err(error) if error.kind == OutcomeUnknown => {}
            Err(error) => {
                assert_eq!(error.kind, Unavailable, "{error:?}");
                most -= 1;
            }
        }
        proxy.heal().expect("healed");
    }
    let count = direct.increment("count", 0, LONG).await.expect("counted");
    assert!((least..=most).contains(&count), "{least} to {most}: {count}");
}

async fn a_slow_redis_is_no_lost_one() {
    let redis = require!(Redis::start());
    slow("redis", redis.port()).await;
}

async fn a_slow_memcached_is_no_lost_one() {
    let memcached = require!(Memcached::start(64));
    slow("memcached", memcached.port()).await;
}

async fn slow(scheme: &str, server: u16) {
    let proxy = Proxy::before(server).expect("a proxy");
    let cache = opened(&format!("{scheme}://127.0.0.1:{}?timeout=5s", proxy.port())).await;
    let value = Bytes::from(vec![7; 40_000]);
    cache.set("key", value.clone(), LONG).await.expect("set");
    let arrivals = proxy.arrivals().len();
    proxy.slow(40_000).expect("slow");
    let start = Instant::now();
    assert_eq!(cache.get("key").await.expect("read"), Some(value.clone()));
    cache.set("key", value, LONG).await.expect("set");
    assert!(start.elapsed() > Duration::from_secs(1), "the link was slow");
    assert_eq!(proxy.arrivals().len(), arrivals, "and was not given up");
}

async fn a_redis_that_refuses_is_used_again_when_it_does_not() {
    let redis = require!(Redis::start());
    refuses("redis", redis.port()).await;
}

async fn a_memcached_that_refuses_is_used_again_when_it_does_not() {
    let memcached = require!(Memcached::start(64));
    refuses("memcached", memcached.port()).await;
}

async fn refuses(scheme: &str, server: u16) {
    let (proxy, cache) = behind(scheme, server).await;
    let log = Log::default();
    let all = async {
        cache.set("key", "value".into(), LONG).await.expect("set");
        proxy.refuse().expect("refused");
        proxy.cut().expect("cut");
        let start = Instant::now();
        for _ in 0..200 {
            may_pass(&cache.get("key").await);
        }
        assert!(start.elapsed() < Duration::from_secs(2), "nobody waits for it");
        refused(
            cache.ping().await,
            Unavailable,
            &format!("127.0.0.1:{}", proxy.port()),
        );
        proxy.heal().expect("healed");
        let start = Instant::now();
        works_again(&cache).await;
        // Its longest pause, and what a busy machine takes.
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert_eq!(cache.get("key").await.expect("read"), Some("value".into()));
        // Who is turned away at once comes again, after pauses.
        let before = proxy.arrivals().len();
        proxy.turn_away().expect("turned away");
        proxy.cut().expect("cut");
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            may_pass(&cache.get("key").await);
            sleep(Duration::from_millis(1)).await;
        }
        let tries = proxy.arrivals().len() - before;
        assert!((2..=20).contains(&tries), "{tries} tries in two seconds");
        proxy.heal().expect("healed");
        works_again(&cache).await;
    };
    log.keep(all).await;
    assert_eq!(log.warnings(), 1, "one that comes and goes fills no log: {log:?}");
}

async fn a_full_redis_is_passed_over_with_one_warning() {
    let redis = require!(Redis::with(&["maxmemory 3mb", "maxmemory-policy noeviction"]));
    let cache = opened(&redis.url()).await;
    let log = Log::default();
    let all = async {
        let mut refusals = 0;
        for number in 0..200 {
            let value = Bytes::from(vec![7; 100_000]);
            if let Err(error) = cache.set(&format!("key.{number}"), value, LONG).await {
                assert_eq!(error.kind, TooLarge, "{error:?}");
                refusals += 1;
            }
            // What is there is still read, at once.
            assert!(cache.get("key.0").await.expect("reading goes on").is_some());
        }
        assert!(refusals > 100, "{refusals}");
    };
    log.keep(all).await;
    assert_eq!(
        log.told("the cache refuses: work goes on without it"),
        1,
        "{log:?}"
    );
    // As it connects, the log is told of the setting that leads there.
    assert!(log.warnings() <= 2, "{log:?}");
}

async fn versions_that_are_too_old_are_named() {
    for version in ["6.0.16", "5.0.14", "2.8.4"] {
        let old = Scripted::redis(version).expect("a script");
        let url = format!("redis://127.0.0.1:{}", old.port());
        refused(
            open(&url).await,
            Unsupported,
            &format!("is Redis '{version}': 6.2 or newer"),
        );
    }
    let new_enough = Scripted::redis("6.2.0").expect("a script");
    opened(&format!("redis://127.0.0.1:{}", new_enough.port())).await;
    let with_password = Scripted::redis("6.0.16").expect("a script");
    let url = format!("redis://me:hunter2@127.0.0.1:{}", with_password.port());
    refused(open(&url).await, Unsupported, "6.2 or newer is needed");
    for version in ["1.5.22", "1.4.0"] {
        let old = Scripted::memcached(version).expect("a script");
        let url = format!("memcached://127.0.0.1:{}", old.port());
        refused(
            open(&url).await,
            Unsupported,
            &format!("is Memcached {version}: 1.6 or newer"),
        );
    }
}

/// Keeps what people are told.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Log {
    /// Does something, and keeps what is said of it.
    async fn keep(&self, work: impl Future<Output = ()>) {
        // Where there is a single one, a line that is first reached on a thread without it counts as one nobody wants.
        let _other = Dispatch::new(Self::default());
        work.with_subscriber(Dispatch::new(self.clone())).await;
    }

    fn told(&self, words: &str) -> usize {
        let lines = self.0.lock();
        lines.iter().filter(|(_, line)| line.contains(words)).count()
    }

    fn warnings(&self) -> usize {
        let lines = self.0.lock();
        lines.iter().filter(|(level, _)| *level <= Level::WARN).count()
    }
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}{}", self.0);
        } else {
            self.0 += &format!(" {}={value:?}", field.name());
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("muster_cache")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().push((*event.metadata().level(), line.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
