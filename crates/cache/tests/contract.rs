//! Runs the contract on every adapter, each case as `adapter::case`; on adapters that are broken on purpose, where it
//! has to fail; what is one engine's alone; and the lessons in `examples`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, which clippy does not see without the usual harness"
)]

mod broken;
mod engines;
mod fixtures;
mod lessons;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use muster_cache::contract::{Case, Fixture, UNSUPPORTED, cases};
use parking_lot::Mutex;

/// Makes a fixture, and starts its servers; None where they are not installed.
type Make = fn() -> Option<Arc<dyn Fixture>>;

/// The adapters. Servers are started by the tests that need them.
const ADAPTERS: &[(&str, Make)] = &[
    ("memory", fixtures::memory),
    ("redis", fixtures::redis),
    ("redis-cluster", fixtures::redis_cluster),
    ("memcached", fixtures::memcached),
];

/// A cluster takes seconds to start: its cases share one, so many at a time, and those that end it have one each.
/// `MUSTER_TEST_CASE=word` runs those whose names hold that word.
const SHARED: (&str, usize) = ("redis-cluster", 4);

fn on_a_shared_one(name: &str, make: Make, at_a_time: usize) -> Result<(), Failed> {
    let Some(fixture) = make() else { return Ok(()) };
    let word = word();
    let chosen = cases().into_iter().filter(|case| case.name.contains(&word));
    let waiting: Mutex<Vec<Case>> = Mutex::new(chosen.rev().collect());
    let failed: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                loop {
                    let case = waiting.lock().pop();
                    let Some(case) = case else { break };
                    let started = std::time::Instant::now();
                    let outcome = case.check(&fixture);
                    println!("{name}::{}: {outcome:?} ({:?})", case.name, started.elapsed());
                    if let Err(why) = outcome {
                        failed.lock().push(format!("{name}::{}: {why}", case.name));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("{} cases failed:\n{}", failed.len(), failed.join("\n")).into())
}

#[expect(clippy::disallowed_methods, reason = "which cases is asked from outside")]
fn word() -> String {
    std::env::var("MUSTER_TEST_CASE").unwrap_or_default()
}

/// Checks that the table of what is unsupported names adapters and cases that there are.
fn the_table_names_what_is_there() -> Result<(), Failed> {
    for (adapter, case) in UNSUPPORTED {
        if !ADAPTERS.iter().any(|(name, _)| name == adapter) {
            return Err(format!("'{adapter}' in the table is no adapter").into());
        }
        if !cases().iter().any(|known| known.name == *case) {
            return Err(format!("'{case}' in the table is no case").into());
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (adapter, make) in ADAPTERS {
        if *adapter == SHARED.0 {
            trials.push(Trial::test(
                format!("{adapter}::every_case_on_one_cluster"),
                || on_a_shared_one(adapter, *make, SHARED.1),
            ));
            continue;
        }
        for case in cases() {
            trials.push(Trial::test(format!("{adapter}::{}", case.name), move || {
                let Some(fixture) = make() else { return Ok(()) };
                Ok(case.check(&fixture)?)
            }));
        }
    }
    trials.push(Trial::test(
        "the_table_names_what_is_there",
        the_table_names_what_is_there,
    ));
    trials.extend(broken::trials());
    trials.extend(engines::trials());
    trials.extend(lessons::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}
