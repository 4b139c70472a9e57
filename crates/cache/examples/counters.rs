//! Counters that many change at once.
//!
//! Reading a number, adding to it and writing it back loses steps as soon as two do it at the same time. `increment` is
//! one step for the engine, so that eight tasks that count to a thousand together make eight thousand.
//!
//! `cargo run -p muster-cache --example counters`, with `--all-features` and a URL at the end for a real engine.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use muster_runtime::Tasks;
use muster_runtime::clock::sleep;

const HOUR: Duration = Duration::from_secs(3600);

/// Shows it on the cache of a URL.
pub(crate) async fn show(url: &str, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let cache = muster_cache::open(url).await?;
    cache.delete("visits").await?;

    let tasks = Tasks::new();
    for _ in 0..8 {
        let cache = Arc::clone(&cache);
        tasks.spawn("visitor", async move {
            for _ in 0..1000 {
                if let Err(error) = cache.increment("visits", 1, HOUR).await {
                    eprintln!("{error}");
                }
            }
        });
    }
    while tasks.running() > 0 {
        sleep(Duration::from_millis(5)).await;
    }
    writeln!(out, "visits: {}", cache.increment("visits", 0, HOUR).await?)?;

    // They go down too, and a counter reads as its digits.
    cache.increment("visits", -8001, HOUR).await?;
    let digits = cache.get("visits").await?.unwrap_or_default();
    writeln!(out, "after 8001 have left: {}", String::from_utf8_lossy(&digits))?;
    cache.delete("visits").await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    show(&url, &mut std::io::stdout()).await
}
