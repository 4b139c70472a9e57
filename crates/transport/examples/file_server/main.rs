//! A file server and its client, on one thread.
//!
//! - `cargo run -p muster-transport --example file_server` shows a server and its clients, and ends.
//! - `... --example file_server -- listen 127.0.0.1:7008 FOLDER` gives out the files in a folder until Ctrl-C.
//! - `... --example file_server -- get 127.0.0.1:7008 NAME...` fetches files into this folder; without a name it lists
//!   them.
//!
//! Whoever can connect can read: it is a lesson, and has neither logins nor encryption.

#[path = "../protocol/mod.rs"]
mod protocol;

mod lesson;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use lesson::disk::Root;
use lesson::name::FileName;
use lesson::{ask, serve_folder, show, tell};
use muster_runtime::CancellationToken;
use tokio::net::TcpListener;

const USAGE: &str = "say nothing, 'listen ADDRESS FOLDER' or 'get ADDRESS NAME...'";

fn get(name: &str) -> Result<String, String> {
    match FileName::parse(name.as_bytes()) {
        Ok(name) => Ok(format!("GET {name}")),
        Err(refusal) => Err(format!("{name:?}: {refusal}")),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => show(&mut std::io::stdout()).await,
        ["listen", address, folder] => {
            let root =
                Arc::new(Root::open(Path::new(folder)).map_err(|error| format!("open {folder}: {error}"))?);
            let listener = TcpListener::bind(address).await?;
            println!("listening on {}", listener.local_addr()?);
            let stop = CancellationToken::new();
            let failed = |error| eprintln!("a client is gone: {error}");
            tokio::select! {
                served = serve_folder(&listener, &root, &stop, failed) => Ok(served?),
                pressed = tokio::signal::ctrl_c() => Ok(pressed?),
            }
        }
        ["get", address, names @ ..] => {
            let requests = match names {
                [] => vec!["LIST".to_owned()],
                names => names.iter().map(|name| get(name)).collect::<Result<_, _>>()?,
            };
            let outcomes = ask(address, requests, Path::new(".")).await?;
            Ok(tell(&outcomes, &mut std::io::stdout())?)
        }
        _ => Err(USAGE.into()),
    }
}
