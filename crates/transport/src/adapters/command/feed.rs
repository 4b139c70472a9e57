//! Standard input of a command: sudo's password first, where it asks for one, then the rest, then its end.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use crate::adapters::shell::{Input, Said};

/// How long sudo may take to let us in; a question that nobody can answer ends by the end of input.
const SUDO: Duration = Duration::from_secs(60);

/// Where the reader of stderr tells the writer of stdin what sudo said.
#[derive(Debug)]
pub(crate) struct Gate(watch::Sender<Option<Said>>);

impl Gate {
    /// Returns a gate that is shut, and its other side for [`feed`].
    pub(crate) fn new() -> (Self, watch::Receiver<Option<Said>>) {
        let (tx, rx) = watch::channel(None);
        (Self(tx), rx)
    }

    /// Tells what sudo said.
    pub(crate) fn say(&self, said: Said) {
        self.0.send_replace(Some(said));
    }
}

/// Writes all input and ends it. A command that does not read its input to the end is none of our business:
/// errors end the writing, nothing else.
pub(crate) async fn feed(
    input: Input,
    mut gate: watch::Receiver<Option<Said>>,
    mut sink: impl AsyncWrite + Unpin,
) {
    let _ = write(input, &mut gate, &mut sink).await;
    let _ = sink.shutdown().await;
}

async fn write(
    input: Input,
    gate: &mut watch::Receiver<Option<Said>>,
    sink: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    if let Some(password) = &input.password {
        sink.write_all(password.line().expose().as_bytes()).await?;
        sink.flush().await?;
        let said = match tokio::time::timeout(SUDO, gate.wait_for(Option::is_some)).await {
            Ok(Ok(said)) => *said,
            _ => None,
        };
        if said != Some(Said::Go) {
            return Ok(());
        }
        sink.write_all(format!("{}\n", password.end()).as_bytes()).await?;
    }
    for mut piece in input.pieces {
        // In parts, so that each is let go as soon as it is written.
        while !piece.is_empty() {
            let part: Bytes = piece.split_to(piece.len().min(64 * 1024));
            sink.write_all(&part).await?;
        }
    }
    sink.flush().await
}
