//! Many callers at one key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use muster_model::ErrorKind;

use super::bench::{Bench, LONG, ensure};
use super::case::{Outcome, list};

list!(CASES, Nothing, true:
    one_of_64_racers_adds,
    no_increment_is_lost,
    no_append_is_lost_or_torn,
);

const RACERS: u64 = 64;

async fn one_of_64_racers_adds(bench: Bench) -> Outcome {
    for round in 0..50 {
        let key = format!("lease.{round}");
        let winner = Arc::new(AtomicU64::new(0));
        for racer in 1..=RACERS {
            let (cache, key, winner) = (Arc::clone(&bench.cache), key.clone(), Arc::clone(&winner));
            bench.tasks.spawn("racer", async move {
                let added = cache.add(&key, racer.to_string().into(), LONG).await;
                if added.is_ok_and(|added| added) {
                    // A second winner shows in the sum.
                    winner.fetch_add(racer, Ordering::SeqCst);
                }
            });
        }
        bench.tasks_end().await?;
        let winner = winner.load(Ordering::SeqCst).to_string();
        bench.holds(&key, Some(&winner)).await?;
    }
    Ok(())
}

async fn no_increment_is_lost(bench: Bench) -> Outcome {
    for racer in 0..RACERS {
        let cache = Arc::clone(&bench.cache);
        bench.tasks.spawn("racer", async move {
            for _ in 0..50 {
                let by = if racer % 2 == 0 { 3 } else { -1 };
                assert!(cache.increment("count", by, LONG).await.is_ok());
            }
        });
    }
    bench.tasks_end().await?;
    bench.holds("count", Some("3200")).await
}

async fn no_append_is_lost_or_torn(bench: Bench) -> Outcome {
    for racer in 0..8u8 {
        let cache = Arc::clone(&bench.cache);
        bench.tasks.spawn("racer", async move {
            let mut at = 0;
            let mut left = 100;
            while left > 0 {
                let piece = Bytes::from(vec![b'a' + racer; 100]);
                match cache.append("log", at, piece, LONG).await {
                    Ok(len) => (at, left) = (len, left - 1),
                    Err(error) => {
                        assert!(error.kind == ErrorKind::Conflict);
                        let whole = cache.get("log").await;
                        at = whole.ok().flatten().map_or(0, |whole| whole.len() as u64);
                    }
                }
            }
        });
    }
    bench.tasks_end().await?;
    let whole = bench.cache.get("log").await?.ok_or("the log is gone")?;
    ensure(whole.len() == 8 * 100 * 100, "every piece is there")?;
    let mut counts = [0; 8];
    for piece in whole.chunks(100) {
        ensure(piece.iter().all(|byte| *byte == piece[0]), "no piece is torn")?;
        counts[usize::from(piece[0] - b'a')] += 1;
    }
    ensure(counts == [100; 8], "each once")
}
