//! The two ends of a running command: what the caller holds, and what the adapter delivers to.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use muster_model::Stream;
use muster_runtime::CancellationToken;

use super::feed::Gate;
use super::pipe::{Abandoned, Reader, Writer, pipe};
use crate::adapters::shell::{Dialogue, Input};
use crate::port;
use crate::types::{ExecEvent, Exit};

/// A running command, as the port has it.
pub(crate) struct Running {
    reader: Reader,
    killer: Arc<dyn port::Killer>,
}

impl Running {
    /// Joins the reading end with the means to end the command.
    pub(crate) fn new(reader: Reader, killer: Arc<dyn port::Killer>) -> Self {
        Self { reader, killer }
    }
}

#[async_trait]
impl port::Running for Running {
    async fn next(&mut self) -> Option<ExecEvent> {
        self.reader.next().await
    }

    fn killer(&self) -> Arc<dyn port::Killer> {
        Arc::clone(&self.killer)
    }
}

/// Where an adapter delivers what a command does. It takes sudo's words out of stderr and tells them to the
/// writer of standard input.
pub(crate) struct Delivery {
    writer: Writer,
    dialogue: Option<Dialogue>,
    gate: Gate,
    ended: CancellationToken,
}

impl Delivery {
    /// Returns an empty delivery with its reading end; `ended` is cancelled with the command's last event.
    pub(crate) fn new(input: &Input, gate: Gate, ended: CancellationToken) -> (Self, Reader) {
        let (writer, reader) = pipe();
        let delivery = Self {
            writer,
            dialogue: input.password.as_ref().map(Dialogue::new),
            gate,
            ended,
        };
        (delivery, reader)
    }

    /// The writing end, for waiting on it.
    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Delivers output.
    pub(crate) fn output(&mut self, stream: Stream, bytes: Bytes) -> Result<(), Abandoned> {
        let bytes = match (&mut self.dialogue, stream) {
            (Some(dialogue), Stream::Stderr) => {
                let (bytes, said) = dialogue.stderr(bytes);
                if let Some(said) = said {
                    self.gate.say(said);
                }
                bytes
            }
            _ => bytes,
        };
        self.put(stream, bytes)
    }

    /// Delivers the end of a command.
    pub(crate) fn exited(self, exit: Exit) {
        self.finish(ExecEvent::Exited(exit));
    }

    /// Delivers that nobody knows how the command ended.
    pub(crate) fn broken(self, why: impl Into<String>) {
        self.finish(ExecEvent::Broken { why: why.into() });
    }

    fn finish(mut self, event: ExecEvent) {
        if let Some(mut dialogue) = self.dialogue.take() {
            let _ = self.put(Stream::Stderr, dialogue.end());
        }
        let _ = self.writer.put(event);
    }

    fn put(&self, stream: Stream, bytes: Bytes) -> Result<(), Abandoned> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.writer.put(ExecEvent::Output { stream, bytes })
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}
