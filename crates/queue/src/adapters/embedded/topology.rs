//! Exchanges, queues and bindings, by name.

use std::collections::HashMap;
use std::sync::Arc;

use super::core::Core;
use super::headers::Match;
use super::topic::Topics;
use crate::types::{ExchangeKind, Message};

/// What is declared.
#[derive(Debug, Default)]
pub(super) struct Topology {
    pub(super) exchanges: HashMap<String, Exchange>,
    queues: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    core: Arc<Core>,
    /// What is to be undone when the queue goes.
    bindings: Vec<Binding>,
}

/// A binding, as it is told apart from others of the same queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) exchange: String,
    pub(super) key: String,
    pub(super) headers: Match,
}

/// An exchange with its bindings, kept as its kind looks them up.
#[derive(Debug)]
pub(super) enum Exchange {
    Direct(HashMap<String, Vec<Arc<Core>>>),
    Fanout(Vec<Arc<Core>>),
    Topic(Topics<Arc<Core>>),
    Headers(Vec<(Match, Arc<Core>)>),
}

impl Exchange {
    pub(super) fn new(kind: ExchangeKind) -> Self {
        match kind {
            ExchangeKind::Direct => Self::Direct(HashMap::new()),
            ExchangeKind::Fanout => Self::Fanout(Vec::new()),
            ExchangeKind::Topic => Self::Topic(Topics::new()),
            ExchangeKind::Headers => Self::Headers(Vec::new()),
        }
    }

    pub(super) fn kind(&self) -> ExchangeKind {
        match self {
            Self::Direct(_) => ExchangeKind::Direct,
            Self::Fanout(_) => ExchangeKind::Fanout,
            Self::Topic(_) => ExchangeKind::Topic,
            Self::Headers(_) => ExchangeKind::Headers,
        }
    }

    fn bind(&mut self, core: &Arc<Core>, binding: &Binding) {
        match self {
            Self::Direct(keys) => add(keys.entry(binding.key.clone()).or_default(), core),
            Self::Fanout(queues) => add(queues, core),
            Self::Topic(topics) => {
                topics.insert(&binding.key, Arc::clone(core));
            }
            Self::Headers(matches) => matches.push((binding.headers.clone(), Arc::clone(core))),
        }
    }

    fn unbind(&mut self, core: &Arc<Core>, binding: &Binding) {
        match self {
            Self::Direct(keys) => {
                if let Some(queues) = keys.get_mut(&binding.key) {
                    queues.retain(|bound| bound != core);
                    if queues.is_empty() {
                        keys.remove(&binding.key);
                    }
                }
            }
            Self::Fanout(queues) => queues.retain(|bound| bound != core),
            Self::Topic(topics) => topics.remove(&binding.key, core),
            Self::Headers(matches) => matches.retain(|(_, bound)| bound != core),
        }
    }

    /// Collects the queues that a message goes to, each once however many bindings match.
    fn route<'a>(&'a self, message: &Message, into: &mut Vec<&'a Arc<Core>>) {
        match self {
            Self::Direct(keys) => into.extend(keys.get(&message.key).into_iter().flatten()),
            Self::Fanout(queues) => into.extend(queues),
            Self::Topic(topics) => topics.matching(&message.key, |core| into.push(core)),
            Self::Headers(matches) => into.extend(
                matches
                    .iter()
                    .filter(|(asked, _)| asked.matches(&message.headers))
                    .map(|(_, core)| core),
            ),
        }
        if into.len() > 1 && matches!(self, Self::Topic(_) | Self::Headers(_)) {
            into.sort_unstable_by_key(|core| core.id);
            into.dedup();
        }
    }
}

fn add(queues: &mut Vec<Arc<Core>>, core: &Arc<Core>) {
    if !queues.contains(core) {
        queues.push(Arc::clone(core));
    }
}

/// Why a binding cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Queue,
    Exchange,
}

impl Topology {
    pub(super) fn queue(&self, name: &str) -> Option<&Arc<Core>> {
        self.queues.get(name).map(|entry| &entry.core)
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &Arc<Core>> {
        self.queues.values().map(|entry| &entry.core)
    }

    pub(super) fn queue_count(&self) -> usize {
        self.queues.len()
    }

    pub(super) fn insert(&mut self, core: Arc<Core>) {
        let entry = Entry {
            core: Arc::clone(&core),
            bindings: Vec::new(),
        };
        self.queues.insert(core.name.clone(), entry);
    }

    /// Binds; binding again changes nothing.
    pub(super) fn bind(&mut self, queue: &str, binding: Binding) -> Result<(), Missing> {
        let exchange = self
            .exchanges
            .get_mut(&binding.exchange)
            .ok_or(Missing::Exchange)?;
        let entry = self.queues.get_mut(queue).ok_or(Missing::Queue)?;
        if !entry.bindings.contains(&binding) {
            exchange.bind(&entry.core, &binding);
            entry.bindings.push(binding);
        }
        Ok(())
    }

    /// Takes a queue out with its bindings.
    pub(super) fn remove(&mut self, name: &str) -> Option<Arc<Core>> {
        let entry = self.queues.remove(name)?;
        for binding in &entry.bindings {
            if let Some(exchange) = self.exchanges.get_mut(&binding.exchange) {
                exchange.unbind(&entry.core, binding);
            }
        }
        Some(entry.core)
    }

    /// Collects the queues that a message to an exchange goes to; false where there is no such exchange.
    pub(super) fn route<'a>(
        &'a self,
        exchange: &str,
        message: &Message,
        into: &mut Vec<&'a Arc<Core>>,
    ) -> bool {
        if exchange.is_empty() {
            into.extend(self.queue(&message.key));
            return true;
        }
        let Some(exchange) = self.exchanges.get(exchange) else {
            return false;
        };
        exchange.route(message, into);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::embedded::meter::{Limits, Memory, Meter};
    use crate::types::QueueOptions;

    #[test]
    fn a_removed_queue_leaves_no_binding_behind() {
        let mut topology = Topology::default();
        let meter = Meter::new(Memory::new(Limits::default()));
        let core = Arc::new(Core::new(1, "queue", QueueOptions::default(), meter));
        topology.insert(Arc::clone(&core));
        for kind in [
            ExchangeKind::Direct,
            ExchangeKind::Fanout,
            ExchangeKind::Topic,
            ExchangeKind::Headers,
        ] {
            let exchange = format!("{kind:?}");
            topology.exchanges.insert(exchange.clone(), Exchange::new(kind));
            for key in ["a", "b"] {
                let headers = Match::parse(&[]);
                let (exchange, key) = (exchange.clone(), key.to_owned());
                topology
                    .bind(
                        "queue",
                        Binding {
                            exchange,
                            key,
                            headers,
                        },
                    )
                    .unwrap();
            }
        }
        assert!(Arc::strong_count(&core) > 8);
        topology.remove("queue");
        assert_eq!(Arc::strong_count(&core), 1);
    }
}
