//! Prints how many messages a second the embedded queue takes, as rough figures for people.
//!
//! `cargo run --release -p muster-queue --example rate`

use std::error::Error;
use std::time::{Duration, Instant};

use muster_queue::{Consumer, ExchangeKind, Message, QueueOptions, open};
use muster_runtime::Tasks;

const MESSAGES: usize = 200_000;
const BATCH: usize = 100;
const WATCHERS: usize = 300;

fn batch(key: &str, size: usize) -> Vec<Message> {
    let body = bytes::Bytes::from(vec![7; 200]);
    (0..size).map(|_| Message::new(key, body.clone())).collect()
}

/// Takes and acknowledges so many messages.
async fn drain(mut consumer: Box<dyn Consumer>, count: usize) -> Result<(), Box<dyn Error>> {
    let settler = consumer.settler();
    for _ in 0..count {
        let delivery = consumer.next().await.ok_or("the queue ended")?;
        settler.ack(&[delivery.tag]).await?;
    }
    Ok(())
}

fn report(what: &str, count: usize, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    println!("{what:<58} {rate:>12.0} messages/s");
}

/// One queue: publish, then consume and acknowledge.
async fn work_queue(tasks: &Tasks, size: usize) -> Result<(), Box<dyn Error>> {
    let queue = open("memory:", tasks).await?;
    queue.declare_queue("work", QueueOptions::default()).await?;
    let start = Instant::now();
    for _ in 0..MESSAGES / size {
        queue.publish("", batch("work", size)).await?;
    }
    report(&format!("publish, {size} at a time"), MESSAGES, start.elapsed());
    let start = Instant::now();
    drain(queue.consume("work", 100).await?, MESSAGES / size * size).await?;
    report("consume and acknowledge, prefetch 100", MESSAGES, start.elapsed());
    queue.close().await;
    Ok(())
}

/// Publish and consume at the same time.
async fn through(tasks: &Tasks) -> Result<(), Box<dyn Error>> {
    let queue = open("memory:", tasks).await?;
    queue.declare_queue("work", QueueOptions::default()).await?;
    let consumer = queue.consume("work", 100).await?;
    let publisher = std::sync::Arc::clone(&queue);
    let start = Instant::now();
    tasks.spawn("publisher", async move {
        for _ in 0..MESSAGES / BATCH {
            if let Err(error) = publisher.publish("", batch("work", BATCH)).await {
                eprintln!("{error}");
            }
        }
    });
    drain(consumer, MESSAGES).await?;
    report(
        "publish, consume and acknowledge at once",
        MESSAGES,
        start.elapsed(),
    );
    queue.close().await;
    Ok(())
}

/// One message to many queues.
async fn fanout(tasks: &Tasks, queues: usize) -> Result<(), Box<dyn Error>> {
    let queue = open("memory:", tasks).await?;
    queue.declare_exchange("all", ExchangeKind::Fanout).await?;
    let mut consumers = Vec::new();
    for number in 0..queues {
        let name = format!("watcher.{number}");
        queue.declare_queue(&name, QueueOptions::default()).await?;
        queue.bind(&name, "all", "", &[]).await?;
        consumers.push(queue.consume(&name, 100).await?);
    }
    let published = MESSAGES / queues;
    let start = Instant::now();
    for _ in 0..published / BATCH {
        queue.publish("all", batch("any", BATCH)).await?;
    }
    for consumer in consumers {
        drain(consumer, published / BATCH * BATCH).await?;
    }
    let count = published / BATCH * BATCH * queues;
    report(
        &format!("fanout to {queues} queues, delivered"),
        count,
        start.elapsed(),
    );
    queue.close().await;
    Ok(())
}

/// Events of one task while others are watched.
async fn watchers(tasks: &Tasks) -> Result<(), Box<dyn Error>> {
    let queue = open("memory:", tasks).await?;
    queue.declare_exchange("events", ExchangeKind::Topic).await?;
    let mut consumers = Vec::new();
    for number in 0..WATCHERS {
        let name = format!("watcher.{number}");
        queue.declare_queue(&name, QueueOptions::default()).await?;
        queue
            .bind(&name, "events", &format!("task.{number}.#"), &[])
            .await?;
        consumers.push(queue.consume(&name, 100).await?);
    }
    let start = Instant::now();
    for _ in 0..MESSAGES / BATCH {
        queue
            .publish("events", batch("task.7.web-01.started", BATCH))
            .await?;
    }
    drain(consumers.swap_remove(7), MESSAGES).await?;
    report(
        &format!("topic with {WATCHERS} watchers, to one of them"),
        MESSAGES,
        start.elapsed(),
    );
    queue.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tasks = Tasks::new();
    work_queue(&tasks, 1).await?;
    work_queue(&tasks, BATCH).await?;
    through(&tasks).await?;
    fanout(&tasks, 2).await?;
    fanout(&tasks, 100).await?;
    watchers(&tasks).await?;
    tasks.close(Duration::from_secs(5)).await;
    Ok(())
}
