//! Prints how many calls a second a cache takes, as rough figures for people.
//!
//! `cargo run --release -p muster-cache --all-features --example rate -- [URL]`

use std::error::Error;
use std::future::Future;
use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use muster_cache::Error as Failed;

const HOUR: Duration = Duration::from_secs(3600);
const KEYS: usize = 1000;

/// Makes calls, so many at once, for a while, and prints how many that were in a second.
async fn measure<F: Future<Output = Result<(), Failed>>>(
    out: &mut impl Write,
    what: &str,
    (at_once, span): (usize, Duration),
    call: impl Fn(usize) -> F,
) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let numbers = stream::iter(0..).take_while(|_| std::future::ready(start.elapsed() < span));
    let mut calls = numbers.map(call).buffer_unordered(at_once);
    let mut count = 0u32;
    while let Some(answer) = calls.next().await {
        answer?;
        count += 1;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    writeln!(out, "{what:<34} {at_once:>4} at once {rate:>12.0} calls/s")?;
    Ok(())
}

/// Measures the cache of a URL, each call for so long.
pub(crate) async fn show(url: &str, span: Duration, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let cache = muster_cache::open(url).await?;
    let cache = &cache;
    let value = Bytes::from(vec![7; 200]);
    let value = &value;
    let key = |number: usize| format!("rate.{}", number % KEYS);
    let many: Vec<String> = (0..100).map(key).collect();
    let many = &many;
    for at_once in [1, 100] {
        let set = |number| async move { cache.set(&key(number), value.clone(), HOUR).await };
        measure(out, "set 200 bytes", (at_once, span), set).await?;
        let get = |number| async move { cache.get(&key(number)).await.map(drop) };
        measure(out, "get 200 bytes", (at_once, span), get).await?;
        let get_many = |_| async move { cache.get_many(many).await.map(drop) };
        measure(out, "get 100 values", (at_once, span), get_many).await?;
        let count = |number| async move {
            cache
                .increment(&format!("count.{}", number % KEYS), 1, HOUR)
                .await
                .map(drop)
        };
        measure(out, "increment", (at_once, span), count).await?;
        // As a command's output is: a few pieces to a log of its own.
        let log = |number| async move {
            let name = format!("log.{at_once}.{}", number % 100_000);
            let end = cache.append(&name, 0, value.clone(), HOUR).await?;
            cache.append(&name, end, value.clone(), HOUR).await?;
            cache.delete(&name).await.map(drop)
        };
        measure(out, "append twice and delete", (at_once, span), log).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    show(&url, Duration::from_millis(1500), &mut std::io::stdout()).await
}
