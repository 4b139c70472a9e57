//! Cases as data, and how one is run.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, Fixture};

/// Pairs of an adapter and a case that it cannot pass.
pub const UNSUPPORTED: &[(&str, &str)] = &[("memory", "two_processes_see_the_same_values")];

/// How a case ended.
pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// What a case needs beyond the port's least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// The fixture can open it with little memory.
    Small,
    /// Several processes can share it.
    Shared,
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
    run: fn(Bench) -> Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

/// Lists the cases of a module; a function that is forgotten is one that the compiler calls unused.
macro_rules! list {
    ($list:ident, $need:ident, $threads:literal: $($name:ident),* $(,)?) => {
        pub(super) const $list: &[$crate::contract::Case] = &[$(
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
        run,
    }
}

/// Returns every case.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        super::values::CASES,
        super::values::SHARED,
        super::keys::CASES,
        super::counters::CASES,
        super::growing::CASES,
        super::lifetimes::CASES,
        super::racing::CASES,
        super::pressure::CASES,
    ]
    .concat()
}

impl Case {
    /// Runs the case on an adapter and compares how it ended with [`UNSUPPORTED`].
    ///
    /// # Errors
    ///
    /// Why the promise is not kept, or why the table is wrong.
    pub fn check(&self, fixture: &Arc<dyn Fixture>) -> Result<(), String> {
        let is_listed = UNSUPPORTED.contains(&(fixture.name(), self.name));
        let outcome = self.run(fixture)?;
        match (is_listed, fixture.offers(self.need), outcome) {
            (false, true, outcome) => outcome,
            (true, false, Err(_)) => Ok(()),
            (true, false, Ok(())) => Err("it passes, but is listed as unsupported".to_owned()),
            (true, true, _) => Err("it is listed as unsupported, but the adapter offers it".to_owned()),
            (false, false, _) => Err("the adapter does not offer it: list it as unsupported".to_owned()),
        }
    }

    /// Runs the case in a runtime of its own: where the adapter is in process, time is virtual.
    fn run(&self, fixture: &Arc<dyn Fixture>) -> Result<Result<(), String>, String> {
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
        let fixture = Arc::clone(fixture);
        let case = *self;
        runtime.block_on(async move {
            let bench = Bench::open(fixture, &case)
                .await
                .map_err(|error| error.to_string())?;
            let tasks = bench.tasks.clone();
            let outcome = muster_runtime::clock::deadline(Duration::from_secs(120), (case.run)(bench)).await;
            let left = tasks.close(Duration::from_secs(10)).await;
            Ok(match outcome {
                Err(_) => Err("it did not end within two minutes".to_owned()),
                Ok(Err(error)) => Err(error.to_string()),
                Ok(Ok(())) if tasks.panics() > 0 => Err(format!("{} of its tasks panicked", tasks.panics())),
                Ok(Ok(())) if left > 0 => Err(format!("{left} of its tasks never ended")),
                Ok(Ok(())) => Ok(()),
            })
        })
    }
}
