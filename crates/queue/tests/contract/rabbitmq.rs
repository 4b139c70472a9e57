//! RabbitMQ for the contract: one broker for many cases, each in a virtual host of its own.
//!
//! A broker takes seconds to start, and a process of the test runner runs one trial. So all cases that leave the broker
//! alone are one trial, and those that end it in the same way are one each: they run at the same time, and the broker
//! goes down and comes back once for all of them. Each trial says which cases failed. `MUSTER_TEST_CASE=name` runs those
//! whose names hold that word.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use async_trait::async_trait;
use libtest_mimic::{Failed, Trial};
use muster_model::ErrorKind;
use muster_queue::contract::{Case, Ending, Fixture, cases};
use muster_queue::{Error, Queue};
use muster_runtime::Tasks;
use muster_testkit::{RabbitMq, require};

/// How many cases run at a time.
const AT_A_TIME: usize = 4;

/// A broker.
struct Broker {
    server: Mutex<RabbitMq>,
    urls: Mutex<HashMap<String, String>>,
    meeting: Mutex<Meeting>,
    changed: Condvar,
}

impl Broker {
    fn start() -> muster_testkit::Result<Self> {
        Ok(Self {
            server: Mutex::new(RabbitMq::start()?),
            urls: Mutex::default(),
            meeting: Mutex::default(),
            changed: Condvar::new(),
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

    async fn end(&self, _namespace: &str, _how: Ending) -> Result<(), Error> {
        self.with(|broker| broker.meet(Moment::End)).await
    }

    async fn start(&self, _namespace: &str) -> Result<(), Error> {
        self.with(|broker| broker.meet(Moment::Start)).await
    }
}

/// When cases that end the broker wait for each other.
#[derive(Clone, Copy, Debug)]
enum Moment {
    End,
    Start,
}

/// Cases that run at the same time on one broker, which ends and starts for all of them at once: when each that is
/// still running waits for it.
#[derive(Debug, Default)]
struct Meeting {
    running: usize,
    how: Option<Ending>,
    gates: [Gate; 2],
}

#[derive(Debug, Default)]
struct Gate {
    waiting: usize,
    /// How often it has been passed.
    passed: usize,
    outcome: Option<String>,
}

impl Broker {
    /// Waits until all are there, and it is done.
    fn meet(&self, moment: Moment) -> muster_testkit::Result<()> {
        let mut meeting = self.meeting.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = meeting.gates[moment as usize].passed;
        meeting.gates[moment as usize].waiting += 1;
        self.pass(&mut meeting, moment);
        while meeting.gates[moment as usize].passed == passed {
            meeting = self.changed.wait(meeting).unwrap_or_else(PoisonError::into_inner);
        }
        match &meeting.gates[moment as usize].outcome {
            None => Ok(()),
            Some(why) => Err(muster_testkit::Error::Failed {
                what: format!("{moment:?}"),
                output: why.clone(),
            }),
        }
    }

    /// Waits for nobody any more who has ended.
    fn leave(&self) {
        let mut meeting = self.meeting.lock().unwrap_or_else(PoisonError::into_inner);
        meeting.running -= 1;
        for moment in [Moment::End, Moment::Start] {
            self.pass(&mut meeting, moment);
        }
    }

    fn pass(&self, meeting: &mut Meeting, moment: Moment) {
        let running = meeting.running;
        let how = meeting.how;
        let gate = &mut meeting.gates[moment as usize];
        if gate.waiting == 0 || gate.waiting < running {
            return;
        }
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match (moment, how) {
            (Moment::Start, _) => server.start_again(),
            (Moment::End, Some(Ending::Orderly)) => server.stop(),
            (Moment::End, _) => server.queues_are_on_disk().map(|()| server.kill()),
        };
        gate.outcome = done.err().map(|error| error.to_string());
        gate.waiting = 0;
        gate.passed += 1;
        self.changed.notify_all();
    }
}

/// A case that runs, however it ends.
struct Running<'a>(&'a Broker);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Returns the trials.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("rabbitmq::every_case_on_one_broker", || run(None, AT_A_TIME)),
        Trial::test("rabbitmq::every_case_that_ends_the_broker", || {
            run(Some(Ending::Orderly), usize::MAX)
        }),
        Trial::test("rabbitmq::every_case_that_kills_the_broker", || {
            run(Some(Ending::Killed), usize::MAX)
        }),
    ]
}

/// Runs the cases that end the broker in this way, so many at a time, and names those that fail.
fn run(ending: Option<Ending>, at_a_time: usize) -> Result<(), Failed> {
    let Some(broker) = require::or_ignored(Broker::start()) else {
        return Ok(());
    };
    let word = word();
    let waiting: Vec<Case> = cases()
        .into_iter()
        .filter(|case| case.ending == ending && case.name.contains(&word))
        .rev()
        .collect();
    let broker = Arc::new(broker);
    let fixture: Arc<dyn Fixture> = Arc::new(OnRabbitMq(Arc::clone(&broker)));
    let at_a_time = at_a_time.min(waiting.len());
    *broker.meeting.lock().unwrap_or_else(PoisonError::into_inner) = Meeting {
        running: at_a_time,
        how: ending,
        gates: Default::default(),
    };
    let waiting = Mutex::new(waiting);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                loop {
                    let case = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(case) = case else { break };
                    let started = std::time::Instant::now();
                    let running = ending.map(|_| Running(&broker));
                    let outcome = case.check(&fixture);
                    drop(running);
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
