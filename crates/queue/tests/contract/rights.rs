//! What a user of RabbitMQ has to be allowed: what is documented is enough, and what is missing is named.

use std::sync::Arc;

use muster_model::ErrorKind;
use muster_queue::{ExchangeKind, Message, Queue, QueueOptions};
use muster_runtime::clock;
use muster_testkit::RabbitMq;

use crate::checks::{Outcome, PATIENCE, ensure, told, with};

/// The patterns that `docs/operations/rabbitmq.md` gives.
pub(crate) fn documented() -> Result<[String; 3], &'static str> {
    let text = include_str!("../../../../docs/operations/rabbitmq.md");
    let line = text
        .lines()
        .find(|line| line.contains("rabbitmqctl set_permissions"));
    let mut patterns = line
        .ok_or("the line")?
        .split('\'')
        .skip(1)
        .step_by(2)
        .map(str::to_owned);
    let mut next = || patterns.next().ok_or("a pattern");
    Ok([next()?, next()?, next()?])
}

/// What the engine declares and does, by the names that it has for it.
pub(crate) async fn use_as_the_engine_does(queue: &Arc<dyn Queue>) -> Outcome {
    let work = QueueOptions {
        durable: true,
        max_priority: 9,
        ..QueueOptions::default()
    };
    let own = QueueOptions {
        auto_delete: true,
        ..QueueOptions::default()
    };
    queue
        .declare_exchange("muster.work", ExchangeKind::Direct)
        .await?;
    queue
        .declare_exchange("muster.events", ExchangeKind::Topic)
        .await?;
    queue
        .declare_exchange("muster.cancels", ExchangeKind::Fanout)
        .await?;
    queue.declare_queue("muster.work", work).await?;
    queue
        .bind("muster.work", "muster.work", "muster.work", &[])
        .await?;
    queue.declare_queue("muster.events.host-1", own).await?;
    queue
        .bind("muster.events.host-1", "muster.events", "task.#", &[])
        .await?;
    let mut work = queue.consume("muster.work", 10).await?;
    let mut events = queue.consume("muster.events.host-1", 10).await?;
    queue
        .publish("muster.work", vec![Message::new("muster.work", "run")])
        .await?;
    queue
        .publish("muster.events", vec![Message::new("task.1.web.started", "event")])
        .await?;
    queue
        .publish("muster.cancels", vec![Message::new("", "cancel")])
        .await?;
    for (consumer, expected) in [(&mut work, "run"), (&mut events, "event")] {
        let delivery = clock::deadline(PATIENCE, consumer.next())
            .await
            .map_err(|_| "nothing comes")?;
        let delivery = delivery.ok_or("the end")?;
        ensure(delivery.message.body == expected, "each gets its own")?;
        consumer.settler().ack(&[delivery.tag]).await?;
    }
    let asking = queue.call("muster.work", Message::new("muster.work", "up?"), PATIENCE);
    let answering = async {
        let request = work.next().await.ok_or("the end")?;
        queue.reply(&request.message, "up".into()).await?;
        work.settler().ack(&[request.tag]).await?;
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    };
    let (answer, answered) = futures_util::join!(asking, answering);
    answered?;
    ensure(answer? == "up", "calls are answered")?;
    ensure(queue.depth("muster.work").await? == 0, "the depth can be asked")?;
    queue.ping().await?;
    queue.delete_queue("muster.events.host-1").await?;
    Ok(())
}

pub(crate) fn the_documented_rights_are_enough(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    let [configure, write, read] = documented()?;
    let url = broker.user(&broker.fresh_vhost()?, &configure, &write, &read)?;
    with(runtime, &url, async |queue| {
        use_as_the_engine_does(&queue).await?;
        // And they are not more than that.
        let foreign = queue.declare_queue("accounting", QueueOptions::default()).await;
        ensure(
            foreign.is_err_and(|error| error.kind == ErrorKind::Denied),
            "other names are refused",
        )
    })
}

pub(crate) fn a_missing_right_is_named(broker: &RabbitMq, runtime: &tokio::runtime::Runtime) -> Outcome {
    let all = broker.fresh_vhost()?;
    with(runtime, &all, async |queue| use_as_the_engine_does(&queue).await)?;
    let url = broker.user(&all, "^none$", "^none$", "^none$")?;
    with(runtime, &url, async |queue| {
        for (failed, part) in [
            (
                queue.declare_queue("muster.more", QueueOptions::default()).await,
                "'configure' on queue 'muster.more'",
            ),
            (
                queue.declare_exchange("muster.more", ExchangeKind::Topic).await,
                "'configure' on exchange 'muster.more'",
            ),
            (
                queue.bind("muster.work", "muster.work", "x", &[]).await,
                "'write' on queue 'muster.work' and 'read' on exchange 'muster.work'",
            ),
            (
                queue
                    .publish("muster.work", vec![Message::new("muster.work", "x")])
                    .await,
                "'write' on exchange 'muster.work'",
            ),
            (
                queue.publish("", vec![Message::new("muster.work", "x")]).await,
                "'write' on exchange 'amq.default'",
            ),
            (
                queue.consume("muster.work", 1).await.map(drop),
                "'read' on queue 'muster.work'",
            ),
            (
                queue.delete_queue("muster.work").await,
                "'configure' on queue 'muster.work'",
            ),
        ] {
            let error = failed.err().ok_or_else(|| format!("it was allowed: {part}"))?;
            let is_clear = error.operation.contains(part);
            ensure(
                error.kind == ErrorKind::Denied && is_clear,
                format!("{part}: {:?} {}", error.kind, told(&error)),
            )?;
        }
        Ok(())
    })
}
