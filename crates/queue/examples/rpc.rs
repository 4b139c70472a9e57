//! Lesson 7: a question and its answer.
//!
//! `cargo run -p muster-queue --example rpc -- [URL]`
//!
//! A request carries where its reply goes (reply-to), and a number of its own (correlation id) that the reply repeats:
//! so one caller may ask many questions at once, of many servers, and each reply finds its question. `call` does both;
//! the server reads requests as it reads any message, and answers with `reply`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use muster_queue::{Message, QueueOptions, open};
use muster_runtime::Tasks;

const QUEUE: &str = "lesson.rpc";

fn fibonacci(n: u64) -> u64 {
    let (mut this, mut next) = (0, 1);
    for _ in 0..n {
        (this, next) = (next, this + next);
    }
    this
}

/// Runs the lesson and says what happens.
pub(crate) async fn lesson(
    url: &str,
    say: &(dyn Fn(String) + Sync),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let tasks = Tasks::new();
    let queue = open(url, &tasks).await?;
    queue.declare_queue(QUEUE, QueueOptions::default()).await?;

    let mut requests = queue.consume(QUEUE, 10).await?;
    let server = Arc::clone(&queue);
    tasks.spawn("fibonacci server", async move {
        while let Some(request) = requests.next().await {
            let text = String::from_utf8_lossy(&request.message.body).into_owned();
            let answer = match text.parse() {
                Ok(n) if n <= 90 => fibonacci(n).to_string(),
                _ => "a number up to 90, please".to_owned(),
            };
            // A caller that has left meanwhile is no failure of the server's.
            let _ = server.reply(&request.message, answer.into()).await;
            let _ = requests.settler().ack(&[request.tag]).await;
        }
    });

    let ask = async |n: &'static str| {
        queue
            .call("", Message::new(QUEUE, n), Duration::from_secs(10))
            .await
    };
    let (ten, thirty, what) = futures_util::join!(ask("10"), ask("30"), ask("ten"));
    for (question, answer) in [("10", ten), ("30", thirty), ("ten", what)] {
        say(format!(
            "fibonacci({question}) is {}",
            String::from_utf8_lossy(&answer?)
        ));
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
