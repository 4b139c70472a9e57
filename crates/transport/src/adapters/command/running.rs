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
    end: End,
}

impl Running {
    /// Joins the reading end with the means to end the command.
    pub(crate) fn new(reader: Reader, killer: Arc<dyn port::Killer>, end: End) -> Self {
        Self { reader, killer, end }
    }
}

#[async_trait]
impl port::Running for Running {
    async fn next(&mut self) -> Option<ExecEvent> {
        let event = self.reader.next().await;
        if matches!(event, Some(ExecEvent::Exited(_))) {
            self.end.told.cancel();
        }
        event
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
    end: End,
}

/// How far a command is, for those who do not read its output.
#[derive(Clone, Debug, Default)]
pub(crate) struct End {
    over: CancellationToken,
    exited: CancellationToken,
    told: CancellationToken,
}

impl End {
    /// Tells whether nothing more will come of the command: it has exited, or nobody knows.
    pub(crate) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Tells whether the command is known to have exited.
    pub(crate) fn has_exited(&self) -> bool {
        self.exited.is_cancelled()
    }

    /// Tells whether the caller has heard that the command has exited.
    pub(crate) fn is_told(&self) -> bool {
        self.told.is_cancelled()
    }

    /// Waits until nothing more will come. Cancel-safe.
    pub(crate) async fn over(&self) {
        self.over.cancelled().await;
    }
}

impl Delivery {
    /// Returns an empty delivery with its reading end.
    pub(crate) fn new(input: &Input, gate: Gate, end: End) -> (Self, Reader) {
        let (writer, reader) = pipe();
        let delivery = Self {
            writer,
            dialogue: input.password.as_ref().map(Dialogue::new),
            gate,
            end,
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
        // First, so that whoever reads the event finds the command ended.
        if matches!(event, ExecEvent::Exited(_)) {
            self.end.exited.cancel();
        }
        self.end.over.cancel();
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
        self.end.over.cancel();
    }
}
