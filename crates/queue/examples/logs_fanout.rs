//! Lesson 3: one message for everybody who listens.
//!
//! `cargo run -p muster-queue --example logs_fanout -- [URL]`
//!
//! Who publishes does not name queues any more, but an exchange; queues are bound to it by those who want to listen.
//! A fanout exchange gives each bound queue a copy. Nobody bound: the message is dropped, as words in an empty room.

use std::error::Error;

use muster_queue::{ExchangeKind, Message, QueueOptions, open};
use muster_runtime::Tasks;

const LOGS: &str = "lesson.logs";
const LISTENERS: [&str; 2] = ["lesson.logs.screen", "lesson.logs.disk"];

/// Runs the lesson and says what happens.
pub(crate) async fn lesson(
    url: &str,
    say: &(dyn Fn(String) + Sync),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let tasks = Tasks::new();
    let queue = open(url, &tasks).await?;
    queue.declare_exchange(LOGS, ExchangeKind::Fanout).await?;

    queue
        .publish(LOGS, vec![Message::new("", "nobody hears this")])
        .await?;
    say("logged 'nobody hears this'".to_owned());

    for listener in LISTENERS {
        queue.declare_queue(listener, QueueOptions::default()).await?;
        queue.bind(listener, LOGS, "", &[]).await?;
    }
    for line in ["disk is full", "disk is empty again"] {
        queue.publish(LOGS, vec![Message::new("", line)]).await?;
        say(format!("logged '{line}'"));
    }

    for listener in LISTENERS {
        let mut consumer = queue.consume(listener, 10).await?;
        for _ in 0..2 {
            let delivery = consumer.next().await.ok_or("the queue ended")?;
            consumer.settler().ack(&[delivery.tag]).await?;
            let line = String::from_utf8_lossy(&delivery.message.body).into_owned();
            say(format!("{listener} has '{line}'"));
        }
        queue.delete_queue(listener).await?;
    }
    queue.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    lesson(&url, &|line| println!("{line}")).await
}
