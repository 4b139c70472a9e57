//! An echo server and its clients, on one thread.
//!
//! - `cargo run -p muster-transport --example echo` shows a server and three clients at once, and ends.
//! - `... --example echo -- listen 127.0.0.1:7007` serves until Ctrl-C.
//! - `... --example echo -- connect 127.0.0.1:7007 hello world` says each word there, and prints what comes back.

#[path = "../protocol/mod.rs"]
#[expect(dead_code, reason = "an echo wishes for nothing")]
mod protocol;

mod lesson;

use std::error::Error;

use lesson::{MOST, say, show};
use muster_runtime::CancellationToken;
use protocol::serve;
use tokio::net::TcpListener;

const USAGE: &str = "say nothing, 'listen ADDRESS' or 'connect ADDRESS WORD...'";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => show(&mut std::io::stdout()).await,
        ["listen", address] => {
            let listener = TcpListener::bind(address).await?;
            println!("listening on {}", listener.local_addr()?);
            let stop = CancellationToken::new();
            let failed = |error| eprintln!("a client is gone: {error}");
            tokio::select! {
                served = serve(&listener, MOST, &stop, || (lesson::Echo::default(), ()), failed) => Ok(served?),
                pressed = tokio::signal::ctrl_c() => Ok(pressed?),
            }
        }
        ["connect", address, words @ ..] if !words.is_empty() => {
            for answer in say(address, words).await? {
                println!("{answer}");
            }
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}
