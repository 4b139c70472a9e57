//! Runs the contract on every adapter, each case as `adapter::case`.

#[cfg(feature = "rabbitmq")]
#[path = "contract/alarms.rs"]
mod alarms;
#[path = "contract/broken.rs"]
mod broken;
#[path = "contract/checks.rs"]
mod checks;
#[path = "contract/doors.rs"]
mod doors;
#[cfg(feature = "rabbitmq")]
#[path = "contract/faults.rs"]
mod faults;
#[path = "contract/lessons.rs"]
mod lessons;
#[cfg(feature = "rabbitmq")]
#[path = "contract/rabbitmq.rs"]
mod rabbitmq;
#[path = "contract/rights.rs"]
mod rights;

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use libtest_mimic::{Arguments, Trial};
use muster_queue::contract::{Ending, Fixture, UNSUPPORTED, cases};
use muster_queue::{Error, Queue};
use muster_runtime::Tasks;

/// The queue inside this process. Every opening is a world of its own.
struct Memory;

#[async_trait]
impl Fixture for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn is_in_process(&self) -> bool {
        true
    }

    async fn open(&self, _namespace: &str, tasks: &Tasks) -> Result<Arc<dyn Queue>, Error> {
        muster_queue::open("memory:", tasks).await
    }

    async fn end(&self, _namespace: &str, _how: Ending) -> Result<(), Error> {
        Ok(())
    }

    async fn start(&self, _namespace: &str) -> Result<(), Error> {
        Ok(())
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
    #[cfg(feature = "rabbitmq")]
    for more in [rabbitmq::trials(), doors::trials(), faults::trials()] {
        trials.extend(more);
    }

    trials.extend(broken::trials().into_iter().chain(lessons::trials()));
    trials.push(Trial::test("the_table_names_what_is_there", move || {
        Ok(the_table_names_what_is_there(&fixtures)?)
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}
