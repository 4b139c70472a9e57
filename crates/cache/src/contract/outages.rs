//! The engine goes away and comes back. Work goes on without it, so that this must cost little and be said once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use muster_runtime::clock::{monotonic, sleep};
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

use super::bench::{Bench, Engine, LONG, ensure};
use super::case::{Outcome, list};
use crate::error::Error;

list!(CASES, Outages, false:
    what_was_kept_is_gone_after_a_restart_and_calls_work_again,
    after_a_flush_everything_is_missing_and_calls_work,
    while_it_is_gone_calls_fail_at_once,
    it_is_said_once_that_it_is_gone_and_once_that_it_is_back,
);

fn engine(bench: &Bench) -> Result<Arc<dyn Engine>, &'static str> {
    bench.engine.clone().ok_or("there is no engine to kill")
}

async fn what_was_kept_is_gone_after_a_restart_and_calls_work_again(bench: Bench) -> Outcome {
    let engine = engine(&bench)?;
    bench.set("text", "here").await?;
    bench.cache.append("log", 0, "begin".into(), LONG).await?;
    bench.cache.increment("count", 7, LONG).await?;
    engine.kill();
    engine.start_again();
    bench.answers().await?;
    for key in ["text", "log", "count"] {
        bench.holds(key, None).await?;
    }
    // The writer of a log hears of it and can begin anew.
    let lost = bench.cache.append("log", 5, "end".into(), LONG).await;
    super::bench::ensure_kind(lost, muster_model::ErrorKind::Conflict)?;
    bench.cache.append("log", 0, "anew".into(), LONG).await?;
    bench.holds("log", Some("anew")).await?;
    ensure(
        bench.cache.increment("count", 1, LONG).await? == 1,
        "counters begin anew",
    )?;
    bench.set("text", "again").await?;
    bench.holds("text", Some("again")).await
}

async fn after_a_flush_everything_is_missing_and_calls_work(bench: Bench) -> Outcome {
    bench.set("text", "here").await?;
    bench.cache.append("log", 0, "begin".into(), LONG).await?;
    engine(&bench)?.flush();
    bench.holds("text", None).await?;
    bench.holds("log", None).await?;
    super::bench::ensure_kind(
        bench.cache.append("log", 5, "end".into(), LONG).await,
        muster_model::ErrorKind::Conflict,
    )?;
    ensure(
        bench.cache.add("text", "new".into(), LONG).await?,
        "there is room for a new one",
    )?;
    bench.holds("text", Some("new")).await
}

/// Checks that a call failed in a way that may pass.
fn fails<T>(answer: Result<T, Error>) -> Outcome {
    match answer {
        Err(error) if error.kind.may_pass() => Ok(()),
        Err(error) => Err(format!("it failed as '{}'", error.kind).into()),
        Ok(_) => Err("it did not fail".into()),
    }
}

async fn while_it_is_gone_calls_fail_at_once(bench: Bench) -> Outcome {
    let engine = engine(&bench)?;
    let cache = &bench.cache;
    bench.set("key", "value").await?;
    engine.kill();
    // Whoever meets it first waits for no longer than a call may take.
    fails(cache.get("key").await)?;
    let start = monotonic();
    for number in 0..200 {
        let key = format!("key.{number}");
        fails(cache.get(&key).await)?;
        fails(cache.get_many(std::slice::from_ref(&key)).await)?;
        fails(cache.set(&key, "v".into(), LONG).await)?;
        fails(cache.add(&key, "v".into(), LONG).await)?;
        fails(cache.increment(&key, 1, LONG).await)?;
        fails(cache.append(&key, 0, "v".into(), LONG).await)?;
        fails(cache.range(&key, 0, 1).await)?;
        fails(cache.touch(&key, LONG).await)?;
        fails(cache.delete(&key).await)?;
    }
    let took = monotonic().saturating_sub(start);
    ensure(
        took < Duration::from_secs(2),
        "1800 calls cost less than one that waits",
    )?;
    fails(cache.ping().await)?;
    engine.start_again();
    // It is asked by itself, and within its longest pause.
    let start = monotonic();
    bench.answers().await?;
    ensure(
        monotonic().saturating_sub(start) < Duration::from_secs(8),
        "it is soon used again",
    )?;
    bench.holds("key", None).await
}

async fn it_is_said_once_that_it_is_gone_and_once_that_it_is_back(bench: Bench) -> Outcome {
    let engine = engine(&bench)?;
    let said = Log::default();
    // Where there is a single one, a line that is first reached on a thread without it counts as one nobody wants.
    let _other = Dispatch::new(Log::default());
    let all_along = async {
        for number in 0..50 {
            bench.set(&format!("key.{number}"), "value").await?;
        }
        engine.kill();
        for round in 0..50 {
            fails(bench.cache.get(&format!("key.{round}")).await)?;
            fails(bench.cache.increment(&format!("key.{round}"), 1, LONG).await)?;
            sleep(Duration::from_millis(20)).await;
        }
        engine.start_again();
        // Every server of several is asked.
        for number in 0..50 {
            let set = async {
                while bench.set(&format!("key.{number}"), "value").await.is_err() {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            muster_runtime::clock::deadline(Duration::from_secs(20), set)
                .await
                .map_err(|_| "it is not used again")?;
        }
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    };
    all_along.with_subscriber(Dispatch::new(said.clone())).await?;
    let lines = said.lines.lock().clone();
    let of = |words: &str| -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, cache) in lines.iter().filter(|(message, _)| message.contains(words)) {
            *counts.entry(cache.clone()).or_default() += 1;
        }
        counts
    };
    let (away, back) = (of("the cache is away"), of("the cache is back"));
    ensure(!away.is_empty(), "it is said")?;
    ensure(away == back, "what is away comes back")?;
    if away.values().any(|count| *count != 1) || lines.len() != away.len() + back.len() {
        return Err(format!("once each, and nothing else: {lines:?}").into());
    }
    Ok(())
}

/// Keeps what people are told: the message, and of which cache.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<(String, String)>>>,
}

#[derive(Default)]
struct Line {
    message: String,
    cache: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "cache" => self.cache = format!("{value:?}"),
            _ => {}
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
        self.lines.lock().push((line.message, line.cache));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
