//! Checks of one broker: how they are run, and what they have in common.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_queue::{Error, Queue, open};
use muster_runtime::{Tasks, clock};
use muster_testkit::RabbitMq;

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;
pub(crate) type Check = fn(&RabbitMq, &tokio::runtime::Runtime) -> Outcome;

/// How long a check waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs checks at the same time; returns what failed.
pub(crate) fn all_at_once(trial: &str, checks: &[(&str, Check)], broker: &RabbitMq) -> Vec<String> {
    std::thread::scope(|scope| {
        let running: Vec<_> = checks
            .iter()
            .map(|(name, check)| (name, scope.spawn(move || one(trial, name, *check, broker))))
            .collect();
        let ended = running.into_iter().map(|(name, running)| match running.join() {
            Ok(failed) => failed,
            Err(_) => Some(format!("{name}: it panicked")),
        });
        ended.flatten().collect()
    })
}

/// Runs one check; returns how it failed.
pub(crate) fn one(trial: &str, name: &str, check: Check, broker: &RabbitMq) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let started = Instant::now();
    let outcome = match runtime {
        Ok(runtime) => check(broker, &runtime),
        Err(error) => Err(error.into()),
    };
    println!("rabbitmq::{trial}::{name}: {outcome:?} ({:?})", started.elapsed());
    outcome.err().map(|why| format!("{name}: {why}"))
}

pub(crate) fn ensure(is_so: bool, what: impl Into<String>) -> Outcome {
    if is_so {
        Ok(())
    } else {
        Err(format!("not so: {}", what.into()).into())
    }
}

/// Returns what a person is told.
pub(crate) fn told(error: &Error) -> String {
    let mut text = error.operation.clone();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Does something with an opened queue.
pub(crate) fn with<F>(
    runtime: &tokio::runtime::Runtime,
    url: &str,
    work: impl FnOnce(Arc<dyn Queue>) -> F,
) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let tasks = Tasks::new();
    runtime.block_on(async {
        let queue = open(url, &tasks).await?;
        let outcome = clock::deadline(Duration::from_secs(90), work(Arc::clone(&queue))).await;
        queue.close().await;
        ensure(tasks.close(Duration::from_secs(10)).await == 0, "every task ends")?;
        outcome.map_err(|_| "it did not end")?
    })
}
