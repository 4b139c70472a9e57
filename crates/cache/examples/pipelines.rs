//! Many requests on their way at once.
//!
//! Who waits for each answer before the next question spends most of the time waiting for the network. The connection
//! takes many questions at once and brings the answers in their order: that is a pipeline. Nothing has to be asked for:
//! calls that are made at the same time travel together.
//!
//! `cargo run -p muster-cache --release --all-features --example pipelines -- redis://127.0.0.1`. In this process, with
//! `memory:`, there is no network and little to win.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

const HOUR: Duration = Duration::from_secs(3600);
const COUNT: usize = 2000;

/// Shows it on the cache of a URL.
pub(crate) async fn show(url: &str, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let cache = muster_cache::open(url).await?;
    let keys: Vec<String> = (0..COUNT).map(|number| format!("pipeline.{number}")).collect();

    let start = Instant::now();
    for key in &keys {
        cache.set(key, "value".into(), HOUR).await?;
    }
    writeln!(out, "{COUNT} values set one by one: {:?}", start.elapsed())?;

    let start = Instant::now();
    try_join_all(keys.iter().map(|key| cache.set(key, "value".into(), HOUR))).await?;
    writeln!(out, "{COUNT} values set all at once: {:?}", start.elapsed())?;

    let start = Instant::now();
    let values = cache.get_many(&keys).await?;
    let there = values.iter().flatten().count();
    writeln!(
        out,
        "{there} values read with one question: {:?}",
        start.elapsed()
    )?;

    try_join_all(keys.iter().map(|key| cache.delete(key))).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    show(&url, &mut std::io::stdout()).await
}
