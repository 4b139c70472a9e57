//! Copies, backups, and what is refused.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use muster_model::{ErrorKind, RunKey, TaskId, Timestamp};
use tempfile::TempDir;

use super::fill::fill;
use super::world::{World, all_runs, executor, submit};
use crate::open::{Opened, open};
use crate::schema::{migrate, schema};
use crate::transfer::side::Side;
use crate::transfer::{Copied, Mark, Source, backup, copy, plan, restore, status};
use crate::types::TaskFilter;

/// Files beside the database of the case.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn url(&self, name: &str) -> String {
        format!("sqlite://{}", self.0.path().join(name).display())
    }
}

fn quiet(_: &str, _: u64) {}

async fn copied(from: &str, to: &str) -> Copied {
    let source = Source {
        url: from,
        live: false,
    };
    copy(source, to, &quiet)
        .await
        .unwrap_or_else(|error| panic!("{error:?}"))
}

async fn filled(world: &World, url: &str, runs: u32) {
    let opened = open(url, &world.tasks).await.expect("the database opens");
    fill(&opened, url, runs).await;
    opened.store.close().await;
}

/// Returns what the ports say of everything in a database.
async fn told_by_the_ports(opened: &Opened) -> String {
    let filter = TaskFilter {
        limit: 1000,
        ..TaskFilter::default()
    };
    let mut text = String::new();
    for task in opened.store.tasks(filter).await.expect("tasks") {
        text.push_str(&format!(
            "{task:?}\n{:?}\n",
            opened.store.input(task.id).await.expect("input")
        ));
        for run in all_runs(opened, task.id).await {
            let log = opened
                .outputs
                .read(run.key, run.attempt, 0, 8 * 1024 * 1024)
                .await
                .expect("output");
            text.push_str(&format!("{run:?} {log:?}\n"));
        }
    }
    text.push_str(&format!(
        "{:?}",
        opened.inventory.changed_since(None).await.expect("hosts")
    ));
    text.push_str(&format!(
        "{:?}",
        opened.inventory.groups_counted().await.expect("groups")
    ));
    text
}

pub(super) async fn every_table_that_is_there_is_copied(world: World) {
    world.open().await.store.close().await;
    let plan = plan::plan().await.expect("the tables");
    let side = Side::existing(&world.url).await.expect("a connection");
    plan::check(&side.db, &plan, "here")
        .await
        .expect("the same tables and columns");
    side.close().await;
    assert!(plan.len() >= 14, "{plan:?}");
}

pub(super) async fn a_copy_to_here_and_back_has_the_same_checksums(world: World) {
    let files = Files::new();
    let (first, last) = (files.url("first.db"), files.url("last.db"));
    filled(&world, &first, 300).await;
    let there = copied(&first, &world.url).await;
    let back = copied(&world.url, &last).await;
    assert_eq!(there.proofs, back.proofs);
    let empty: Vec<_> = there.proofs.iter().filter(|proof| proof.rows == 0).collect();
    assert!(empty.is_empty(), "nothing is proved by {empty:?}");
    let mut told = Vec::new();
    for url in [&first, &world.url, &last] {
        let opened = open(url, &world.tasks).await.expect("the database opens");
        told.push(told_by_the_ports(&opened).await);
        let number = submit(&opened, "the next", 1).await;
        assert_eq!(number, TaskId(6), "numbers go on in {url}");
        opened.store.close().await;
    }
    assert!(
        told[0] == told[1] && told[0] == told[2],
        "the ports say something else"
    );
}

pub(super) async fn a_database_that_is_not_empty_is_refused_and_left_as_it_is(world: World) {
    let files = Files::new();
    let first = files.url("first.db");
    filled(&world, &first, 20).await;
    let opened = world.open().await;
    let task = submit(&opened, "mine", 2).await;
    opened.store.close().await;
    let source = Source {
        url: &first,
        live: false,
    };
    let error = copy(source, &world.url, &quiet)
        .await
        .expect_err("it is not empty");
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains("not empty"), "{error}");
    let opened = world.open().await;
    assert_eq!(all_runs(&opened, task).await.len(), 2);
    opened.store.close().await;
}

pub(super) async fn an_unfinished_copy_is_refused_until_it_is_made_again(world: World) {
    let files = Files::new();
    let first = files.url("first.db");
    filled(&world, &first, 200).await;
    for stop_at in ["copying runs", "copying output logs", "checking runs"] {
        interrupted(&first, &world.url, stop_at).await;
        let Err(error) = open(&world.url, &world.tasks).await else {
            panic!("an unfinished copy was opened");
        };
        assert_eq!(error.kind, ErrorKind::Conflict, "{error:?}");
        assert!(error.to_string().contains("unfinished copy of"), "{error}");
        assert!(error.to_string().contains("first.db"), "{error}");
        assert_eq!(
            migrate(&world.url).await.expect_err("marked").kind,
            ErrorKind::Conflict
        );
        let mark = schema(&world.url).await.expect("a look").mark;
        assert!(matches!(mark, Some(Mark::Unfinished { .. })), "{mark:?}");
        let as_source = Source {
            url: &world.url,
            live: true,
        };
        let error = copy(as_source, &files.url("other.db"), &quiet)
            .await
            .expect_err("it is not whole");
        assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    }
    let again = copied(&first, &world.url).await;
    let straight = copied(&first, &files.url("straight.db")).await;
    assert_eq!(again.proofs, straight.proofs);
    world.open().await.store.close().await;
}

/// Begins a copy and ends it at a step, in the middle of whatever it does then.
async fn interrupted(from: &str, to: &str, step: &str) {
    struct Interrupted;
    let told = |doing: &str, _: u64| {
        if doing == step {
            std::panic::panic_any(Interrupted);
        }
    };
    let source = Source {
        url: from,
        live: false,
    };
    let ended = AssertUnwindSafe(copy(source, to, &told)).catch_unwind().await;
    let Err(panic) = ended else {
        panic!("the copy never came to '{step}'");
    };
    assert!(panic.is::<Interrupted>(), "the copy panicked by itself");
}

pub(super) async fn a_source_at_work_is_refused_unless_that_is_wanted(world: World) {
    let files = Files::new();
    let opened = world.open().await;
    submit(&opened, "one", 3).await;
    let until = Timestamp(muster_runtime::now().0 + 3_600_000_000);
    opened
        .store
        .heartbeat(&executor("busy"), "here", 1, until)
        .await
        .expect("a sign of life");
    let target = files.url("target.db");
    let source = |live| Source {
        url: &world.url,
        live,
    };
    let error = copy(source(false), &target, &quiet)
        .await
        .expect_err("a server is at work");
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains("--live"), "{error}");
    copy(source(true), &target, &quiet)
        .await
        .expect("a copy of a moment");
    let seen = status(&world.url).await.expect("a look");
    assert_eq!(seen.servers.len(), 1, "{seen:?}");
    opened.store.close().await;
}

pub(super) async fn a_backup_is_one_file_and_is_restored(world: World) {
    let files = Files::new();
    filled(&world, &world.url, 100).await;
    let file = files.0.path().join("saved");
    // A server has it open.
    let opened = world.open().await;
    let saved = backup(&world.url, &file, &quiet).await.expect("a backup");
    let names: Vec<_> = std::fs::read_dir(files.0.path())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["saved"]);
    let error = backup(&world.url, &file, &quiet).await.expect_err("it is there");
    assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}");
    let Err(error) = open(&files.url("saved"), &world.tasks).await else {
        panic!("a backup was opened");
    };
    assert!(error.to_string().contains("is a backup of"), "{error}");
    let restored = restore(&file, &files.url("restored.db"), &quiet)
        .await
        .expect("restored");
    assert_eq!(saved.proofs, restored.proofs);
    let other = open(&files.url("restored.db"), &world.tasks)
        .await
        .expect("it opens");
    let first = RunKey {
        task: TaskId(1),
        index: 0,
    };
    let log = async |opened: &Opened| opened.outputs.read(first, 1, 0, 1 << 23).await.expect("output");
    let output = log(&opened).await;
    assert!(output.len() > 100_000 && output == log(&other).await);
    other.store.close().await;
    opened.store.close().await;
}
