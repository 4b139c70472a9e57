//! Lesson 6: routing by what a message says of itself.
//!
//! `cargo run -p muster-queue --example headers -- [URL]`
//!
//! A headers exchange does not look at the key but at the message's headers. A binding names headers with their
//! values, and `x-match` says whether all of them have to be there, or any one is enough.

use std::error::Error;

use muster_queue::{ExchangeKind, Message, QueueOptions, open};
use muster_runtime::Tasks;

const JOBS: &str = "lesson.jobs";
const LISTENERS: [(&str, &str); 2] = [("lesson.headers.all", "all"), ("lesson.headers.any", "any")];

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

/// Runs the lesson and says what happens.
pub(crate) async fn lesson(
    url: &str,
    say: &(dyn Fn(String) + Sync),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let tasks = Tasks::new();
    let queue = open(url, &tasks).await?;
    queue.declare_exchange(JOBS, ExchangeKind::Headers).await?;
    for (listener, how) in LISTENERS {
        queue.declare_queue(listener, QueueOptions::default()).await?;
        let wanted = pairs(&[("x-match", how), ("os", "linux"), ("arch", "arm")]);
        queue.bind(listener, JOBS, "", &wanted).await?;
    }

    for (body, headers) in [
        ("for a Linux on ARM", pairs(&[("os", "linux"), ("arch", "arm")])),
        ("for any Linux", pairs(&[("os", "linux")])),
        ("for a BSD", pairs(&[("os", "bsd")])),
    ] {
        say(format!("sent a job {body}"));
        let message = Message {
            headers,
            ..Message::new("", body)
        };
        queue.publish(JOBS, vec![message]).await?;
    }

    for (listener, how) in LISTENERS {
        let waiting = queue.depth(listener).await?;
        let mut consumer = queue.consume(listener, 10).await?;
        for _ in 0..waiting {
            let delivery = consumer.next().await.ok_or("the queue ended")?;
            consumer.settler().ack(&[delivery.tag]).await?;
            let body = String::from_utf8_lossy(&delivery.message.body).into_owned();
            say(format!("{how} of os=linux, arch=arm: the job {body}"));
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
