//! Publish and subscribe.
//!
//! A message goes to everybody who listens to its channel at that moment, and to nobody else: nothing keeps it. Where a
//! message must not be lost, that is work for a queue. A listener that was cut off hears `Missed` and looks for itself
//! what it does not know.
//!
//! `cargo run -p muster-cache --example channels`, with `--all-features` and a Redis URL at the end for a real one.

use std::error::Error;
use std::io::Write;

use muster_cache::{News, Subscription};

/// Shows it on the cache of a URL.
pub(crate) async fn show(url: &str, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let cache = muster_cache::open(url).await?;
    let channels = cache.channels()?;

    channels.publish("weather", "nobody hears this".into()).await?;
    let mut ann = channels.subscribe("weather").await?;
    channels.publish("weather", "rain".into()).await?;
    let mut bob = channels.subscribe("weather").await?;
    channels.publish("weather", "sun".into()).await?;

    writeln!(out, "ann hears {}", hear(&mut ann).await)?;
    writeln!(out, "ann hears {}", hear(&mut ann).await)?;
    writeln!(out, "bob hears {}", hear(&mut bob).await)?;
    Ok(())
}

async fn hear(listener: &mut Box<dyn Subscription>) -> String {
    match listener.next().await {
        News::Message(message) => String::from_utf8_lossy(&message).into_owned(),
        News::Missed => "that something was missed".to_owned(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    show(&url, &mut std::io::stdout()).await
}
