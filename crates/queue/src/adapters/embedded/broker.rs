//! The broker inside this process: routes what is published, and carries out what queues ask for.
//!
//! Two kinds of locks: the topology's, held while routing, and each queue's own. A queue's lock may be taken
//! under the topology's, never the other way round, and neither is held while anything is woken or awaited.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use muster_model::ErrorKind;
use parking_lot::RwLock;
use tokio::time::Instant;

use super::core::{Core, Dead, Effects, Incoming, Reason};
use super::headers::Match;
use super::meter::{self, Full, Limits, Memory, Meter};
use super::timer::Timer;
use super::topology::{Binding, Exchange, Missing, Topology};
use crate::adapters::calls::Calls;
use crate::adapters::checks::{check_binding, check_message, check_name, clip};
use crate::error::Error;
use crate::types::{ExchangeKind, Message, QueueOptions};

/// The most queues.
const QUEUES: usize = 100_000;
/// The most exchanges.
const EXCHANGES: usize = 10_000;

/// The broker.
#[derive(Debug)]
pub(super) struct Broker {
    topology: RwLock<Topology>,
    memory: Arc<Memory>,
    limits: Limits,
    next_queue: AtomicU64,
    pub(super) calls: Calls,
    pub(super) timer: Arc<Timer>,
    closed: AtomicBool,
}

/// A message with the queue that it goes to.
type Routed = (Arc<Core>, Incoming);

/// Why nothing was published.
#[derive(Debug)]
enum Refusal {
    NoExchange,
    Full(Arc<Core>, Full),
}

impl Broker {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            topology: RwLock::default(),
            memory: Memory::new(limits),
            limits,
            next_queue: AtomicU64::new(0),
            calls: Calls::default(),
            timer: Arc::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Fails once the queue is closed.
    pub(super) fn check_open(&self, operation: impl FnOnce() -> String) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Cancelled, operation()));
        }
        Ok(())
    }

    pub(super) fn declare_exchange(&self, name: &str, kind: ExchangeKind) -> Result<(), Error> {
        let operation = || format!("declare exchange '{}'", clip(name));
        self.check_open(operation)?;
        check_name(name, operation)?;
        let mut topology = self.topology.write();
        match topology.exchanges.get(name) {
            Some(exchange) if exchange.kind() == kind => Ok(()),
            Some(exchange) => Err(Error::new(
                ErrorKind::Conflict,
                format!("{} as {kind:?}: it is {:?}", operation(), exchange.kind()),
            )),
            None if topology.exchanges.len() >= EXCHANGES => Err(Error::new(
                ErrorKind::TooLarge,
                format!("{}: there are {EXCHANGES} exchanges", operation()),
            )),
            None => {
                topology.exchanges.insert(name.to_owned(), Exchange::new(kind));
                Ok(())
            }
        }
    }

    pub(super) fn declare_queue(&self, name: &str, options: QueueOptions) -> Result<(), Error> {
        let operation = || format!("declare queue '{}'", clip(name));
        self.check_open(operation)?;
        check_name(name, operation)?;
        let mut topology = self.topology.write();
        if let Some(core) = topology.queue(name) {
            if !core.has_ended() {
                return if core.options == options {
                    Ok(())
                } else {
                    let why = "it is there with other options";
                    Err(Error::new(ErrorKind::Conflict, format!("{}: {why}", operation())))
                };
            }
            // It deleted itself and is about to be taken out.
            topology.remove(name);
        }
        if topology.queue_count() >= QUEUES {
            let why = format!("{}: there are {QUEUES} queues", operation());
            return Err(Error::new(ErrorKind::TooLarge, why));
        }
        let id = self.next_queue.fetch_add(1, Ordering::Relaxed);
        let meter = Meter::new(Arc::clone(&self.memory));
        topology.insert(Arc::new(Core::new(id, name, options, meter)));
        Ok(())
    }

    pub(super) fn bind(
        &self,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: &[(String, String)],
    ) -> Result<(), Error> {
        let operation = || format!("bind queue '{}' to exchange '{}'", clip(queue), clip(exchange));
        let refuse = |kind, why: &str| Err(Error::new(kind, format!("{}: {why}", operation())));
        self.check_open(operation)?;
        check_binding(exchange, key, arguments, operation)?;
        let binding = Binding {
            exchange: exchange.to_owned(),
            key: key.to_owned(),
            headers: Match::parse(arguments),
        };
        match self.topology.write().bind(queue, binding) {
            Ok(()) => Ok(()),
            Err(Missing::Queue) => refuse(ErrorKind::NotFound, "there is no such queue"),
            Err(Missing::Exchange) => refuse(ErrorKind::NotFound, "there is no such exchange"),
        }
    }

    pub(super) fn delete_queue(&self, name: &str) {
        let removed = self.topology.write().remove(name);
        if let Some(core) = removed {
            let effects = core.end();
            self.settle(&core, effects);
        }
    }

    pub(super) fn queue(&self, name: &str, operation: impl Fn() -> String) -> Result<Arc<Core>, Error> {
        self.check_open(&operation)?;
        let found = self.topology.read().queue(name).map(Arc::clone);
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, operation()))
    }

    /// Publishes all messages or none.
    pub(super) fn publish(&self, exchange: &str, messages: Vec<Message>) -> Result<(), Error> {
        self.check_open(|| format!("publish to exchange '{}'", clip(exchange)))?;
        for message in &messages {
            check_message(exchange, message)?;
        }
        let messages: Vec<Arc<Message>> = messages.into_iter().map(Arc::new).collect();
        let mut routed = self.route(exchange, &messages);
        if matches!(routed, Err(Refusal::Full(..))) {
            // What has expired where nobody looked still has its share: it goes first.
            self.sweep();
            routed = self.route(exchange, &messages);
        }
        let routed = routed.map_err(|refusal| self.refused(exchange, &refusal))?;
        for (core, effects) in deliver(routed) {
            self.settle(&core, effects);
        }
        Ok(())
    }

    /// Finds the queues of each message and takes room in them.
    fn route(&self, exchange: &str, messages: &[Arc<Message>]) -> Result<Vec<Routed>, Refusal> {
        let topology = self.topology.read();
        let mut routed = Vec::with_capacity(messages.len());
        let mut targets = Vec::new();
        for message in messages {
            targets.clear();
            if !topology.route(exchange, message, &mut targets) {
                return Err(Refusal::NoExchange);
            }
            for core in &targets {
                let core = Arc::clone(core);
                let charge = match core.charge(meter::cost(message)) {
                    Ok(charge) => charge,
                    Err(full) => return Err(Refusal::Full(core, full)),
                };
                let incoming = Incoming {
                    message: Arc::clone(message),
                    charge,
                    left: None,
                };
                routed.push((core, incoming));
            }
        }
        Ok(routed)
    }

    fn refused(&self, exchange: &str, refusal: &Refusal) -> Error {
        let (core, full) = match refusal {
            Refusal::NoExchange => {
                let operation = format!(
                    "publish to exchange '{}': there is no such exchange",
                    clip(exchange)
                );
                return Error::new(ErrorKind::NotFound, operation);
            }
            Refusal::Full(core, full) => (core, full),
        };
        let why = match full {
            Full::Messages => format!("it holds {} messages", self.limits.messages),
            Full::Bytes => format!("all queues together hold {} bytes", self.limits.bytes),
        };
        let operation = format!("publish to queue '{}': {why}, the limit", core.name);
        Error::new(ErrorKind::Unavailable, operation)
    }

    fn sweep(&self) {
        let queues: Vec<Arc<Core>> = self.topology.read().queues().map(Arc::clone).collect();
        let now = Instant::now();
        for core in queues {
            let effects = core.sweep(now);
            self.settle(&core, effects);
        }
    }

    /// Carries out what a queue asks for, and what follows from that in other queues.
    pub(super) fn settle(&self, core: &Arc<Core>, effects: Effects) {
        let mut waiting = VecDeque::new();
        self.react(core, effects, &mut waiting);
        while let Some((core, dead)) = waiting.pop_front() {
            for (target, effects) in deliver(self.route_dead(&core, dead)) {
                self.react(&target, effects, &mut waiting);
            }
        }
    }

    fn react(&self, core: &Arc<Core>, effects: Effects, waiting: &mut VecDeque<(Arc<Core>, Vec<Dead>)>) {
        if let Some(at) = effects.arm {
            self.timer.set(at, core);
        }
        if effects.gone {
            self.forget(core);
        }
        for waker in effects.wake {
            waker.wake();
        }
        if !effects.dead.is_empty() {
            waiting.push_back((Arc::clone(core), effects.dead));
        }
    }

    /// Takes a queue out that deleted itself, unless another has its name by now.
    fn forget(&self, core: &Arc<Core>) {
        let mut topology = self.topology.write();
        if topology.queue(&core.name) == Some(core) {
            topology.remove(&core.name);
        }
    }

    /// Finds the queues of dead letters. Those that no queue is there for, or has room for, are dropped.
    fn route_dead(&self, from: &Arc<Core>, dead: Vec<Dead>) -> Vec<Routed> {
        let Some(exchange) = &from.options.dead_letter_exchange else {
            return Vec::new();
        };
        let topology = self.topology.read();
        let mut routed = Vec::new();
        let mut targets = Vec::new();
        for Dead { stored, reason } in dead {
            let message = Arc::new(obituary(&stored.message, &from.name, reason));
            let left = match reason {
                Reason::Rejected => None,
                Reason::Expired | Reason::Surplus => {
                    let earlier = stored.left.as_deref().unwrap_or_default();
                    Some(earlier.iter().copied().chain([from.id]).collect::<Arc<[u64]>>())
                }
            };
            // Its own share is free before it asks for another.
            drop(stored);
            targets.clear();
            topology.route(exchange, &message, &mut targets);
            for core in &targets {
                // A message that nobody rejects must not go round for ever.
                if left.as_ref().is_some_and(|left| left.contains(&core.id)) {
                    continue;
                }
                let (message, left) = (Arc::clone(&message), left.clone());
                match core.charge(meter::cost(&message)) {
                    Ok(charge) => routed.push((
                        Arc::clone(core),
                        Incoming {
                            message,
                            charge,
                            left,
                        },
                    )),
                    Err(_) => tracing::warn!(queue = core.name, "a dead letter found its queue full"),
                }
            }
        }
        routed
    }

    /// Ends every queue and every call; later calls are `Cancelled`.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.timer.close();
        self.calls.close();
        let topology = std::mem::take(&mut *self.topology.write());
        for core in topology.queues() {
            for waker in core.end().wake {
                waker.wake();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.memory.used()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.timer.close();
    }
}

/// Puts messages into their queues, one lock per queue.
fn deliver(mut routed: Vec<Routed>) -> Vec<(Arc<Core>, Effects)> {
    // Stable: the order within a queue is the order of publishing.
    routed.sort_by_key(|(core, _)| core.id);
    let now = Instant::now();
    let mut done = Vec::new();
    let mut routed = routed.into_iter().peekable();
    while let Some((core, first)) = routed.next() {
        let rest = std::iter::from_fn(|| {
            routed
                .next_if(|(next, _)| next.id == core.id)
                .map(|(_, incoming)| incoming)
        });
        let effects = core.push(std::iter::once(first).chain(rest), now);
        done.push((core, effects));
    }
    done
}

/// Returns the dead letter of a message: without its expiry, and saying where it first died and of what.
fn obituary(message: &Message, queue: &str, reason: Reason) -> Message {
    let mut message = message.clone();
    message.expires = None;
    if !message
        .headers
        .iter()
        .any(|(name, _)| name == "x-first-death-queue")
    {
        let reason = match reason {
            Reason::Rejected => "rejected",
            Reason::Expired => "expired",
            Reason::Surplus => "maxlen",
        };
        message
            .headers
            .push(("x-first-death-queue".to_owned(), queue.to_owned()));
        message
            .headers
            .push(("x-first-death-reason".to_owned(), reason.to_owned()));
    }
    message
}
