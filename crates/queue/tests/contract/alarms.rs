//! A broker in alarm, which takes no messages: for want of memory, and of disk.

use std::time::{Duration, Instant};

use muster_model::ErrorKind;
use muster_queue::{Message, QueueOptions};
use muster_runtime::clock;
use muster_testkit::RabbitMq;

use crate::checks::{Outcome, PATIENCE, ensure, told, with};

pub(crate) fn a_broker_in_alarm_is_told_and_can_still_be_drained(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    with(runtime, &broker.fresh_vhost()?, async |queue| {
        queue.declare_queue("q", QueueOptions::default()).await?;
        let numbers = (0..20).map(|number| Message::new("q", number.to_string()));
        queue.publish("", numbers.collect()).await?;
        let mut consumer = queue.consume("q", 5).await?;
        broker.memory_alarm(true)?;
        let alarmed = async {
            // The first may be taken before the broker says so: what it says it says to who publishes.
            for _ in 0..3 {
                let started = Instant::now();
                let failed = queue.publish("", vec![Message::new("q", "late")]).await;
                ensure(started.elapsed() < PATIENCE, "the wait is bounded")?;
                if let Err(error) = failed {
                    let is_clear = error.operation.contains("alarm") && error.operation.contains("memory");
                    ensure(error.kind.may_pass() && is_clear, told(&error))?;
                    let second = queue.publish("", vec![Message::new("q", "late")]).await;
                    let kind = second.err().map(|error| error.kind);
                    return ensure(
                        kind == Some(ErrorKind::Unavailable),
                        format!("known beforehand: {kind:?}"),
                    );
                }
            }
            Err("a broker in alarm takes everything".into())
        };
        // What is acknowledged comes to the broker all the same.
        let draining = async {
            for number in 0..20 {
                let delivery = clock::deadline(PATIENCE, consumer.next()).await;
                let delivery = delivery.map_err(|_| "nothing comes any more")?.ok_or("the end")?;
                ensure(delivery.message.body == number.to_string(), "they come in order")?;
                consumer.settler().ack(&[delivery.tag]).await?;
            }
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        };
        let (alarmed, drained) = futures_util::join!(alarmed, draining);
        broker.memory_alarm(false)?;
        drained?;
        alarmed?;
        let started = Instant::now();
        while let Err(error) = queue.publish("", vec![Message::new("q", "after")]).await {
            ensure(started.elapsed() < PATIENCE, told(&error))?;
        }
        loop {
            let delivery = clock::deadline(PATIENCE, consumer.next()).await;
            let delivery = delivery
                .map_err(|_| "nothing comes after the alarm")?
                .ok_or("the end")?;
            consumer.settler().ack(&[delivery.tag]).await?;
            if delivery.message.body == "after" {
                return Ok(());
            }
        }
    })
}

/// Nobody has published since it began, and the broker says it to publishers alone.
pub(crate) fn who_asks_how_a_broker_is_hears_of_an_alarm_at_once(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    with(runtime, &broker.fresh_vhost()?, async |queue| {
        queue.ping().await?;
        broker.memory_alarm(true)?;
        let mut told_of_it = Ok(());
        // One that finds it out, and one that knows.
        for _ in 0..2 {
            let started = Instant::now();
            let said = queue.ping().await.err().map(|error| (error.kind, told(&error)));
            let is_clear = matches!(&said, Some((ErrorKind::Unavailable, text))
                if text.contains("in alarm") && text.contains("memory"));
            told_of_it = told_of_it
                .and_then(|()| ensure(is_clear, format!("it hears of the alarm: {said:?}")))
                .and_then(|()| ensure(started.elapsed() < Duration::from_secs(5), "at once"));
        }
        broker.memory_alarm(false)?;
        told_of_it?;
        let started = Instant::now();
        while let Err(error) = queue.ping().await {
            ensure(started.elapsed() < PATIENCE, told(&error))?;
            clock::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    })
}

/// What a full disk must not cost: a message that somebody was told is kept.
pub(crate) fn a_broker_without_disk_takes_nothing_loses_nothing_and_goes_on(
    broker: &RabbitMq,
    runtime: &tokio::runtime::Runtime,
) -> Outcome {
    with(runtime, &broker.fresh_vhost()?, async |queue| {
        let kept = QueueOptions {
            durable: true,
            ..QueueOptions::default()
        };
        queue.declare_queue("q", kept).await?;
        let message = |text: &str| Message {
            persistent: true,
            ..Message::new("q", text.to_owned())
        };
        queue.publish("", vec![message("before")]).await?;
        let mut confirmed = vec!["before".to_owned()];
        let (mut unknown, mut not_done) = (Vec::new(), Vec::new());
        broker.disk_alarm(true)?;
        let started = Instant::now();
        while not_done.is_empty() {
            let text = format!("late {}", unknown.len() + confirmed.len());
            match queue.publish("", vec![message(&text)]).await {
                // The first may be taken before the broker says so.
                Ok(()) => confirmed.push(text),
                Err(error) => {
                    let is_clear = error.operation.contains("alarm") && error.operation.contains("disk");
                    ensure(is_clear, told(&error))?;
                    match error.kind {
                        ErrorKind::OutcomeUnknown => unknown.push(text),
                        ErrorKind::Unavailable => not_done.push(text),
                        kind => return Err(format!("{kind:?}").into()),
                    }
                }
            }
            ensure(started.elapsed() < PATIENCE * 2, "it is told in time")?;
        }
        ensure(
            !confirmed.contains(&"late 3".to_owned()),
            "it takes nothing in alarm",
        )?;
        let said = queue.ping().await.err().map(|error| (error.kind, told(&error)));
        ensure(
            matches!(&said, Some((ErrorKind::Unavailable, text)) if text.contains("alarm") && text.contains("disk")),
            format!("who asks how it is hears of the alarm: {said:?}"),
        )?;
        // One that waits while the alarm ends goes through.
        let (waited, ended) = futures_util::join!(queue.publish("", vec![message("waited")]), async {
            broker.disk_alarm(false)
        });
        ended?;
        waited.map_err(|error| told(&error))?;
        confirmed.push("waited".to_owned());
        queue.ping().await?;
        let mut consumer = queue.consume("q", 100).await?;
        let mut seen = Vec::new();
        while !confirmed.iter().all(|text| seen.contains(text)) {
            let delivery = clock::deadline(PATIENCE, consumer.next()).await;
            let delivery = delivery
                .map_err(|_| format!("of {confirmed:?} only {seen:?} are there"))?
                .ok_or("the end")?;
            consumer.settler().ack(&[delivery.tag]).await?;
            let text = String::from_utf8_lossy(&delivery.message.body).into_owned();
            ensure(!seen.contains(&text), format!("'{text}' is there once"))?;
            let is_ours = confirmed.contains(&text) || unknown.contains(&text);
            ensure(
                is_ours,
                format!("'{text}' of {not_done:?} was said not to be taken"),
            )?;
            seen.push(text);
        }
        Ok(())
    })
}
