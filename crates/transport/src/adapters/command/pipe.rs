//! The way of output from whoever reads the host to the caller: in order, and bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::types::ExecEvent;

/// How much output may wait for the caller, in bytes.
pub(crate) const ROOM: usize = 1024 * 1024;

/// What an event costs beside its bytes.
const OVERHEAD: usize = 128;

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    readable: Notify,
    writable: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<ExecEvent>,
    waiting: usize,
    finished: bool,
    abandoned: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that events are put into.
#[derive(Debug)]
pub(crate) struct Writer(Arc<Shared>);

/// The end that events are taken from.
#[derive(Debug)]
pub(crate) struct Reader(Arc<Shared>);

/// The caller has dropped its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Abandoned;

/// Returns both ends.
pub(crate) fn pipe() -> (Writer, Reader) {
    let shared = Arc::new(Shared::default());
    (Writer(Arc::clone(&shared)), Reader(shared))
}

fn cost(event: &ExecEvent) -> usize {
    match event {
        ExecEvent::Output { bytes, .. } => bytes.len() + OVERHEAD,
        _ => 0,
    }
}

impl Writer {
    /// Tells whether there is room for more output now.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.0.state();
        state.waiting < ROOM || state.abandoned
    }

    /// Waits until there is room for more output. Cancel-safe.
    pub(crate) async fn room(&self) {
        loop {
            let changed = self.0.writable.notified();
            if self.has_room() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until the caller has dropped its end. Cancel-safe.
    pub(crate) async fn abandoned(&self) {
        loop {
            let changed = self.0.writable.notified();
            if self.0.state().abandoned {
                return;
            }
            changed.await;
        }
    }

    /// Puts an event in, whether there is room or not.
    pub(crate) fn put(&self, event: ExecEvent) -> Result<(), Abandoned> {
        let mut state = self.0.state();
        if state.abandoned {
            return Err(Abandoned);
        }
        state.waiting += cost(&event);
        state.finished |= !matches!(event, ExecEvent::Output { .. });
        state.events.push_back(event);
        drop(state);
        self.0.readable.notify_one();
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let finished = self.0.state().finished;
        if !finished {
            let _ = self.put(ExecEvent::Broken {
                why: "muster stopped following the command".to_owned(),
            });
        }
    }
}

impl Reader {
    /// Takes the next event; None after the last one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<ExecEvent> {
        loop {
            let changed = self.0.readable.notified();
            {
                let mut state = self.0.state();
                if let Some(event) = state.events.pop_front() {
                    state.waiting -= cost(&event);
                    drop(state);
                    self.0.writable.notify_waiters();
                    self.0.writable.notify_one();
                    return Some(event);
                }
                if state.finished {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.abandoned = true;
        state.events.clear();
        state.waiting = 0;
        drop(state);
        self.0.writable.notify_waiters();
        self.0.writable.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use muster_model::Stream;

    use super::*;
    use crate::types::Exit;

    fn output(length: usize) -> ExecEvent {
        ExecEvent::Output {
            stream: Stream::Stdout,
            bytes: Bytes::from(vec![b'x'; length]),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_pipe_has_no_room_until_it_is_read() {
        let (writer, mut reader) = pipe();
        writer.put(output(ROOM)).expect("is read");
        assert!(!writer.has_room());
        let waited = tokio::time::timeout(Duration::from_secs(1), writer.room()).await;
        assert!(waited.is_err());
        let (taken, ()) = tokio::join!(reader.next(), writer.room());
        assert_eq!(taken, Some(output(ROOM)));
    }

    #[tokio::test]
    async fn many_small_pieces_fill_it_as_well() {
        let (writer, _reader) = pipe();
        for _ in 0..ROOM / OVERHEAD {
            writer.put(output(1)).expect("is read");
        }
        assert!(!writer.has_room());
    }

    #[tokio::test]
    async fn after_the_last_event_there_is_none() {
        let (writer, mut reader) = pipe();
        writer.put(output(1)).expect("is read");
        writer.put(ExecEvent::Exited(Exit::Code(0))).expect("is read");
        drop(writer);
        assert_eq!(reader.next().await, Some(output(1)));
        assert_eq!(reader.next().await, Some(ExecEvent::Exited(Exit::Code(0))));
        assert_eq!(reader.next().await, None);
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn a_writer_that_vanishes_leaves_a_broken_command() {
        let (writer, mut reader) = pipe();
        drop(writer);
        assert!(matches!(reader.next().await, Some(ExecEvent::Broken { .. })));
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn a_writer_knows_when_nobody_reads_any_more() {
        let (writer, reader) = pipe();
        writer.put(output(ROOM)).expect("is read");
        drop(reader);
        writer.abandoned().await;
        writer.room().await;
        assert_eq!(writer.put(output(1)), Err(Abandoned));
    }
}
