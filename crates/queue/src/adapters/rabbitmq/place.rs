//! A consumer's place at a queue: what it holds, what waits for it, and how much more the broker may send.
//!
//! RabbitMQ fixes the limit of a consumer when it is made, and counts 0 as no limit. So a place asks for its messages
//! in lots: a raised prefetch adds one, a lowered one cancels all and asks anew once what is still held allows it. The
//! limits of the lots together, with what is held of cancelled ones, never pass the prefetch.

use std::collections::{BTreeMap, VecDeque};

use lapin::Channel;
use lapin::types::ShortString;
use muster_runtime::CancellationToken;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::message::message;
use crate::types::Delivery;

/// The largest limit that AMQP can say.
const MOST: usize = u16::MAX as usize;

/// A place.
pub(super) struct Place {
    pub(super) queue: String,
    /// The queue goes with its last consumer: the place must never be without a lot, and ends with its connection.
    pub(super) auto_delete: bool,
    inner: Mutex<Inner>,
    /// Something waits, or the end has come.
    pub(super) ready: Notify,
    /// The lots no longer fit.
    pub(super) orders: Notify,
    /// The consumer was dropped.
    pub(super) left: CancellationToken,
    /// Settling happens in order: an acknowledgement of many must not pass one of few.
    pub(super) settling: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Inner {
    prefetch: usize,
    channel: Option<Channel>,
    /// Tags of this channel come after this one: a tag is never given twice, whatever happens to connections.
    base: u64,
    last: u64,
    /// What the channel has delivered and nobody has settled: tag to lot, and whether it was handed over.
    held: BTreeMap<u64, Held>,
    handed: usize,
    waiting: VecDeque<Delivery>,
    lots: Vec<Lot>,
    lots_ever: u32,
    /// Held ones of cancelled lots.
    orphans: usize,
    /// Lots are being changed: deliveries may be out of order.
    changing: bool,
    ended: bool,
}

#[derive(Clone, Copy)]
struct Held {
    lot: u32,
    handed: bool,
}

struct Lot {
    id: u32,
    tag: ShortString,
    limit: usize,
}

/// What `next` finds.
pub(super) enum Found {
    Delivery(Delivery),
    Nothing,
    End,
}

/// What is to be done with the lots.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// They fit.
    Keep,
    /// Another one.
    Add(u16),
    /// All are to go, and what they delivered and was not handed over goes back; then one with this limit, or none.
    Replace {
        cancel: Vec<ShortString>,
        give_back: Vec<u64>,
        limit: u16,
        /// The new one first.
        never_without: bool,
    },
}

/// An acknowledgement to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) tag: u64,
    pub(super) multiple: bool,
}

impl Place {
    pub(super) fn new(queue: &str, prefetch: u32, auto_delete: bool) -> Self {
        Self {
            queue: queue.to_owned(),
            auto_delete,
            inner: Mutex::new(Inner {
                prefetch: prefetch as usize,
                ..Inner::default()
            }),
            ready: Notify::new(),
            orders: Notify::new(),
            left: CancellationToken::new(),
            settling: tokio::sync::Mutex::default(),
        }
    }

    /// Starts on a new channel. What was held on an older one is the broker's again.
    pub(super) fn begin(&self, channel: Channel) {
        let mut inner = self.inner.lock();
        inner.forget();
        inner.channel = Some(channel);
    }

    /// Forgets the channel: its deliveries come again.
    pub(super) fn pause(&self) {
        self.inner.lock().forget();
    }

    /// Ends: there will be nothing more.
    pub(super) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.forget();
        inner.ended = true;
        drop(inner);
        self.ready.notify_one();
    }

    /// Takes what waits, as far as the prefetch allows.
    pub(super) fn take(&self) -> Found {
        let mut inner = self.inner.lock();
        if inner.ended {
            return Found::End;
        }
        if inner.handed >= inner.prefetch {
            return Found::Nothing;
        }
        let Some(delivery) = inner.waiting.pop_front() else {
            return Found::Nothing;
        };
        if let Some(held) = inner.held.get_mut(&delivery.tag) {
            held.handed = true;
        }
        inner.handed += 1;
        Found::Delivery(delivery)
    }

    /// Puts a delivery where `next` finds it.
    pub(super) fn push(&self, lot: u32, delivery: lapin::message::Delivery) {
        let mut inner = self.inner.lock();
        let tag = inner.base + delivery.delivery_tag;
        inner.last = inner.last.max(tag);
        inner.held.insert(tag, Held { lot, handed: false });
        // Of several lots a smaller tag may come later.
        let at = inner.waiting.iter().rposition(|other| other.tag < tag);
        let delivery = Delivery {
            tag,
            redelivered: delivery.redelivered,
            message: message(delivery),
        };
        inner.waiting.insert(at.map_or(0, |at| at + 1), delivery);
        drop(inner);
        self.ready.notify_one();
    }

    pub(super) fn set_prefetch(&self, prefetch: u32) {
        self.inner.lock().prefetch = prefetch as usize;
        self.orders.notify_one();
        self.ready.notify_one();
    }

    pub(super) fn prefetch(&self) -> usize {
        self.inner.lock().prefetch
    }

    /// Takes settled tags out and returns what to tell the broker; unknown ones are nobody's.
    pub(super) fn acknowledge(&self, tags: &[u64]) -> Option<(Channel, Vec<Ack>)> {
        let mut inner = self.inner.lock();
        let acks = inner.acknowledge(tags);
        let channel = inner.channel.clone()?;
        drop(inner);
        self.after_settling();
        Some((channel, acks))
    }

    /// Takes a rejected tag out and returns the channel's own.
    pub(super) fn reject(&self, tag: u64) -> Option<(Channel, u64)> {
        let mut inner = self.inner.lock();
        if !inner.remove(tag) {
            return None;
        }
        let (channel, base) = (inner.channel.clone()?, inner.base);
        drop(inner);
        self.after_settling();
        Some((channel, tag - base))
    }

    fn after_settling(&self) {
        let inner = self.inner.lock();
        if !inner.waiting.is_empty() {
            self.ready.notify_one();
        }
        if inner.fits(self.auto_delete) != Fit::Well {
            self.orders.notify_one();
        }
    }

    /// Says what is to be done with the lots; where they go, they count no more from now on.
    pub(super) fn plan(&self) -> Plan {
        let mut inner = self.inner.lock();
        match inner.fits(self.auto_delete) {
            Fit::Well => {
                inner.changing = false;
                Plan::Keep
            }
            Fit::RoomFor(limit) => {
                inner.changing = true;
                Plan::Add(limit)
            }
            Fit::TooMany => inner.replace(self.auto_delete),
        }
    }

    /// Returns the number and the name of a lot that is about to be made.
    pub(super) fn next_lot(&self) -> (u32, String) {
        let mut inner = self.inner.lock();
        inner.lots_ever += 1;
        (inner.lots_ever, format!("muster-{}", inner.lots_ever))
    }

    pub(super) fn add_lot(&self, id: u32, tag: ShortString, limit: u16) {
        self.inner.lock().lots.push(Lot {
            id,
            tag,
            limit: limit.into(),
        });
    }
}

/// How the lots fit the prefetch.
#[derive(Debug, PartialEq, Eq)]
enum Fit {
    Well,
    RoomFor(u16),
    TooMany,
}

impl Inner {
    fn forget(&mut self) {
        self.channel = None;
        self.base = self.last;
        self.held.clear();
        self.waiting.clear();
        self.lots.clear();
        self.handed = 0;
        self.orphans = 0;
        self.changing = false;
    }

    fn limits(&self) -> usize {
        self.lots.iter().map(|lot| lot.limit).sum()
    }

    fn fits(&self, auto_delete: bool) -> Fit {
        let limits = self.limits();
        let least = usize::from(auto_delete);
        let prefetch = self.prefetch.min(MOST).max(least);
        if limits > prefetch {
            return Fit::TooMany;
        }
        let room = prefetch.saturating_sub(limits + self.orphans);
        if room > 0 && (self.lots.is_empty() || self.orphans == 0) {
            return Fit::RoomFor(u16::try_from(room).unwrap_or(u16::MAX));
        }
        if limits < least {
            Fit::RoomFor(1)
        } else {
            Fit::Well
        }
    }

    fn replace(&mut self, auto_delete: bool) -> Plan {
        let cancel = self.lots.drain(..).map(|lot| lot.tag).collect();
        let base = self.base;
        let back: Vec<u64> = self.waiting.drain(..).map(|delivery| delivery.tag).collect();
        for tag in &back {
            self.held.remove(tag);
        }
        self.orphans = self.held.len();
        self.changing = true;
        let room = self.prefetch.min(MOST).saturating_sub(self.orphans);
        let limit = room.max(usize::from(auto_delete));
        Plan::Replace {
            cancel,
            give_back: back.into_iter().map(|tag| tag - base).collect(),
            limit: u16::try_from(limit).unwrap_or(u16::MAX),
            never_without: auto_delete,
        }
    }

    /// Takes out what was handed over and is settled now.
    fn remove(&mut self, tag: u64) -> bool {
        let Some(held) = self.held.get(&tag).copied().filter(|held| held.handed) else {
            return false;
        };
        self.held.remove(&tag);
        self.handed -= 1;
        if !self.lots.iter().any(|lot| lot.id == held.lot) {
            self.orphans = self.orphans.saturating_sub(1);
        }
        true
    }

    fn acknowledge(&mut self, tags: &[u64]) -> Vec<Ack> {
        let mut tags = tags.to_vec();
        tags.sort_unstable();
        let base = self.base;
        // One for all up to here, where nothing else could be among them: of several lots a smaller tag may still come.
        let in_order = self.lots.len() == 1 && !self.changing;
        let mut acks: Vec<Ack> = Vec::new();
        let mut is_front = in_order;
        for tag in tags {
            is_front = is_front
                && self
                    .held
                    .first_key_value()
                    .is_some_and(|(first, _)| *first == tag);
            if !self.remove(tag) {
                continue;
            }
            let tag = tag - base;
            match acks.first_mut() {
                Some(first) if is_front => *first = Ack { tag, multiple: true },
                _ => acks.push(Ack { tag, multiple: false }),
            }
        }
        acks
    }
}

#[cfg(test)]
mod tests;
