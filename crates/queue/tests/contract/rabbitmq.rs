//! RabbitMQ for the contract: one broker for many cases, each in a virtual host of its own.
//!
//! A broker takes seconds to start, and a process of the test runner runs one trial. So all cases that leave the broker
//! alone are one trial, and those that restart it another; each says which cases failed. `MUSTER_TEST_CASE=name` runs
//! those whose names hold that word.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use libtest_mimic::{Failed, Trial};
use muster_model::ErrorKind;
use muster_queue::contract::{Case, Ending, Fixture, Need, cases};
use muster_queue::{Error, Queue};
use muster_runtime::Tasks;
use muster_testkit::{RabbitMq, require};

/// How many cases run at a time.
const AT_A_TIME: usize = 4;

/// A broker.
struct Broker {
    server: Mutex<RabbitMq>,
    urls: Mutex<HashMap<String, String>>,
}

impl Broker {
    fn start() -> muster_testkit::Result<Self> {
        Ok(Self {
            server: Mutex::new(RabbitMq::start()?),
            urls: Mutex::default(),
        })
    }

    fn url(&self, namespace: &str) -> muster_testkit::Result<String> {
        let mut urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(url) = urls.get(namespace) {
            return Ok(url.clone());
        }
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let url = server.fresh_vhost()?;
        urls.insert(namespace.to_owned(), url.clone());
        Ok(url)
    }
}

/// The adapter on that broker.
struct OnRabbitMq(Arc<Broker>);

impl OnRabbitMq {
    /// Does something with the broker that takes its time.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Broker) -> muster_testkit::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let broker = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&broker)).await;
        let failed =
            |error: String| Error::new(ErrorKind::Internal, format!("the broker of the test: {error}"));
        done.map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))
    }
}

#[async_trait]
impl Fixture for OnRabbitMq {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn is_in_process(&self) -> bool {
        false
    }

    async fn open(&self, namespace: &str, tasks: &Tasks) -> Result<Arc<dyn Queue>, Error> {
        let namespace = namespace.to_owned();
        let url = self.with(move |broker| broker.url(&namespace)).await?;
        muster_queue::open(&url, tasks).await
    }

    async fn end(&self, namespace: &str, how: Ending) -> Result<(), Error> {
        let namespace = namespace.to_owned();
        self.with(move |broker| {
            let url = broker.url(&namespace)?;
            let mut server = broker.server.lock().unwrap_or_else(PoisonError::into_inner);
            match how {
                Ending::Orderly => server.stop(),
                Ending::Killed => {
                    server.queues_are_on_disk(&url)?;
                    server.kill();
                    Ok(())
                }
            }
        })
        .await
    }

    async fn start(&self, _namespace: &str) -> Result<(), Error> {
        self.with(|broker| {
            let mut server = broker.server.lock().unwrap_or_else(PoisonError::into_inner);
            server.start_again()
        })
        .await
    }
}

/// Returns the trials.
pub(crate) fn trials() -> Vec<Trial> {
    let restarts = |case: &Case| case.need == Need::Durable;
    vec![
        Trial::test("rabbitmq::every_case_on_one_broker", move || {
            run(|case| !restarts(case), AT_A_TIME)
        }),
        Trial::test("rabbitmq::every_case_that_ends_the_broker", move || {
            run(restarts, 1)
        }),
    ]
}

/// Runs the chosen cases, so many at a time, and names those that fail.
fn run(chosen: impl Fn(&Case) -> bool, at_a_time: usize) -> Result<(), Failed> {
    let Some(broker) = require::or_ignored(Broker::start()) else {
        return Ok(());
    };
    let fixture: Arc<dyn Fixture> = Arc::new(OnRabbitMq(Arc::new(broker)));
    let word = word();
    let waiting: Vec<Case> = cases()
        .into_iter()
        .filter(|case| chosen(case) && case.name.contains(&word))
        .rev()
        .collect();
    let waiting = Mutex::new(waiting);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                loop {
                    let case = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(case) = case else { break };
                    let started = std::time::Instant::now();
                    let outcome = case.check(&fixture);
                    let took = started.elapsed().as_millis();
                    match outcome {
                        Ok(()) => println!("rabbitmq::{}: passed ({took} ms)", case.name),
                        Err(why) => {
                            println!("rabbitmq::{}: FAILED ({took} ms): {why}", case.name);
                            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                            failed.push(format!("rabbitmq::{}: {why}", case.name));
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("{} cases failed:\n{}", failed.len(), failed.join("\n")).into())
}

#[expect(clippy::disallowed_methods, reason = "which cases is asked from outside")]
fn word() -> String {
    std::env::var("MUSTER_TEST_CASE").unwrap_or_default()
}
