//! Values that grow, and reading parts of them.

use bytes::Bytes;
use muster_model::ErrorKind::{Conflict, TooLarge};

use super::bench::{Bench, LONG, ensure, ensure_kind, pattern};
use super::case::{Outcome, list};

list!(CASES, Nothing, false:
    appending_returns_the_new_length,
    appending_elsewhere_than_at_the_end_is_a_conflict,
    appending_to_what_is_gone_is_a_conflict,
    anything_can_be_appended_to,
    a_range_is_cut_at_the_end_of_the_value,
    a_range_goes_across_pieces_of_every_size,
    a_follower_sees_every_byte_once,
    a_value_grows_to_64_mib_and_no_further,
);

async fn appending_returns_the_new_length(bench: Bench) -> Outcome {
    ensure(
        bench.cache.append("log", 0, "one".into(), LONG).await? == 3,
        "a missing one begins empty",
    )?;
    ensure(
        bench.cache.append("log", 3, Bytes::new(), LONG).await? == 3,
        "nothing adds nothing",
    )?;
    ensure(
        bench.cache.append("log", 3, "two".into(), LONG).await? == 6,
        "it returns the length",
    )?;
    bench.holds("log", Some("onetwo")).await?;
    ensure(
        bench.cache.append("empty", 0, Bytes::new(), LONG).await? == 0,
        "an empty value is one",
    )?;
    bench.holds("empty", Some("")).await
}

async fn appending_elsewhere_than_at_the_end_is_a_conflict(bench: Bench) -> Outcome {
    bench.cache.append("log", 0, "12345".into(), LONG).await?;
    for at in [0, 4, 6, u64::MAX] {
        let answer = bench.cache.append("log", at, "x".into(), LONG).await;
        let far = at == u64::MAX && answer.as_ref().is_err_and(|error| error.kind == TooLarge);
        if !far {
            ensure_kind(answer, Conflict)?;
        }
        bench.holds("log", Some("12345")).await?;
    }
    Ok(())
}

async fn appending_to_what_is_gone_is_a_conflict(bench: Bench) -> Outcome {
    ensure_kind(bench.cache.append("log", 5, "x".into(), LONG).await, Conflict)?;
    bench.holds("log", None).await?;
    bench.cache.append("log", 0, "12345".into(), LONG).await?;
    bench.cache.delete("log").await?;
    ensure_kind(bench.cache.append("log", 5, "x".into(), LONG).await, Conflict)?;
    bench.holds("log", None).await
}

async fn anything_can_be_appended_to(bench: Bench) -> Outcome {
    bench.set("text", "be").await?;
    bench.cache.append("text", 2, "gun".into(), LONG).await?;
    bench.holds("text", Some("begun")).await?;
    bench.cache.increment("count", -12, LONG).await?;
    bench.cache.append("count", 3, "3".into(), LONG).await?;
    bench.holds("count", Some("-123")).await
}

async fn a_range_is_cut_at_the_end_of_the_value(bench: Bench) -> Outcome {
    bench.set("key", "0123456789").await?;
    for (from, most, expected) in [
        (0, 10, "0123456789"),
        (0, 4, "0123"),
        (3, 4, "3456"),
        (8, 4, "89"),
        (9, usize::MAX, "9"),
        (0, usize::MAX, "0123456789"),
        (10, 4, ""),
        (11, 4, ""),
        (u64::MAX, 4, ""),
        (u64::MAX, usize::MAX, ""),
        (4, 0, ""),
        (0, 0, ""),
    ] {
        let part = bench.cache.range("key", from, most).await?;
        if part.as_deref() != Some(expected.as_bytes()) {
            return Err(format!("{most} from {from} is {part:?}, not {expected:?}").into());
        }
    }
    ensure(
        bench.cache.range("missing", 0, 0).await?.is_none(),
        "a missing value has no part",
    )
}

async fn a_range_goes_across_pieces_of_every_size(bench: Bench) -> Outcome {
    let mut len = 0;
    for size in [1, 40_000, 3, 16_384, 16_383, 100, 65_536, 70_000, 5, 200_000] {
        bench
            .cache
            .append("log", len as u64, pattern(3, len, size), LONG)
            .await?;
        len += size;
    }
    let whole = bench.cache.get("log").await?;
    ensure(whole == Some(pattern(3, 0, len)), "the whole is its pieces")?;
    for from in (0..len).step_by(7001) {
        for most in [1, 100, 50_000] {
            let part = bench.cache.range("log", from as u64, most).await?;
            let expected = pattern(3, from, most.min(len - from));
            ensure(
                part == Some(expected),
                "a part is as long as it can be, and in its place",
            )?;
        }
    }
    Ok(())
}

async fn a_follower_sees_every_byte_once(bench: Bench) -> Outcome {
    let (mut len, mut read) = (0, 0);
    for round in 0..2000 {
        let size = round * 37 % 300;
        bench
            .cache
            .append("log", len as u64, pattern(5, len, size), LONG)
            .await?;
        len += size;
        if round % 3 == 0 {
            let news = bench.cache.range("log", read as u64, 1 << 20).await?;
            let news = news.ok_or("the value is gone")?;
            ensure(
                news == pattern(5, read, len - read),
                "what is new follows what was read",
            )?;
            read += news.len();
        }
    }
    Ok(())
}

async fn a_value_grows_to_64_mib_and_no_further(bench: Bench) -> Outcome {
    let most = 64 << 20;
    let piece = pattern(7, 0, 1 << 20);
    let mut len = 0;
    while len < most {
        len = bench.cache.append("log", len, piece.clone(), LONG).await?;
    }
    ensure_kind(bench.cache.append("log", len, "!".into(), LONG).await, TooLarge)?;
    let last = bench.cache.range("log", most - 100, 1000).await?;
    ensure(
        last == Some(piece.slice(piece.len() - 100..)),
        "what was there stays whole",
    )?;
    let whole = bench.cache.get("log").await?;
    ensure(
        whole.is_some_and(|whole| whole.len() as u64 == most),
        "and can be read at once",
    )
}
