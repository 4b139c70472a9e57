//! Calls that wait for their reply, by correlation id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The open calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    next: AtomicU64,
    open: Mutex<HashMap<u64, oneshot::Sender<Bytes>>>,
}

/// One open call; dropping it closes it, whatever became of the caller.
#[derive(Debug)]
pub(super) struct Call<'a> {
    calls: &'a Calls,
    pub(super) id: u64,
    pub(super) answer: oneshot::Receiver<Bytes>,
}

impl Calls {
    pub(super) fn open(&self) -> Call<'_> {
        let (tx, rx) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(id, tx);
        Call {
            calls: self,
            id,
            answer: rx,
        }
    }

    /// Hands an answer to its caller; drops it where the caller is gone.
    pub(super) fn answer(&self, correlation_id: Option<&str>, body: Bytes) {
        let waiting = correlation_id
            .and_then(|id| id.parse().ok())
            .and_then(|id: u64| self.open.lock().remove(&id));
        // The caller may leave in this very moment: then the answer is late as well.
        if waiting.is_none_or(|tx| tx.send(body).is_err()) {
            tracing::debug!("a reply came after its caller had left");
        }
    }

    /// Ends every call.
    pub(super) fn close(&self) {
        self.open.lock().clear();
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.calls.open.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_leaves_is_forgotten() {
        let calls = Calls::default();
        let call = calls.open();
        assert_eq!(calls.open.lock().len(), 1);
        drop(call);
        assert!(calls.open.lock().is_empty());
        calls.answer(Some("0"), Bytes::new());
        calls.answer(Some("no number"), Bytes::new());
        calls.answer(None, Bytes::new());
    }
}
