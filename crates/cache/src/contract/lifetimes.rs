//! How long values live. Engines may count in whole seconds, so the cases leave them a second of play.

use std::time::Duration;

use muster_model::ErrorKind::Conflict;
use muster_runtime::clock::sleep;

use super::bench::{Bench, LONG, ensure, ensure_kind};
use super::case::{Outcome, list};

list!(CASES, Nothing, false:
    a_value_lives_as_long_as_it_was_told,
    reading_does_not_prolong_a_life,
    writing_counts_the_lifetime_anew,
    setting_can_shorten_a_life,
    touch_counts_the_lifetime_anew,
    touching_nothing_tells_so,
    what_has_ended_counts_as_missing,
    add_does_not_prolong_what_is_there,
);

/// Four seconds, of which three are sure.
const SHORT: Duration = Duration::from_secs(4);
/// More than half of it.
const STEP: Duration = Duration::from_millis(2500);

async fn a_value_lives_as_long_as_it_was_told(bench: Bench) -> Outcome {
    bench.cache.set("short", "s".into(), SHORT).await?;
    ensure(bench.cache.add("added", "a".into(), SHORT).await?, "it is added")?;
    bench.cache.increment("count", 1, SHORT).await?;
    bench.cache.append("log", 0, "l".into(), SHORT).await?;
    bench.set("long", "l").await?;
    sleep(STEP).await;
    let keys = ["short", "added", "count", "log"];
    for key in keys {
        ensure(bench.cache.get(key).await?.is_some(), "it lives until then")?;
    }
    for key in keys {
        bench.goes(key).await?;
        ensure(
            bench.cache.range(key, 0, 10).await?.is_none(),
            "and is wholly gone",
        )?;
    }
    let values = bench.cache.get_many(&keys.map(str::to_owned)).await?;
    ensure(values.iter().all(Option::is_none), "for many at once too")?;
    bench.holds("long", Some("l")).await
}

async fn reading_does_not_prolong_a_life(bench: Bench) -> Outcome {
    bench.cache.set("key", "v".into(), SHORT).await?;
    // It reads the key all the time while it waits.
    bench.goes("key").await
}

async fn writing_counts_the_lifetime_anew(bench: Bench) -> Outcome {
    bench.cache.set("set", "v".into(), SHORT).await?;
    bench.cache.increment("count", 1, SHORT).await?;
    bench.cache.append("log", 0, "a".into(), SHORT).await?;
    for round in 1..3 {
        sleep(STEP).await;
        bench.cache.set("set", "v".into(), SHORT).await?;
        ensure(
            bench.cache.increment("count", 1, SHORT).await? == 1 + round,
            "the counter goes on",
        )?;
        bench
            .cache
            .append("log", round.unsigned_abs(), "a".into(), SHORT)
            .await?;
    }
    sleep(STEP).await;
    bench.holds("set", Some("v")).await?;
    bench.holds("count", Some("3")).await?;
    bench.holds("log", Some("aaa")).await?;
    for key in ["set", "count", "log"] {
        bench.goes(key).await?;
    }
    Ok(())
}

async fn setting_can_shorten_a_life(bench: Bench) -> Outcome {
    bench.set("key", "long").await?;
    bench.cache.set("key", "short".into(), SHORT).await?;
    bench.set("touched", "long").await?;
    bench.cache.touch("touched", SHORT).await?;
    bench.goes("key").await?;
    bench.goes("touched").await
}

async fn touch_counts_the_lifetime_anew(bench: Bench) -> Outcome {
    bench.cache.set("key", "v".into(), SHORT).await?;
    for _ in 0..2 {
        sleep(STEP).await;
        ensure(bench.cache.touch("key", SHORT).await?, "there is one to touch")?;
    }
    sleep(STEP).await;
    bench.holds("key", Some("v")).await?;
    bench.goes("key").await
}

async fn touching_nothing_tells_so(bench: Bench) -> Outcome {
    ensure(!bench.cache.touch("missing", LONG).await?, "there is none")?;
    bench.holds("missing", None).await
}

async fn what_has_ended_counts_as_missing(bench: Bench) -> Outcome {
    let brief = Duration::from_secs(1);
    for key in ["add", "count", "log", "late", "touch", "delete"] {
        bench.cache.set(key, "7".into(), brief).await?;
    }
    // Nothing reads them in between: it is the call itself that has to see it.
    sleep(brief * 3).await;
    ensure(
        bench.cache.add("add", "new".into(), LONG).await?,
        "add finds none",
    )?;
    ensure(
        bench.cache.increment("count", 1, LONG).await? == 1,
        "a counter begins at 0",
    )?;
    ensure(
        bench.cache.append("log", 0, "new".into(), LONG).await? == 3,
        "a log begins empty",
    )?;
    ensure_kind(bench.cache.append("late", 1, "x".into(), LONG).await, Conflict)?;
    ensure(!bench.cache.touch("touch", LONG).await?, "touch finds none")?;
    ensure(!bench.cache.delete("delete").await?, "delete finds none")
}

async fn add_does_not_prolong_what_is_there(bench: Bench) -> Outcome {
    bench.cache.set("key", "v".into(), SHORT).await?;
    ensure(!bench.cache.add("key", "w".into(), LONG).await?, "it is there")?;
    bench.goes("key").await
}
