//! Lesson 1: a message goes into a queue at one end, and comes out at the other.
//!
//! `cargo run -p muster-queue --example hello -- [URL]`
//!
//! The URL is `memory:` where none is given: a queue inside this process. With `amqp://user:password@host/vhost` the
//! same lines run on RabbitMQ. Who sends and who receives need not know each other, nor be there at the same time:
//! both know the name of a queue.

use std::error::Error;

use muster_queue::{Message, QueueOptions, open};
use muster_runtime::Tasks;

const QUEUE: &str = "lesson.hello";

/// Runs the lesson and says what happens.
pub(crate) async fn lesson(
    url: &str,
    say: &(dyn Fn(String) + Sync),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let tasks = Tasks::new();
    let queue = open(url, &tasks).await?;

    // Declaring is "let it be there": whoever comes first makes it, and everybody may say it again.
    queue.declare_queue(QUEUE, QueueOptions::default()).await?;

    // The exchange "" brings a message to the queue that its key names.
    queue
        .publish("", vec![Message::new(QUEUE, "hello world")])
        .await?;
    say("sent 'hello world'".to_owned());

    let mut consumer = queue.consume(QUEUE, 1).await?;
    if let Some(delivery) = consumer.next().await {
        let text = String::from_utf8_lossy(&delivery.message.body).into_owned();
        // Only now is it gone. Without this line it would be delivered again.
        consumer.settler().ack(&[delivery.tag]).await?;
        say(format!("received '{text}'"));
    }

    queue.delete_queue(QUEUE).await?;
    queue.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    lesson(&url, &|line| println!("{line}")).await
}
