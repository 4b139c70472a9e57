//! Counting unique visitors with one bit each.
//!
//! A set of a million visitors' numbers takes megabytes; a row of bits takes 125 kB, and the engine counts the ones. The
//! visitor's number is the place of the bit, so that who comes twice counts once.
//!
//! `cargo run -p muster-cache --example visitors`, with `--all-features` and a Redis URL at the end for a real one.
//! Memcached has no bits, and says so.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Shows it on the cache of a URL.
pub(crate) async fn show(url: &str, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let cache = muster_cache::open(url).await?;
    let bits = cache.bits()?;
    cache.delete("visitors.monday").await?;

    let mut visits = 0;
    for visitor in [7, 100, 7, 999_999, 100, 7] {
        let was_here = bits.set_bit("visitors.monday", visitor, true, WEEK).await?;
        visits += 1;
        writeln!(
            out,
            "visitor {visitor}: {}",
            if was_here { "again" } else { "new" }
        )?;
    }
    let visitors = bits.count_bits("visitors.monday").await?;
    writeln!(out, "{visits} visits by {visitors} visitors")?;
    writeln!(
        out,
        "was visitor 8 here? {}",
        bits.bit("visitors.monday", 8).await?
    )?;

    let size = cache.get("visitors.monday").await?.map_or(0, |row| row.len());
    writeln!(out, "room for a million visitors: {size} bytes")?;
    cache.delete("visitors.monday").await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    show(&url, &mut std::io::stdout()).await
}
