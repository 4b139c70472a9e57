//! Lesson 8: a producer, a consumer, and in which order things come out: first in first out, last in first out, and
//! by priority.
//!
//! `cargo run -p muster-queue --example orders -- [URL]`
//!
//! A queue is first in, first out. That is all it is by itself, and the two others rest on it:
//!
//! - **By priority.** A queue that was declared with a highest priority hands out more urgent messages first, and
//!   those of one priority as they came.
//! - **Last in, first out.** No queue of AMQP does this. Two honest ways to have it: give each message a higher
//!   priority than the one before, which ends at the highest priority (255 at most, and RabbitMQ asks to keep it small);
//!   or let the consumer take all that waits and keep it on a stack of its own, which needs room for all of it there
//!   and is shared with nobody. Both are shown.

use std::error::Error;
use std::sync::Arc;

use muster_queue::{Message, Queue, QueueOptions, open};
use muster_runtime::Tasks;

const QUEUE: &str = "lesson.orders";
const PIECES: [(&str, u8); 5] = [("one", 1), ("two", 5), ("three", 1), ("four", 9), ("five", 5)];

/// Makes the queue, and puts the pieces in with the priorities that they are given.
async fn produce(
    queue: &Arc<dyn Queue>,
    max_priority: u8,
    priority: impl Fn(usize, u8) -> u8,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let options = QueueOptions {
        max_priority,
        ..QueueOptions::default()
    };
    queue.declare_queue(QUEUE, options).await?;
    let pieces = PIECES.iter().enumerate().map(|(at, (text, own))| Message {
        priority: priority(at, *own),
        ..Message::new(QUEUE, *text)
    });
    queue.publish("", pieces.collect()).await?;
    Ok(())
}

/// Takes all pieces, as they come, and removes the queue.
async fn consume(queue: &Arc<dyn Queue>) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    let mut consumer = queue.consume(QUEUE, 1).await?;
    let mut found = Vec::new();
    while found.len() < PIECES.len() {
        let delivery = consumer.next().await.ok_or("the queue ended")?;
        consumer.settler().ack(&[delivery.tag]).await?;
        found.push(String::from_utf8_lossy(&delivery.message.body).into_owned());
    }
    queue.delete_queue(QUEUE).await?;
    Ok(found)
}

/// Runs the lesson and says what happens.
pub(crate) async fn lesson(
    url: &str,
    say: &(dyn Fn(String) + Sync),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let tasks = Tasks::new();
    let queue = open(url, &tasks).await?;
    say(format!("in: {}", PIECES.map(|(text, _)| text).join(" ")));

    produce(&queue, 0, |_, _| 0).await?;
    say(format!(
        "first in, first out: {}",
        consume(&queue).await?.join(" ")
    ));

    produce(&queue, 9, |_, own| own).await?;
    say(format!("by priority: {}", consume(&queue).await?.join(" ")));

    produce(&queue, 9, |at, _| u8::try_from(at).unwrap_or(u8::MAX)).await?;
    say(format!(
        "last in, first out, by rising priorities: {}",
        consume(&queue).await?.join(" ")
    ));

    produce(&queue, 0, |_, _| 0).await?;
    let mut stack = consume(&queue).await?;
    let mut found = Vec::new();
    while let Some(last) = stack.pop() {
        found.push(last);
    }
    say(format!(
        "last in, first out, by the consumer's stack: {}",
        found.join(" ")
    ));

    queue.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    lesson(&url, &|line| println!("{line}")).await
}
