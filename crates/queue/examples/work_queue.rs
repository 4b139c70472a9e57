//! Lesson 2: work for several workers, none of which is lost.
//!
//! `cargo run -p muster-queue --example work_queue -- [URL]`
//!
//! - **Durable.** A durable queue and persistent messages survive a restart of the broker (in `memory:` there is none).
//! - **Acknowledged.** Who takes a message has it on loan. A worker that dies before it acknowledges gives it back,
//!   and another one gets it, marked `redelivered`: it may have been done already, so work should be harmless twice.
//! - **Fair.** A worker says how many messages it may hold (its prefetch). With 1, a slow worker is passed over while
//!   it is busy, and does not collect work that others could do.

use std::error::Error;

use muster_queue::{Consumer, Delivery, Message, QueueOptions, open};
use muster_runtime::Tasks;

const QUEUE: &str = "lesson.work";

async fn take(worker: &mut Box<dyn Consumer>) -> Result<(Delivery, String), Box<dyn Error + Send + Sync>> {
    let delivery = worker.next().await.ok_or("the queue ended")?;
    let text = String::from_utf8_lossy(&delivery.message.body).into_owned();
    Ok((delivery, text))
}

/// Runs the lesson and says what happens.
pub(crate) async fn lesson(
    url: &str,
    say: &(dyn Fn(String) + Sync),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let tasks = Tasks::new();
    let queue = open(url, &tasks).await?;
    let durable = QueueOptions {
        durable: true,
        ..QueueOptions::default()
    };
    queue.declare_queue(QUEUE, durable).await?;

    let work = ["a long report", "letter 1", "letter 2", "letter 3"].map(|text| Message {
        persistent: true,
        ..Message::new(QUEUE, text)
    });
    // When this returns, the broker has them for certain.
    queue.publish("", work.into()).await?;
    say("sent 4 pieces of work".to_owned());

    let mut slow = queue.consume(QUEUE, 1).await?;
    let (report, text) = take(&mut slow).await?;
    say(format!("the slow worker begins '{text}'"));

    let mut quick = queue.consume(QUEUE, 1).await?;
    for _ in 0..2 {
        let (letter, text) = take(&mut quick).await?;
        quick.settler().ack(&[letter.tag]).await?;
        say(format!("the quick worker has done '{text}'"));
    }

    let (_, text) = take(&mut quick).await?;
    say(format!("the quick worker begins '{text}' and dies"));
    drop(quick);

    slow.settler().ack(&[report.tag]).await?;
    say("the slow worker has done 'a long report'".to_owned());
    let (letter, text) = take(&mut slow).await?;
    let again = if letter.redelivered {
        ", which comes again"
    } else {
        ""
    };
    slow.settler().ack(&[letter.tag]).await?;
    say(format!("the slow worker has done '{text}'{again}"));

    queue.delete_queue(QUEUE).await?;
    queue.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    lesson(&url, &|line| println!("{line}")).await
}
