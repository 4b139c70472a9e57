//! Cases as data, and how one is run.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, Ending, Fixture};
use crate::types::Capabilities;

/// Pairs of an adapter and a case that it cannot pass, because a capability is missing.
pub const UNSUPPORTED: &[(&str, &str)] = &[
    ("memory", "persistent_messages_survive_a_restart"),
    ("memory", "persistent_messages_survive_a_kill"),
    ("memory", "what_was_confirmed_survives_a_restart_under_load"),
    ("memory", "what_was_confirmed_survives_a_kill_under_load"),
    ("memory", "a_consumer_goes_on_after_a_restart"),
    ("memory", "a_consumer_goes_on_after_a_kill"),
    (
        "memory",
        "a_consumer_of_a_queue_that_went_with_it_ends_at_a_restart",
    ),
    ("memory", "a_consumer_of_a_queue_that_went_with_it_ends_at_a_kill"),
    ("memory", "what_was_acknowledged_does_not_come_again"),
    ("memory", "what_was_declared_is_there_again_after_a_restart"),
    ("memory", "calls_go_on_after_a_restart"),
    ("memory", "an_engine_that_is_away_is_unavailable_in_bounded_time"),
    ("memory", "two_processes_share_a_queue"),
    ("memory", "a_call_is_answered_from_another_process"),
];

/// How a case ended.
pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// What a case needs beyond the port's least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// [`Capabilities::durable`].
    Durable,
    /// [`Capabilities::shared`].
    Shared,
}

impl Need {
    /// Tells whether an adapter with these capabilities has it.
    #[must_use]
    pub fn is_met(self, capabilities: Capabilities) -> bool {
        match self {
            Self::Nothing => true,
            Self::Durable => capabilities.durable,
            Self::Shared => capabilities.shared,
        }
    }
}

/// A case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The promise, as a name.
    pub name: &'static str,
    /// What it needs.
    pub need: Need,
    /// It is about threads: it runs on several, in real time.
    pub threads: bool,
    /// How it ends the engine, which it does once, and starts it again. Cases that end it in the same way may share one
    /// that goes down for all of them at the same moment.
    pub ending: Option<Ending>,
    run: fn(Bench) -> Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

/// Lists the cases of a module; a function that is forgotten is one that the compiler calls unused.
macro_rules! list {
    ($list:ident, $need:ident, $ending:ident: $($name:ident),* $(,)?) => {
        pub(super) const $list: &[$crate::contract::Case] = &[$(
            $crate::contract::case::case(
                stringify!($name),
                $crate::contract::Need::$need,
                false,
                |bench| Box::pin($name(bench)),
            )
            .that_ends_the_engine($crate::contract::Ending::$ending)
        ),*];
    };
    ($need:ident, $threads:literal: $($name:ident),* $(,)?) => {
        pub(super) const CASES: &[$crate::contract::Case] = &[$(
            $crate::contract::case::case(
                stringify!($name),
                $crate::contract::Need::$need,
                $threads,
                |bench| Box::pin($name(bench)),
            )
        ),*];
    };
}
pub(super) use list;

/// Builds a case.
pub(super) const fn case(
    name: &'static str,
    need: Need,
    threads: bool,
    run: fn(Bench) -> Pin<Box<dyn Future<Output = Outcome> + Send>>,
) -> Case {
    Case {
        name,
        need,
        threads,
        ending: None,
        run,
    }
}

/// Returns every case.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        super::routing::CASES,
        super::delivery::CASES,
        super::priority::CASES,
        super::expiry::CASES,
        super::lifecycle::CASES,
        super::calls::CASES,
        super::load::CASES,
        super::outage::ORDERLY,
        super::outage::KILLED,
        super::sharing::SHARED,
    ]
    .concat()
}

impl Case {
    pub(super) const fn that_ends_the_engine(mut self, how: Ending) -> Self {
        self.ending = Some(how);
        self
    }

    /// Runs the case on an adapter and compares how it ended with [`UNSUPPORTED`].
    ///
    /// # Errors
    ///
    /// Why the promise is not kept, or why the table is wrong.
    pub fn check(&self, fixture: &Arc<dyn Fixture>) -> Result<(), String> {
        let is_listed = UNSUPPORTED.contains(&(fixture.name(), self.name));
        let (capabilities, outcome) = self.run(fixture)?;
        match (is_listed, self.need.is_met(capabilities), outcome) {
            (false, true, outcome) => outcome,
            (true, false, Err(_)) => Ok(()),
            (true, false, Ok(())) => Err("it passes, but is listed as unsupported".to_owned()),
            (true, true, _) => Err("it is listed as unsupported, but the adapter claims it".to_owned()),
            (false, false, _) => Err("the adapter does not claim it: list it as unsupported".to_owned()),
        }
    }

    /// Runs the case in a runtime of its own: where the adapter is in process, time is virtual.
    fn run(&self, fixture: &Arc<dyn Fixture>) -> Result<(Capabilities, Result<(), String>), String> {
        let mut builder = if self.threads {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(4);
            builder
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        if fixture.is_in_process() && !self.threads {
            builder.start_paused(true);
        }
        let runtime = builder.enable_all().build().map_err(|error| error.to_string())?;
        let (run, case) = (self.run, *self);
        let fixture = Arc::clone(fixture);
        runtime.block_on(async move {
            let bench = Bench::open(fixture, &case)
                .await
                .map_err(|error| error.to_string())?;
            let capabilities = bench.queue.capabilities();
            let (queue, tasks) = (Arc::clone(&bench.queue), bench.tasks.clone());
            let outcome = muster_runtime::clock::deadline(Duration::from_secs(120), run(bench)).await;
            queue.close().await;
            let left = tasks.close(Duration::from_secs(10)).await;
            let outcome = match outcome {
                Err(_) => Err("it did not end within two minutes".to_owned()),
                Ok(Err(error)) => Err(error.to_string()),
                Ok(Ok(())) if tasks.panics() > 0 => Err(format!("{} of its tasks panicked", tasks.panics())),
                Ok(Ok(())) if left > 0 => Err(format!("{left} of its tasks never ended")),
                Ok(Ok(())) => Ok(()),
            };
            Ok((capabilities, outcome))
        })
    }
}
