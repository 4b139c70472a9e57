//! What has been declared here, so that it can be declared again on a broker that has lost it.

use std::collections::BTreeMap;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use muster_model::ErrorKind;

use super::link::Link;
use super::message::{millis, short, table};
use crate::adapters::checks::clip;
use crate::error::Error;
use crate::types::{ExchangeKind, QueueOptions};

/// Redeliveries are counted by quorum queues, and RabbitMQ 4 drops a message after twenty where nobody has said
/// otherwise. Nothing here may drop what was not settled.
const REDELIVERIES: i64 = 1_000_000_000;

/// A binding of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) exchange: String,
    pub(super) key: String,
    pub(super) arguments: Vec<(String, String)>,
}

/// A queue that was declared here.
#[derive(Clone, Debug)]
struct Declared {
    options: QueueOptions,
    bindings: Vec<Binding>,
    /// How many consumers it has here.
    consumers: usize,
    /// Which declaration it is: a consumer of one that is gone counts no more.
    number: u64,
}

/// Exchanges, queues and bindings.
#[derive(Debug, Default)]
pub(super) struct Topology {
    exchanges: BTreeMap<String, ExchangeKind>,
    queues: BTreeMap<String, Declared>,
    declared_ever: u64,
}

impl Topology {
    pub(super) fn note_exchange(&mut self, name: &str, kind: ExchangeKind) {
        self.exchanges.insert(name.to_owned(), kind);
    }

    pub(super) fn has_exchange(&self, name: &str) -> bool {
        self.exchanges.contains_key(name)
    }

    pub(super) fn note_queue(&mut self, name: &str, options: &QueueOptions) {
        self.declared_ever += 1;
        self.queues.entry(name.to_owned()).or_insert_with(|| Declared {
            options: options.clone(),
            bindings: Vec::new(),
            consumers: 0,
            number: self.declared_ever,
        });
    }

    pub(super) fn note_binding(&mut self, queue: &str, binding: Binding) {
        if let Some(queue) = self.queues.get_mut(queue)
            && !queue.bindings.contains(&binding)
        {
            queue.bindings.push(binding);
        }
    }

    pub(super) fn forget_queue(&mut self, name: &str) {
        self.queues.remove(name);
    }

    /// Tells whether a queue goes with its last consumer.
    pub(super) fn is_auto_delete(&self, name: &str) -> bool {
        self.queues
            .get(name)
            .is_some_and(|queue| queue.options.auto_delete)
    }

    /// Notes that a consumer is there; returns the number of the declaration that it consumes from.
    pub(super) fn consumer_came(&mut self, name: &str) -> u64 {
        self.queues.get_mut(name).map_or(0, |queue| {
            queue.consumers += 1;
            queue.number
        })
    }

    /// Notes that a consumer has left. A queue that goes with it is not declared again.
    pub(super) fn consumer_left(&mut self, name: &str, number: u64) {
        if let Some(queue) = self.queues.get_mut(name)
            && queue.number == number
        {
            queue.consumers = queue.consumers.saturating_sub(1);
            if queue.consumers == 0 && queue.options.auto_delete {
                self.queues.remove(name);
            }
        }
    }

    /// Forgets what has gone with the connection: a queue that goes with its consumers, and had any. Declared again it
    /// would have none, and stay for ever.
    pub(super) fn connection_lost(&mut self) {
        self.queues
            .retain(|_, queue| !queue.options.auto_delete || queue.consumers == 0);
    }

    /// Returns everything, as it stands.
    pub(super) fn all(&self) -> Snapshot {
        Snapshot {
            exchanges: self
                .exchanges
                .iter()
                .map(|(name, kind)| (name.clone(), *kind))
                .collect(),
            queues: self
                .queues
                .iter()
                .map(|(name, queue)| (name.clone(), queue.options.clone(), queue.bindings.clone()))
                .collect(),
        }
    }
}

/// A topology that is to be declared again.
pub(super) struct Snapshot {
    exchanges: Vec<(String, ExchangeKind)>,
    queues: Vec<(String, QueueOptions, Vec<Binding>)>,
}

impl Snapshot {
    /// Declares it. What is there with other options by now is told and left; without the connection it fails.
    pub(super) async fn declare(self, link: &Link) -> Result<(), Error> {
        for (name, kind) in self.exchanges {
            tolerate(declare_exchange(link, &name, kind).await)?;
        }
        for (name, options, bindings) in self.queues {
            tolerate(declare_queue(link, &name, &options).await)?;
            for binding in bindings {
                tolerate(bind(link, &name, &binding).await)?;
            }
        }
        Ok(())
    }
}

fn tolerate(outcome: Result<(), Error>) -> Result<(), Error> {
    match outcome {
        Err(error) if error.kind != ErrorKind::Unavailable => {
            tracing::error!(%error, "what was declared before cannot be declared again");
            Ok(())
        }
        other => other,
    }
}

/// Declares an exchange, which survives restarts.
pub(super) async fn declare_exchange(link: &Link, name: &str, kind: ExchangeKind) -> Result<(), Error> {
    let operation = format!("declare exchange '{name}'");
    let needs = format!("'configure' on exchange '{name}'");
    let short = short(name, || operation.clone())?;
    let kind = match kind {
        ExchangeKind::Direct => lapin::ExchangeKind::Direct,
        ExchangeKind::Fanout => lapin::ExchangeKind::Fanout,
        ExchangeKind::Topic => lapin::ExchangeKind::Topic,
        ExchangeKind::Headers => lapin::ExchangeKind::Headers,
    };
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    link.control(&operation, &needs, |channel| async move {
        channel
            .exchange_declare(short, kind, options, FieldTable::default())
            .await
    })
    .await
}

/// Declares a queue.
pub(super) async fn declare_queue(link: &Link, name: &str, options: &QueueOptions) -> Result<(), Error> {
    let operation = format!("declare queue '{name}'");
    let needs = match &options.dead_letter_exchange {
        Some(exchange) => {
            format!("'configure' on queue '{name}' ('read' on it and 'write' on exchange '{exchange}' too)")
        }
        None => format!("'configure' on queue '{name}'"),
    };
    let short = short(name, || operation.clone())?;
    let declare = QueueDeclareOptions {
        durable: options.durable,
        auto_delete: options.auto_delete,
        ..QueueDeclareOptions::default()
    };
    let arguments = arguments(options);
    link.control(&operation, &needs, |channel| async move {
        channel.queue_declare(short, declare, arguments).await.map(drop)
    })
    .await
}

/// Binds a queue.
pub(super) async fn bind(link: &Link, queue: &str, binding: &Binding) -> Result<(), Error> {
    let exchange = &binding.exchange;
    let operation = format!("bind queue '{queue}' to exchange '{exchange}'");
    let needs = format!("'write' on queue '{queue}' and 'read' on exchange '{exchange}'");
    let of = |text: &str| short(text, || operation.clone());
    let (queue, exchange, key) = (of(queue)?, of(exchange)?, of(&binding.key)?);
    let arguments = table(&binding.arguments, || operation.clone())?;
    link.control(&operation, &needs, |channel| async move {
        channel
            .queue_bind(queue, exchange, key, QueueBindOptions::default(), arguments)
            .await
    })
    .await
}

/// Deletes a queue with what is in it.
pub(super) async fn delete_queue(link: &Link, name: &str) -> Result<(), Error> {
    let operation = format!("delete queue '{}'", clip(name));
    let needs = format!("'configure' on queue '{name}'");
    let short = short(name, || operation.clone())?;
    link.control(&operation, &needs, |channel| async move {
        channel
            .queue_delete(short, QueueDeleteOptions::default())
            .await
            .map(drop)
    })
    .await
}

/// Returns how many messages wait in a queue.
pub(super) async fn depth(link: &Link, name: &str) -> Result<u64, Error> {
    let operation = format!("depth of queue '{}'", clip(name));
    let short = short(name, || operation.clone())?;
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    link.control(&operation, "", |channel| async move {
        let queue = channel
            .queue_declare(short, options, FieldTable::default())
            .await?;
        Ok(u64::from(queue.message_count()))
    })
    .await
}

/// Tells whether a queue is kept by several nodes: whatever is durable, but for what such queues cannot do.
fn is_quorum(options: &QueueOptions) -> bool {
    options.durable && !options.auto_delete && options.max_priority == 0
}

fn arguments(options: &QueueOptions) -> FieldTable {
    let mut table = FieldTable::default();
    let number = |number: u64| AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX));
    let text = |text: &str| AMQPValue::LongString(text.into());
    if is_quorum(options) {
        table.insert("x-queue-type".into(), text("quorum"));
        table.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(REDELIVERIES));
    } else {
        table.insert("x-queue-type".into(), text("classic"));
    }
    if options.max_priority > 0 {
        table.insert("x-max-priority".into(), number(options.max_priority.into()));
    }
    if let Some(time) = options.message_ttl {
        table.insert("x-message-ttl".into(), number(millis(time)));
    }
    if let Some(length) = options.max_length {
        table.insert("x-max-length".into(), number(length));
        table.insert("x-overflow".into(), text("drop-head"));
    }
    if let Some(exchange) = &options.dead_letter_exchange {
        table.insert("x-dead-letter-exchange".into(), text(exchange));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_type(options: &QueueOptions) -> String {
        match arguments(options).inner().get("x-queue-type") {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn durable_queues_are_quorum_queues_but_for_what_those_cannot_do() {
        let durable = QueueOptions {
            durable: true,
            ..QueueOptions::default()
        };
        assert_eq!(of_type(&durable), "quorum");
        for options in [
            QueueOptions::default(),
            QueueOptions {
                max_priority: 9,
                ..durable.clone()
            },
            QueueOptions {
                auto_delete: true,
                ..durable
            },
        ] {
            assert_eq!(of_type(&options), "classic", "{options:?}");
        }
    }

    #[test]
    fn a_queue_that_goes_with_its_consumers_is_not_declared_again_after_them() {
        let mut topology = Topology::default();
        let auto_delete = QueueOptions {
            auto_delete: true,
            ..QueueOptions::default()
        };
        topology.note_queue("passing", &auto_delete);
        topology.note_queue("staying", &QueueOptions::default());
        let mut numbers = Vec::new();
        for queue in ["passing", "staying"] {
            let number = topology.consumer_came(queue);
            assert_eq!(topology.consumer_came(queue), number);
            topology.consumer_left(queue, number);
            numbers.push(number);
        }
        assert_eq!(names(&topology), ["passing", "staying"]);
        topology.consumer_left("passing", numbers[0]);
        topology.consumer_left("staying", numbers[1]);
        assert_eq!(names(&topology), ["staying"]);
    }

    fn names(topology: &Topology) -> Vec<String> {
        topology.all().queues.into_iter().map(|(name, ..)| name).collect()
    }

    #[test]
    fn what_goes_with_the_connection_is_forgotten_and_older_consumers_do_not_count_for_what_is_declared_anew()
    {
        let mut topology = Topology::default();
        let auto_delete = QueueOptions {
            auto_delete: true,
            ..QueueOptions::default()
        };
        topology.note_queue("heard", &auto_delete);
        topology.note_queue("not yet heard", &auto_delete);
        topology.note_queue("staying", &QueueOptions::default());
        let old = topology.consumer_came("heard");
        topology.consumer_came("staying");
        topology.connection_lost();
        assert_eq!(names(&topology), ["not yet heard", "staying"]);
        topology.note_queue("heard", &auto_delete);
        let new = topology.consumer_came("heard");
        topology.consumer_left("heard", old);
        assert!(topology.is_auto_delete("heard"), "the new one is there");
        topology.consumer_left("heard", new);
        assert_eq!(names(&topology), ["not yet heard", "staying"]);
    }
}
