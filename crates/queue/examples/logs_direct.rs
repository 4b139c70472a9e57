//! Lesson 4: logs by severity.
//!
//! `cargo run -p muster-queue --example logs_direct -- [URL]`
//!
//! A direct exchange looks at the message's key and gives a copy to each queue that is bound with an equal one. A queue
//! may be bound with several keys: the screen wants everything, the file errors alone.

use std::error::Error;

use muster_queue::{ExchangeKind, Message, QueueOptions, open};
use muster_runtime::Tasks;

const LOGS: &str = "lesson.logs.direct";
const SCREEN: &str = "lesson.direct.screen";
const FILE: &str = "lesson.direct.file";

/// Runs the lesson and says what happens.
pub(crate) async fn lesson(
    url: &str,
    say: &(dyn Fn(String) + Sync),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let tasks = Tasks::new();
    let queue = open(url, &tasks).await?;
    queue.declare_exchange(LOGS, ExchangeKind::Direct).await?;
    for (listener, severities) in [(SCREEN, &["info", "warning", "error"][..]), (FILE, &["error"])] {
        queue.declare_queue(listener, QueueOptions::default()).await?;
        for severity in severities {
            queue.bind(listener, LOGS, severity, &[]).await?;
        }
    }

    for (severity, line) in [("info", "started"), ("error", "disk is full"), ("debug", "x = 7")] {
        queue.publish(LOGS, vec![Message::new(severity, line)]).await?;
        say(format!("logged {severity}: '{line}'"));
    }

    for (listener, count) in [(SCREEN, 2), (FILE, 1)] {
        let mut consumer = queue.consume(listener, 10).await?;
        for _ in 0..count {
            let delivery = consumer.next().await.ok_or("the queue ended")?;
            consumer.settler().ack(&[delivery.tag]).await?;
            let (severity, line) = (
                &delivery.message.key,
                String::from_utf8_lossy(&delivery.message.body),
            );
            say(format!("{listener} has {severity}: '{line}'"));
        }
        // Nobody asked for debug.
        let left = queue.depth(listener).await?;
        say(format!("{listener} has {left} more"));
        drop(consumer);
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
