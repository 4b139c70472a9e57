//! What the embedded queue may hold, and who counts it.
//!
//! Every message in a queue carries a [`Charge`] that gives its share back when the message leaves, by
//! whatever way it does: no path can forget to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::types::Message;

/// The limits of an embedded queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Memory of all queues together, in bytes.
    pub(crate) bytes: u64,
    /// Messages in one queue, with those that consumers hold.
    pub(crate) messages: u64,
}

impl Limits {
    /// The smallest memory limit that a URL may state.
    pub(crate) const LEAST_BYTES: u64 = 1 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            messages: 4_000_000,
        }
    }
}

/// What a message costs beside its texts and its body: its own structure, the allocations' headers and its
/// places in the queue's lists.
const OVERHEAD: u64 = 256;

/// Returns what a message costs in a queue. A body that several queues share is counted in each of them.
pub(super) fn cost(message: &Message) -> u64 {
    let headers: usize = message
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 64)
        .sum();
    let texts = message.key.len()
        + message.reply_to.as_ref().map_or(0, String::len)
        + message.correlation_id.as_ref().map_or(0, String::len);
    OVERHEAD + (message.body.len() + headers + texts) as u64
}

/// The memory of all queues together.
#[derive(Debug)]
pub(super) struct Memory {
    used: AtomicU64,
    limits: Limits,
}

impl Memory {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            limits,
        })
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// Which limit a message would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Bytes,
    Messages,
}

/// The count of one queue.
#[derive(Debug)]
pub(super) struct Meter {
    messages: AtomicU64,
    memory: Arc<Memory>,
}

impl Meter {
    pub(super) fn new(memory: Arc<Memory>) -> Arc<Self> {
        Arc::new(Self {
            messages: AtomicU64::new(0),
            memory,
        })
    }

    /// Takes room for one message.
    pub(super) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge, Full> {
        let limits = self.memory.limits;
        // The charge exists before the checks: where one fails, dropping it gives both counts back.
        let messages = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let used = self.memory.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let charge = Charge {
            meter: Arc::clone(self),
            bytes,
        };
        if messages > limits.messages {
            Err(Full::Messages)
        } else if used > limits.bytes {
            Err(Full::Bytes)
        } else {
            Ok(charge)
        }
    }
}

/// The share of one message; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Charge {
    meter: Arc<Meter>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.meter.messages.fetch_sub(1, Ordering::Relaxed);
        self.meter.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_that_does_not_fit_leaves_no_trace() {
        let memory = Memory::new(Limits {
            bytes: 1000,
            messages: 2,
        });
        let meter = Meter::new(Arc::clone(&memory));
        let first = meter.charge(600);
        assert_eq!(meter.charge(600).err(), Some(Full::Bytes));
        let second = meter.charge(400);
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(meter.charge(0).err(), Some(Full::Messages));
        drop(first);
        assert_eq!(memory.used(), 400);
        assert!(meter.charge(600).is_ok());
    }
}
