//! Values that end by themselves.
//!
//! A cache keeps what can be found out again, so every value has a lifetime: nobody has to remember to remove it. Here a
//! session ends because nobody uses it, and another lives on because somebody does.
//!
//! `cargo run -p muster-cache --example strings` uses the cache inside the process; with `--all-features` and a URL at
//! the end (`-- redis://127.0.0.1`) a real engine.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use muster_runtime::clock::sleep;

/// Shows it on the cache of a URL.
pub(crate) async fn show(url: &str, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let cache = muster_cache::open(url).await?;
    let lifetime = Duration::from_secs(2);

    cache.set("session.ann", "logged in".into(), lifetime).await?;
    cache.set("session.bob", "logged in".into(), lifetime).await?;
    writeln!(out, "ann: {}", said(cache.get("session.ann").await?))?;

    // `add` takes nothing away from who was first: two servers that both want a lease do not both get it.
    let is_first = cache.add("session.ann", "somebody else".into(), lifetime).await?;
    writeln!(out, "somebody else takes ann's place: {is_first}")?;

    // Bob does something every second, Ann is away.
    for _ in 0..5 {
        sleep(Duration::from_secs(1)).await;
        cache.touch("session.bob", lifetime).await?;
    }
    writeln!(
        out,
        "ann, five seconds later: {}",
        said(cache.get("session.ann").await?)
    )?;
    writeln!(
        out,
        "bob, five seconds later: {}",
        said(cache.get("session.bob").await?)
    )?;
    cache.delete("session.bob").await?;
    Ok(())
}

fn said(value: Option<bytes::Bytes>) -> String {
    value.map_or_else(
        || "gone".to_owned(),
        |value| String::from_utf8_lossy(&value).into_owned(),
    )
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    show(&url, &mut std::io::stdout()).await
}
