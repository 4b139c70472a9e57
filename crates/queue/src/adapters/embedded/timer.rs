//! One timer for all queues: it sleeps until the first dead letter is due, and without one for ever.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::{Arc, Weak};

use muster_runtime::CancellationToken;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::broker::Broker;
use super::core::Core;

/// Knows when which queue wants to be looked at.
#[derive(Debug, Default)]
pub(super) struct Timer {
    due: Mutex<BinaryHeap<Reverse<Due>>>,
    changed: Notify,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Due {
    at: Instant,
    core: Weak<Core>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl Timer {
    /// Looks at a queue at a point in time.
    pub(super) fn set(&self, at: Instant, core: &Arc<Core>) {
        let mut due = self.due.lock();
        let is_first = due.peek().is_none_or(|Reverse(first)| at < first.at);
        due.push(Reverse(Due {
            at,
            core: Arc::downgrade(core),
        }));
        drop(due);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Lets [`Timer::run`] return.
    pub(super) fn close(&self) {
        self.closed.store(true, Memory::Release);
        self.changed.notify_one();
    }

    /// Takes one queue that is due.
    fn pop(&self, now: Instant) -> Option<Due> {
        let mut due = self.due.lock();
        if due.peek()?.0.at > now {
            return None;
        }
        due.pop().map(|Reverse(first)| first)
    }

    #[cfg(test)]
    pub(super) fn is_set(&self) -> bool {
        self.due.lock().peek().is_some()
    }

    async fn wait(&self) {
        let first = self.due.lock().peek().map(|Reverse(first)| first.at);
        match first {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Looks at the queues when they are due, until closed or stopped. It holds the broker only then.
    pub(super) async fn run(self: Arc<Self>, broker: Weak<Broker>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
                () = self.wait() => {}
            }
            if self.closed.load(Memory::Acquire) {
                return;
            }
            let Some(broker) = broker.upgrade() else {
                return;
            };
            let now = Instant::now();
            while let Some(due) = self.pop(now) {
                if let Some(core) = due.core.upgrade() {
                    let effects = core.fire(due.at, now);
                    broker.settle(&core, effects);
                }
            }
        }
    }
}
