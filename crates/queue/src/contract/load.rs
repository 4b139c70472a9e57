//! Many at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_runtime::clock::{deadline, sleep};

use super::bench::{Bench, ensure};
use super::case::{Outcome, list};
use crate::port::Queue;
use crate::types::{Message, QueueOptions};

list!(Nothing, true:
    four_producers_and_four_consumers_lose_and_double_nothing,
    consumers_that_die_lose_nothing,
);

const PRODUCERS: usize = 4;
const EACH: usize = 5000;
const ALL: usize = PRODUCERS * EACH;

/// What was acknowledged: how often each number.
#[derive(Default)]
struct Ledger {
    seen: Mutex<HashMap<String, u32>>,
    count: AtomicUsize,
}

impl Ledger {
    fn note(&self, body: &[u8]) {
        let number = String::from_utf8_lossy(body).into_owned();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.entry(number).or_default() += 1;
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    async fn is_complete(&self) -> Outcome {
        let wait = async {
            while self.count.load(Ordering::SeqCst) < ALL {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let outcome = deadline(Duration::from_secs(90), wait).await;
        let count = self.count.load(Ordering::SeqCst);
        outcome.map_err(|_| format!("{count} of {ALL} were acknowledged"))?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        ensure(seen.len() == ALL, "none is lost")?;
        ensure(seen.values().all(|times| *times == 1), "none is doubled")
    }
}

fn produce(bench: &Bench) {
    for producer in 0..PRODUCERS {
        let queue = Arc::clone(&bench.queue);
        bench.tasks.spawn("producer", async move {
            let mut number = 0;
            while number < EACH {
                let size = 1 + number % 40;
                let end = (number + size).min(EACH);
                let batch = (number..end).map(|at| Message::new("work", format!("{producer}.{at}")));
                assert!(queue.publish("", batch.collect()).await.is_ok());
                number = end;
            }
        });
    }
}

async fn four_producers_and_four_consumers_lose_and_double_nothing(bench: Bench) -> Outcome {
    bench.queue.declare_queue("work", QueueOptions::default()).await?;
    let ledger = Arc::new(Ledger::default());
    for prefetch in [1, 7, 50, 200] {
        let mut consumer = bench.queue.consume("work", prefetch).await?;
        let ledger = Arc::clone(&ledger);
        bench.tasks.spawn("consumer", async move {
            while let Some(delivery) = consumer.next().await {
                assert!(!delivery.redelivered);
                assert!(consumer.settler().ack(&[delivery.tag]).await.is_ok());
                ledger.note(&delivery.message.body);
            }
        });
    }
    produce(&bench);
    ledger.is_complete().await?;
    bench.depth_becomes("work", 0).await
}

/// Consumes, and dies again and again with messages in its hands.
async fn die_often(queue: Arc<dyn Queue>, ledger: Arc<Ledger>, stride: usize) {
    while let Ok(mut consumer) = queue.consume("work", 20).await {
        let settler = consumer.settler();
        for turn in 1..=stride {
            // At the end of the work, what the last ones hold has to come free too.
            let next = deadline(Duration::from_millis(50), consumer.next()).await;
            let Ok(Some(delivery)) = next else {
                break;
            };
            if turn % 5 == 0 {
                continue;
            }
            if turn % 7 == 0 {
                assert!(settler.reject(delivery.tag, true).await.is_ok());
                continue;
            }
            assert!(settler.ack(&[delivery.tag]).await.is_ok());
            ledger.note(&delivery.message.body);
        }
    }
}

async fn consumers_that_die_lose_nothing(bench: Bench) -> Outcome {
    bench.queue.declare_queue("work", QueueOptions::default()).await?;
    let ledger = Arc::new(Ledger::default());
    for stride in [3, 23, 61, 90] {
        let die = die_often(Arc::clone(&bench.queue), Arc::clone(&ledger), stride);
        bench.tasks.spawn("mortal", die);
    }
    produce(&bench);
    ledger.is_complete().await
}
