//! Lesson 5: logs by facility and severity.
//!
//! `cargo run -p muster-queue --example logs_topic -- [URL]`
//!
//! Keys of a topic exchange are words with dots between: here `facility.severity`. A binding is a pattern of words,
//! in which `*` stands for one word and `#` for any number of them.

use std::error::Error;

use muster_queue::{ExchangeKind, Message, QueueOptions, open};
use muster_runtime::Tasks;

const LOGS: &str = "lesson.logs.topic";
/// Who listens, and to what.
const LISTENERS: [(&str, &str); 3] = [
    ("lesson.topic.kernel", "kern.*"),
    ("lesson.topic.critical", "*.critical"),
    ("lesson.topic.all", "#"),
];

/// Runs the lesson and says what happens.
pub(crate) async fn lesson(
    url: &str,
    say: &(dyn Fn(String) + Sync),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let tasks = Tasks::new();
    let queue = open(url, &tasks).await?;
    queue.declare_exchange(LOGS, ExchangeKind::Topic).await?;
    for (listener, pattern) in LISTENERS {
        queue.declare_queue(listener, QueueOptions::default()).await?;
        queue.bind(listener, LOGS, pattern, &[]).await?;
    }

    for key in ["kern.critical", "cron.info", "kern.info", "cron.critical"] {
        queue
            .publish(LOGS, vec![Message::new(key, "something happened")])
            .await?;
        say(format!("logged {key}"));
    }

    for (listener, pattern) in LISTENERS {
        let waiting = queue.depth(listener).await?;
        let mut consumer = queue.consume(listener, 10).await?;
        let mut keys = Vec::new();
        for _ in 0..waiting {
            let delivery = consumer.next().await.ok_or("the queue ended")?;
            consumer.settler().ack(&[delivery.tag]).await?;
            keys.push(delivery.message.key);
        }
        say(format!("{pattern} has {}", keys.join(", ")));
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
