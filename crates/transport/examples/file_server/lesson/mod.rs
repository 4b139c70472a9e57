//! A file server and its client, and a show of both.
//!
//! - `name`: what a stranger may ask for, and the reasons to refuse.
//! - `server`, `client`: the protocol's two sides, which touch nothing.
//! - `disk`: what they wish for, done.

pub(crate) mod client;
pub(crate) mod disk;
pub(crate) mod name;
pub(crate) mod server;

use std::error::Error;
use std::io;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::try_join_all;
use muster_runtime::CancellationToken;
use tokio::net::{TcpListener, TcpStream};

use super::protocol::{converse, serve};
use client::Client;
use disk::{Keep, Outcome, Root, Shelf};
use server::Server;

/// As many clients at a time. Each costs two sockets' buffers and a few pieces of 64 KiB.
pub(crate) const MOST: usize = 500;

/// Serves a folder until `stop`.
pub(crate) async fn serve_folder(
    listener: &TcpListener,
    root: &Arc<Root>,
    stop: &CancellationToken,
    failed: impl FnMut(io::Error),
) -> io::Result<()> {
    serve(
        listener,
        MOST,
        stop,
        || (Server::default(), Shelf::new(root)),
        failed,
    )
    .await
}

/// Asks a server, and keeps what it gives in a folder.
pub(crate) async fn ask(
    address: &str,
    requests: Vec<String>,
    folder: &Path,
) -> io::Result<Vec<(String, Outcome)>> {
    let stream = TcpStream::connect(address).await?;
    let (mut client, mut keep) = (Client::new(requests), Keep::new(folder));
    converse(&mut client, &mut keep, stream).await?;
    Ok(keep.outcomes)
}

/// Says what came of requests.
pub(crate) fn tell(outcomes: &[(String, Outcome)], out: &mut impl Write) -> io::Result<()> {
    for (request, outcome) in outcomes {
        match outcome {
            Outcome::Kept(path) => writeln!(out, "{request}: {} bytes", path.metadata()?.len())?,
            Outcome::Told(text) => {
                // A server is a stranger: only what is a name is shown as one.
                let names = text
                    .lines()
                    .filter_map(|line| name::FileName::parse(line.as_bytes()).ok());
                let names: Vec<String> = names.map(|name| name.to_string()).collect();
                writeln!(out, "{request}: {}", names.join(", "))?;
            }
            Outcome::Refused(refusal) => writeln!(out, "{request}: refused ({}): {refusal}", refusal.word())?,
        }
    }
    Ok(())
}

/// Shows it: a folder with a small, an empty and a large file, and clients that ask for them, and for what is beside it.
pub(crate) async fn show(out: &mut impl Write) -> Result<(), Box<dyn Error + Send + Sync>> {
    let scratch = tempfile::tempdir()?;
    let here = scratch.path().join("here");
    std::fs::create_dir_all(here.join("deep"))?;
    std::fs::write(here.join("readme.txt"), "hello\n")?;
    std::fs::write(here.join("empty"), "")?;
    std::fs::write(here.join("deep/inside.txt"), "deep\n")?;
    let large: Vec<u8> = (0..4_000_000_u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(here.join("large.bin"), &large)?;
    std::fs::write(scratch.path().join("secret"), "not for you")?;
    std::os::unix::fs::symlink("../secret", here.join("link"))?;

    let root = Arc::new(Root::open(&here)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let stop = CancellationToken::new();
    let clients = async {
        let asked = asked(&address, scratch.path(), &large, out).await;
        stop.cancel();
        asked
    };
    let (served, asked) = tokio::join!(serve_folder(&listener, &root, &stop, |_| ()), clients);
    served?;
    asked
}

async fn asked(
    address: &str,
    scratch: &Path,
    large: &[u8],
    out: &mut impl Write,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let folder = scratch.join("one");
    std::fs::create_dir(&folder)?;
    let requests = [
        "LIST",
        "GET readme.txt",
        "GET empty",
        "GET deep/inside.txt",
        "GET nothing",
        "GET ../secret",
        "GET /etc/passwd",
        "GET link",
        "GET deep",
        "DELETE readme.txt",
    ];
    let outcomes = ask(address, requests.map(str::to_owned).to_vec(), &folder).await?;
    tell(&outcomes, out)?;

    // Three at once: their pieces go over one thread in turns.
    let folders: Vec<_> = (1..=3)
        .map(|number| scratch.join(format!("client{number}")))
        .collect();
    for folder in &folders {
        std::fs::create_dir(folder)?;
    }
    let get = |folder| ask(address, vec!["GET large.bin".to_owned()], folder);
    try_join_all(folders.iter().map(|folder| get(folder))).await?;
    for folder in &folders {
        let is_same = std::fs::read(folder.join("large.bin"))? == large;
        let name = folder.file_name().unwrap_or_default().display();
        writeln!(
            out,
            "{name} has large.bin, {} bytes: the same: {is_same}",
            large.len()
        )?;
    }
    Ok(())
}
