//! Prints how many messages a second a queue takes, as rough figures for people.
//!
//! `cargo run --release -p muster-queue --features rabbitmq --example message_rate -- [URL]`
//!
//! The URL is `memory:` where none is given. With `amqp://user:password@host/vhost` the same is done on RabbitMQ, with
//! fewer messages, and with durable queues too; the virtual host should be one that nobody else uses.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_queue::{Consumer, ExchangeKind, Message, Queue, QueueOptions, open};
use muster_runtime::Tasks;

const BATCH: usize = 100;
const WATCHERS: usize = 300;

/// What is measured.
struct Engine {
    url: String,
    messages: usize,
    tasks: Tasks,
}

impl Engine {
    async fn open(&self) -> Result<Arc<dyn Queue>, Box<dyn Error>> {
        Ok(open(&self.url, &self.tasks).await?)
    }
}

fn batch(key: &str, size: usize) -> Vec<Message> {
    let body = bytes::Bytes::from(vec![7; 200]);
    let message = || Message {
        persistent: true,
        ..Message::new(key, body.clone())
    };
    (0..size).map(|_| message()).collect()
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
async fn work_queue(engine: &Engine, size: usize, options: QueueOptions) -> Result<(), Box<dyn Error>> {
    let queue = engine.open().await?;
    let kind = match (options.durable, options.max_priority) {
        (false, _) => "",
        (true, 0) => ", durable",
        (true, _) => ", durable, priorities",
    };
    // One at a time, each waits for its confirm.
    let messages = if size == 1 {
        engine.messages / 10
    } else {
        engine.messages
    };
    queue.delete_queue("work").await?;
    queue.declare_queue("work", options).await?;
    let start = Instant::now();
    for _ in 0..messages / size {
        queue.publish("", batch("work", size)).await?;
    }
    report(
        &format!("publish, {size} at a time{kind}"),
        messages,
        start.elapsed(),
    );
    let start = Instant::now();
    drain(queue.consume("work", 100).await?, messages / size * size).await?;
    report(
        &format!("consume and acknowledge, prefetch 100{kind}"),
        messages,
        start.elapsed(),
    );
    queue.delete_queue("work").await?;
    queue.close().await;
    Ok(())
}

/// Publish and consume at the same time.
async fn through(engine: &Engine) -> Result<(), Box<dyn Error>> {
    let queue = engine.open().await?;
    queue.delete_queue("work").await?;
    queue.declare_queue("work", QueueOptions::default()).await?;
    let consumer = queue.consume("work", 100).await?;
    let publisher = Arc::clone(&queue);
    let start = Instant::now();
    let messages = engine.messages;
    engine.tasks.spawn("publisher", async move {
        for _ in 0..messages / BATCH {
            if let Err(error) = publisher.publish("", batch("work", BATCH)).await {
                eprintln!("{error}");
            }
        }
    });
    drain(consumer, engine.messages).await?;
    report(
        "publish, consume and acknowledge at once",
        engine.messages,
        start.elapsed(),
    );
    queue.close().await;
    Ok(())
}

/// One message to many queues.
async fn fanout(engine: &Engine, queues: usize) -> Result<(), Box<dyn Error>> {
    let queue = engine.open().await?;
    queue.declare_exchange("all", ExchangeKind::Fanout).await?;
    let mut consumers = Vec::new();
    for number in 0..queues {
        let name = format!("watcher.{number}");
        queue.delete_queue(&name).await?;
        queue.declare_queue(&name, QueueOptions::default()).await?;
        queue.bind(&name, "all", "", &[]).await?;
        consumers.push(queue.consume(&name, 100).await?);
    }
    let published = engine.messages / queues;
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
async fn watchers(engine: &Engine) -> Result<(), Box<dyn Error>> {
    let queue = engine.open().await?;
    queue.declare_exchange("events", ExchangeKind::Topic).await?;
    let mut consumers = Vec::new();
    for number in 0..WATCHERS {
        let name = format!("watcher.{number}");
        queue.delete_queue(&name).await?;
        queue.declare_queue(&name, QueueOptions::default()).await?;
        queue
            .bind(&name, "events", &format!("task.{number}.#"), &[])
            .await?;
        consumers.push(queue.consume(&name, 100).await?);
    }
    let start = Instant::now();
    for _ in 0..engine.messages / BATCH {
        queue
            .publish("events", batch("task.7.web-01.started", BATCH))
            .await?;
    }
    drain(consumers.swap_remove(7), engine.messages).await?;
    report(
        &format!("topic with {WATCHERS} watchers, to one of them"),
        engine.messages,
        start.elapsed(),
    );
    queue.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let is_embedded = url.starts_with("memory:");
    let engine = Engine {
        url,
        messages: if is_embedded { 200_000 } else { 50_000 },
        tasks: Tasks::new(),
    };
    let durable = QueueOptions {
        durable: true,
        ..QueueOptions::default()
    };
    let urgent = QueueOptions {
        max_priority: 9,
        ..durable.clone()
    };
    work_queue(&engine, 1, QueueOptions::default()).await?;
    work_queue(&engine, BATCH, QueueOptions::default()).await?;
    if !is_embedded {
        work_queue(&engine, 1, durable.clone()).await?;
        work_queue(&engine, BATCH, durable).await?;
        work_queue(&engine, BATCH, urgent).await?;
    }
    through(&engine).await?;
    fanout(&engine, 2).await?;
    fanout(&engine, 100).await?;
    watchers(&engine).await?;
    engine.tasks.close(Duration::from_secs(5)).await;
    Ok(())
}
