//! Runs the contract on every adapter, each case as `adapter::case`.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use libtest_mimic::{Arguments, Trial};
use muster_cache::contract::{Fixture, Need, UNSUPPORTED, cases};
use muster_cache::{Cache, Error};

/// The cache inside this process. Every opening is a world of its own.
struct Memory;

#[async_trait]
impl Fixture for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn is_in_process(&self) -> bool {
        true
    }

    fn offers(&self, need: Need) -> bool {
        need != Need::Shared
    }

    async fn open(&self, _namespace: &str) -> Result<Arc<dyn Cache>, Error> {
        muster_cache::open("memory:?limit=256MiB").await
    }

    async fn open_small(&self, _namespace: &str) -> Result<(Arc<dyn Cache>, usize), Error> {
        Ok((muster_cache::open("memory:?limit=1MiB").await?, 1 << 20))
    }
}

/// Checks that the table of what is unsupported names adapters and cases that there are.
fn the_table_names_what_is_there(fixtures: &[Arc<dyn Fixture>]) -> Result<(), String> {
    for (adapter, case) in UNSUPPORTED {
        if !fixtures.iter().any(|fixture| fixture.name() == *adapter) {
            return Err(format!("'{adapter}' in the table is no adapter"));
        }
        if !cases().iter().any(|known| known.name == *case) {
            return Err(format!("'{case}' in the table is no case"));
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let fixtures: Vec<Arc<dyn Fixture>> = vec![Arc::new(Memory)];
    let mut trials = Vec::new();
    for fixture in &fixtures {
        for case in cases() {
            let fixture = Arc::clone(fixture);
            let name = format!("{}::{}", fixture.name(), case.name);
            trials.push(Trial::test(name, move || Ok(case.check(&fixture)?)));
        }
    }
    trials.push(Trial::test("the_table_names_what_is_there", move || {
        Ok(the_table_names_what_is_there(&fixtures)?)
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}
