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
use muster_cache::contract::{Fixture, UNSUPPORTED, cases};

/// Makes a fixture, and starts its servers; None where they are not installed.
type Make = fn() -> Option<Arc<dyn Fixture>>;

/// The adapters. Servers are started by the tests that need them.
const ADAPTERS: &[(&str, Make)] = &[
    ("memory", fixtures::memory),
    ("redis", fixtures::redis),
    ("redis-cluster", fixtures::redis_cluster),
    ("memcached", fixtures::memcached),
];

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
