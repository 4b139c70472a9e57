//! Counters.

use muster_model::ErrorKind::Invalid;

use super::bench::{Bench, LONG, ensure, ensure_kind};
use super::case::{Outcome, list};

list!(CASES, Nothing, false:
    a_missing_counter_begins_at_zero,
    a_counter_adds_and_subtracts,
    a_counter_reads_as_decimal_digits,
    digits_that_were_set_count,
    what_is_no_counter_is_refused_and_stays,
    a_counter_that_would_overflow_is_refused_and_stays,
);

async fn a_missing_counter_begins_at_zero(bench: Bench) -> Outcome {
    ensure(bench.cache.increment("up", 3, LONG).await? == 3, "from 0 up")?;
    ensure(
        bench.cache.increment("down", -3, LONG).await? == -3,
        "from 0 down",
    )?;
    ensure(
        bench.cache.increment("still", 0, LONG).await? == 0,
        "adding nothing makes one too",
    )?;
    bench.holds("still", Some("0")).await
}

async fn a_counter_adds_and_subtracts(bench: Bench) -> Outcome {
    let mut sum = 0;
    for by in [1, 10, -5, -20, 0, 1_000_000_000_000, -7] {
        sum += by;
        ensure(
            bench.cache.increment("key", by, LONG).await? == sum,
            "it returns the sum",
        )?;
    }
    Ok(())
}

async fn a_counter_reads_as_decimal_digits(bench: Bench) -> Outcome {
    for (by, text) in [(9, "9"), (1, "10"), (-1, "9"), (-9, "0"), (-12, "-12")] {
        bench.cache.increment("key", by, LONG).await?;
        bench.holds("key", Some(text)).await?;
    }
    let part = bench.cache.range("key", 1, 1).await?;
    ensure(part.as_deref() == Some(b"1"), "and so do its parts")
}

async fn digits_that_were_set_count(bench: Bench) -> Outcome {
    bench.set("key", "-41").await?;
    ensure(
        bench.cache.increment("key", 83, LONG).await? == 42,
        "set digits are a counter",
    )?;
    bench.cache.append("log", 0, "12".into(), LONG).await?;
    ensure(
        bench.cache.increment("log", 1, LONG).await? == 13,
        "and so are appended ones",
    )
}

async fn what_is_no_counter_is_refused_and_stays(bench: Bench) -> Outcome {
    for text in [
        "",
        "one",
        "1.5",
        " 1",
        "1 ",
        "0x10",
        "99999999999999999999",
        "1\n",
    ] {
        bench.set("key", text).await?;
        ensure_kind(bench.cache.increment("key", 1, LONG).await, Invalid)
            .map_err(|error| format!("{text:?}: {error}"))?;
        bench.holds("key", Some(text)).await?;
    }
    Ok(())
}

async fn a_counter_that_would_overflow_is_refused_and_stays(bench: Bench) -> Outcome {
    let most = i64::MAX.to_string();
    ensure(
        bench.cache.increment("key", i64::MAX, LONG).await? == i64::MAX,
        "it holds 63 bits",
    )?;
    ensure_kind(bench.cache.increment("key", 1, LONG).await, Invalid)?;
    bench.holds("key", Some(&most)).await?;
    ensure(
        bench.cache.increment("low", i64::MIN, LONG).await? == i64::MIN,
        "and their negative",
    )?;
    ensure_kind(bench.cache.increment("low", -1, LONG).await, Invalid)
}
