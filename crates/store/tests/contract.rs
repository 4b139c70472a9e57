//! Every case of the contract on every adapter, and what is SQLite's alone: whose file it is, and what is
//! left when the process is killed; and the lesson in `examples`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, which clippy does not see without the usual harness"
)]

#[path = "sqlite/files.rs"]
mod files;
#[path = "sqlite/killed.rs"]
mod killed;
mod lessons;
mod servers;

use std::collections::BTreeSet;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use muster_runtime::{Tasks, clock};
use muster_store::Capabilities;
use muster_store::contract::world::PATIENCE;
use muster_store::contract::{Case, World, cases};
use tempfile::TempDir;

/// An adapter, and how a case gets a database of its own.
struct Adapter {
    name: &'static str,
    url: fn(&TempDir) -> muster_testkit::Result<String>,
    capabilities: Capabilities,
    /// How many stories are told.
    stories: u64,
}

const EVERYTHING: Capabilities = Capabilities {
    keeps: true,
    shared: true,
    reads_beside_writes: true,
};

const ADAPTERS: [Adapter; 4] = [
    Adapter {
        name: "sqlite",
        url: |folder| Ok(format!("sqlite://{}", folder.path().join("muster.db").display())),
        capabilities: EVERYTHING,
        stories: 600,
    },
    Adapter {
        name: "postgres",
        url: |_| servers::postgres()?.fresh_database(),
        capabilities: EVERYTHING,
        stories: 60,
    },
    Adapter {
        name: "mariadb",
        url: |_| servers::mariadb()?.fresh_database(),
        capabilities: EVERYTHING,
        stories: 60,
    },
    Adapter {
        name: "sqlite-memory",
        url: |_| Ok("sqlite::memory:".to_owned()),
        capabilities: Capabilities {
            keeps: false,
            shared: false,
            reads_beside_writes: false,
        },
        stories: 0,
    },
];

/// Every pair of adapter and case that does not run, because the adapter does not promise it. Nothing else
/// is left out.
const UNSUPPORTED: [(&str, &str); 23] = [
    ("sqlite-memory", "equal_outputs_are_stored_once"),
    ("sqlite-memory", "a_log_that_came_with_the_end_too_is_kept_once"),
    ("sqlite-memory", "a_removed_task_leaves_nothing"),
    ("sqlite-memory", "a_removal_that_was_interrupted_goes_on"),
    ("sqlite-memory", "shared_output_stays_while_one_run_has_it"),
    (
        "sqlite-memory",
        "a_task_with_more_runs_than_a_step_goes_as_a_whole",
    ),
    (
        "sqlite-memory",
        "of_one_that_shares_and_one_that_removes_nothing_is_lost",
    ),
    ("sqlite-memory", "everything_is_there_when_it_is_opened_again"),
    (
        "sqlite-memory",
        "it_may_be_opened_again_without_having_been_closed",
    ),
    ("sqlite-memory", "numbers_go_on_after_it_is_opened_again"),
    ("sqlite-memory", "every_table_that_is_there_is_copied"),
    ("sqlite-memory", "a_copy_to_here_and_back_has_the_same_checksums"),
    (
        "sqlite-memory",
        "a_database_that_is_not_empty_is_refused_and_left_as_it_is",
    ),
    (
        "sqlite-memory",
        "an_unfinished_copy_is_refused_until_it_is_made_again",
    ),
    (
        "sqlite-memory",
        "a_source_at_work_is_refused_unless_that_is_wanted",
    ),
    ("sqlite-memory", "a_backup_is_one_file_and_is_restored"),
    ("sqlite-memory", "rows_of_every_earlier_schema_survive"),
    ("sqlite-memory", "two_handles_work_side_by_side"),
    ("sqlite-memory", "of_two_handles_that_start_a_run_one_wins"),
    (
        "sqlite-memory",
        "the_same_request_through_two_handles_makes_one_task",
    ),
    (
        "sqlite-memory",
        "handles_that_change_the_same_tasks_in_any_order_all_end",
    ),
    ("sqlite-memory", "many_may_open_a_new_database_at_once"),
    ("sqlite-memory", "a_large_write_does_not_hold_up_reads"),
];

/// In how many parts stories are told, and how long that may take.
const PARTS: u64 = 4;
const STORIES_PATIENCE: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    // The test of killed processes starts this program again as the process to be killed.
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, url] = arguments.as_slice()
        && mode == killed::CHILD
    {
        return killed::child(url);
    }
    let mut trials = vec![Trial::test("the_table_of_unsupported_pairs_is_right", || {
        unsupported_pairs_are_listed();
        Ok(())
    })];
    for adapter in &ADAPTERS {
        let name = format!("{}::declares_its_capabilities", adapter.name);
        trials.push(Trial::test(name, || declares_its_capabilities(adapter)));
        for case in cases() {
            if case.needs.is_met_by(adapter.capabilities) {
                let name = format!("{}::{}", adapter.name, case.name);
                trials.push(Trial::test(name, move || try_case(adapter, case)));
            }
        }
    }
    trials.extend(stories());
    trials.extend(files::trials());
    trials.extend(killed::trials());
    trials.extend(servers::trials());
    trials.extend(lessons::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn unsupported_pairs_are_listed() {
    let mut left_out = BTreeSet::new();
    for adapter in &ADAPTERS {
        for case in cases() {
            if !case.needs.is_met_by(adapter.capabilities) {
                left_out.insert((adapter.name, case.name));
            }
        }
    }
    assert_eq!(left_out, BTreeSet::from(UNSUPPORTED));
}

/// Stories, in parts that run side by side. `MUSTER_TEST_STORIES=10000` plays more of them than usual,
/// `MUSTER_TEST_SEED=1` others; a failure says which seed shows it alone.
fn stories() -> Vec<Trial> {
    let seed = number("MUSTER_TEST_SEED", 0);
    let mut trials = Vec::new();
    for adapter in ADAPTERS.iter().filter(|adapter| adapter.capabilities.keeps) {
        let stories = number("MUSTER_TEST_STORIES", adapter.stories);
        let parts = PARTS.min(stories);
        for part in 0..parts {
            let (from, until) = (stories * part / parts, stories * (part + 1) / parts);
            let name = format!("{}::stories_end_as_the_model_says_{}", adapter.name, part + 1);
            trials.push(Trial::test(name, move || {
                let folder = in_memory()?;
                let Some(url) = muster_testkit::require::or_ignored((adapter.url)(&folder)) else {
                    return Ok(());
                };
                let world = World::new(url);
                let all = tell_stories(world, seed + from, until - from);
                within(STORIES_PATIENCE, all.0, all.1)
            }));
        }
    }
    trials
}

/// Returns a folder in memory where there is one. No story has a power cut in it, and a story waits for the disk longer
/// than for anything else; the cases have their databases on the disk.
fn in_memory() -> std::io::Result<TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

fn tell_stories(world: World, seed: u64, stories: u64) -> (Tasks, impl Future<Output = ()>) {
    let tasks = world.tasks.clone();
    let played = async move {
        if let Err(failure) = muster_store::contract::stories::play(world, seed, stories).await {
            panic!("{failure}");
        }
    };
    (tasks, played)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how many stories, and which, is asked from outside"
)]
fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}='{text}' is not a whole number"))
    })
}

fn declares_its_capabilities(adapter: &'static Adapter) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let Some(url) = muster_testkit::require::or_ignored((adapter.url)(&folder)) else {
        return Ok(());
    };
    let world = World::new(url);
    within_patience(world.tasks.clone(), async move {
        assert_eq!(world.open().await.capabilities, adapter.capabilities);
    })
}

fn try_case(adapter: &'static Adapter, case: Case) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let Some(url) = muster_testkit::require::or_ignored((adapter.url)(&folder)) else {
        return Ok(());
    };
    let world = World::new(url);
    within_patience(world.tasks.clone(), (case.run)(world))
}

/// Runs a case to its end, and checks that it leaves nothing running.
fn within_patience(tasks: Tasks, case: impl Future<Output = ()>) -> Result<(), Failed> {
    within(PATIENCE, tasks, case)
}

fn within(patience: Duration, tasks: Tasks, case: impl Future<Output = ()>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        clock::deadline(patience, case)
            .await
            .map_err(|_| Failed::from(format!("not done after {patience:?}")))?;
        let left = tasks.close(Duration::from_secs(20)).await;
        match (left, tasks.panics()) {
            (0, 0) => Ok(()),
            (left, panics) => Err(format!("{left} tasks are left running, {panics} panicked").into()),
        }
    })
}
