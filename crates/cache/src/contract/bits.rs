//! Values as rows of bits.

use std::sync::Arc;
use std::time::Duration;

use muster_model::ErrorKind::TooLarge;
use muster_runtime::clock::sleep;

use super::bench::{Bench, LONG, ensure, ensure_kind};
use super::case::{Outcome, list};

list!(CASES, Bits, false:
    a_bit_is_set_and_tells_what_it_was,
    ones_are_counted,
    bits_are_bytes_from_the_highest_on,
    a_bit_past_64_mib_is_refused,
    setting_a_bit_counts_the_lifetime_anew,
);

list!(RACING, Bits, true: no_bit_is_lost);

async fn a_bit_is_set_and_tells_what_it_was(bench: Bench) -> Outcome {
    let bits = bench.cache.bits()?;
    ensure(!bits.bit("row", 5).await?, "a missing value is all zeros")?;
    ensure(!bits.set_bit("row", 5, true, LONG).await?, "it was 0")?;
    ensure(bits.set_bit("row", 5, true, LONG).await?, "then it was 1")?;
    ensure(bits.bit("row", 5).await?, "and is")?;
    ensure(bits.set_bit("row", 5, false, LONG).await?, "it was 1")?;
    ensure(!bits.bit("row", 5).await?, "and is 0 again")?;
    ensure(!bits.bit("row", u64::MAX).await?, "what is past the end is 0")
}

async fn ones_are_counted(bench: Bench) -> Outcome {
    let bits = bench.cache.bits()?;
    ensure(bits.count_bits("row").await? == 0, "a missing value has none")?;
    for at in [0, 7, 8, 1000, 1000, 1_000_000] {
        bits.set_bit("row", at, true, LONG).await?;
    }
    bits.set_bit("row", 7, false, LONG).await?;
    ensure(bits.count_bits("row").await? == 4, "each once")?;
    bench.set("text", "\u{7f}a").await?;
    ensure(bits.count_bits("text").await? == 10, "of any value")
}

async fn bits_are_bytes_from_the_highest_on(bench: Bench) -> Outcome {
    let bits = bench.cache.bits()?;
    for at in [1, 2, 7, 8 + 1, 8 + 2, 8 + 6] {
        bits.set_bit("row", at, true, LONG).await?;
    }
    bench.holds("row", Some("ab")).await?;
    bench.cache.append("row", 2, "b".into(), LONG).await?;
    bits.set_bit("row", 8 + 7, true, LONG).await?;
    bench.holds("row", Some("acb")).await?;
    bits.set_bit("row", 8 * 4 + 2, true, LONG).await?;
    bench.holds("row", Some("acb\0 ")).await?;
    bench.cache.increment("count", 12, LONG).await?;
    bits.set_bit("count", 8 + 7, true, LONG).await?;
    ensure(
        bench.cache.increment("count", 1, LONG).await? == 14,
        "digits stay digits",
    )
}

async fn a_bit_past_64_mib_is_refused(bench: Bench) -> Outcome {
    let bits = bench.cache.bits()?;
    let last = (64 << 20) * 8 - 1;
    ensure_kind(bits.set_bit("row", last + 1, true, LONG).await, TooLarge)?;
    ensure_kind(bits.set_bit("row", u64::MAX, true, LONG).await, TooLarge)?;
    bench.holds("row", None).await?;
    bits.set_bit("row", last, true, LONG).await?;
    ensure(bits.count_bits("row").await? == 1, "the last one is not")
}

async fn setting_a_bit_counts_the_lifetime_anew(bench: Bench) -> Outcome {
    let bits = bench.cache.bits()?;
    let (short, step) = (Duration::from_secs(4), Duration::from_millis(2500));
    bits.set_bit("row", 1, true, short).await?;
    for at in 2..4 {
        sleep(step).await;
        bits.set_bit("row", at, true, short).await?;
    }
    ensure(bits.count_bits("row").await? == 3, "it lives on")?;
    bench.goes("row").await
}

async fn no_bit_is_lost(bench: Bench) -> Outcome {
    for racer in 0..64u64 {
        let cache = Arc::clone(&bench.cache);
        bench.tasks.spawn("racer", async move {
            for round in 0..50 {
                let set = match cache.bits() {
                    Ok(bits) => bits.set_bit("row", round * 64 + racer, true, LONG).await,
                    Err(error) => Err(error),
                };
                assert!(set.is_ok_and(|before| !before));
            }
        });
    }
    bench.tasks_end().await?;
    ensure(
        bench.cache.bits()?.count_bits("row").await? == 3200,
        "each is there",
    )
}
