//! What happens when it does not all fit.

use muster_model::ErrorKind;

use super::bench::{Bench, LONG, ensure, pattern};
use super::case::{Outcome, list};

list!(RECENCY, Recency, false:
    what_does_not_fit_pushes_the_oldest_out,
    what_is_used_stays_longer,
);

list!(CASES, Small, false:
    a_value_under_pressure_is_whole_or_gone,
    a_growing_value_under_pressure_never_has_a_hole,
);

const SIZE: usize = 50_000;

fn key(number: usize) -> String {
    format!("key.{number}")
}

async fn what_does_not_fit_pushes_the_oldest_out(bench: Bench) -> Outcome {
    let count = bench.limit / SIZE * 3;
    for number in 0..count {
        bench
            .cache
            .set(&key(number), pattern(number, 0, SIZE), LONG)
            .await?;
        ensure(
            bench.cache.get(&key(number)).await?.is_some(),
            "the newest is there",
        )?;
    }
    let keys: Vec<String> = (0..count).map(key).collect();
    let values = bench.cache.get_many(&keys).await?;
    let held: usize = values.iter().flatten().map(|value| value.len()).sum();
    ensure(held <= bench.limit, "it holds no more than its limit")?;
    ensure(held >= bench.limit / 4, "it uses what it has")?;
    ensure(values[0].is_none(), "the oldest went")
}

async fn what_is_used_stays_longer(bench: Bench) -> Outcome {
    bench.cache.set("warm", pattern(0, 0, SIZE), LONG).await?;
    bench.cache.set("cold", pattern(0, 0, SIZE), LONG).await?;
    for number in 0..bench.limit / SIZE * 3 {
        bench
            .cache
            .set(&key(number), pattern(number, 0, SIZE), LONG)
            .await?;
        ensure(
            bench.cache.get("warm").await?.is_some(),
            "what is read all the time stays",
        )?;
    }
    bench.holds("cold", None).await
}

async fn a_value_under_pressure_is_whole_or_gone(bench: Bench) -> Outcome {
    let count = bench.limit / SIZE * 2;
    for round in 0..4 {
        for number in 0..count {
            bench
                .cache
                .set(&key(number), pattern(number, 0, SIZE - round), LONG)
                .await?;
            let other = number * 7 % count;
            if let Some(value) = bench.cache.get(&key(other)).await? {
                let is_whole = (0..=round).any(|round| value == pattern(other, 0, SIZE - round));
                ensure(is_whole, "it is as one of the calls set it")?;
            }
        }
    }
    Ok(())
}

async fn a_growing_value_under_pressure_never_has_a_hole(bench: Bench) -> Outcome {
    let mut conflicts = 0;
    let mut ends = [0usize; 8];
    for round in 0..bench.limit / 1000 {
        let log = round * 5 % ends.len();
        let name = format!("log.{log}");
        let piece = pattern(log, ends[log], 7000);
        match bench.cache.append(&name, ends[log] as u64, piece, LONG).await {
            Ok(end) => ends[log] = usize::try_from(end)?,
            Err(error) if error.kind == ErrorKind::Conflict => {
                conflicts += 1;
                ends[log] = 0;
                bench.holds(&name, None).await?;
            }
            // As much as this engine takes of one value: begin anew.
            Err(error) if error.kind == ErrorKind::TooLarge => {
                bench.cache.delete(&name).await?;
                ends[log] = 0;
            }
            Err(error) => return Err(error.into()),
        }
        let from = ends[log] / 3;
        if let Some(part) = bench.cache.range(&name, from as u64, 10_000).await? {
            let expected = pattern(log, from, (ends[log] - from).min(10_000));
            ensure(part == expected, "what is there is there from the beginning")?;
        }
    }
    ensure(conflicts > 0, "the writer is told that its value was lost")
}
