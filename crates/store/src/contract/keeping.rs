//! Closing, opening again, and several handles on one database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_model::run::Change;
use muster_model::{ErrorKind, Outcome, RunState, TaskId, Timestamp};
use muster_runtime::clock;

use super::World;
use super::world::{
    all_runs, apply, check_counts, executor, frames, key, must, new_task, settle, start, submit, task,
    transition,
};
use crate::types::{Edit, TaskFilter};
use muster_model::run::Applied;

pub(super) async fn a_closed_store_says_that_it_is_closed(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 1).await;
    opened.store.close().await;
    opened.store.close().await;
    let errors = [
        opened.store.submit(new_task("s", 1)).await.err(),
        opened.store.apply(vec![start(key(id, 0), "me")]).await.err(),
        opened.store.task(id).await.err(),
        opened.store.tasks(TaskFilter::default()).await.err(),
        opened.store.request_cancel(id, Timestamp(1)).await.err(),
        opened.store.ping().await.err(),
        opened.inventory.hosts().await.err(),
        opened
            .inventory
            .change(vec![Edit::RemoveHosts(vec!["a".to_owned()])], None)
            .await
            .err(),
        opened.outputs.read(key(id, 0), 1, 0, 10).await.err(),
    ];
    for (place, error) in errors.into_iter().enumerate() {
        assert_eq!(
            error.map(|error| error.kind),
            Some(ErrorKind::Cancelled),
            "call {place}"
        );
    }
}

pub(super) async fn what_is_settled_during_a_shutdown_is_written(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 1).await;
    world.tasks.work().cancel();
    must(&opened, vec![start(key(id, 0), "me")]).await;
    must(&opened, vec![settle(key(id, 0), RunState::Cancelled)]).await;
    opened.store.close().await;
    assert_eq!(world.tasks.close(Duration::from_secs(10)).await, 0);
}

pub(super) async fn a_ping_names_the_engine_and_the_schema(world: World) {
    let opened = world.open().await;
    let text = opened.store.ping().await.unwrap();
    assert!(text.contains("schema"), "{text}");
}

pub(super) async fn everything_is_there_when_it_is_opened_again(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 4).await;
    let log = frames(&["kept", "whole"]);
    let ended = Change::Settle {
        outcome: Outcome::plain(RunState::Succeeded, None),
        output: Some(log.clone()),
    };
    must(
        &opened,
        vec![
            start(key(id, 0), "me"),
            transition(key(id, 0), 1, 9, ended),
            start(key(id, 1), "me"),
            transition(key(id, 2), 1, 9, super::world::again(RunState::Unreachable)),
        ],
    )
    .await;
    opened
        .outputs
        .append(key(id, 1), 1, 0, log.clone())
        .await
        .unwrap();
    opened
        .inventory
        .change(vec![Edit::AddGroups(vec!["web".parse().unwrap()])], None)
        .await
        .unwrap();
    opened
        .store
        .heartbeat(&executor("me"), "here", 5, Timestamp(77))
        .await
        .unwrap();
    let before = (
        task(&opened, id).await,
        all_runs(&opened, id).await,
        opened.store.executors().await.unwrap(),
        opened.inventory.groups().await.unwrap(),
    );
    opened.store.close().await;
    drop(opened);

    let opened = world.open().await;
    let after = (
        task(&opened, id).await,
        all_runs(&opened, id).await,
        opened.store.executors().await.unwrap(),
        opened.inventory.groups().await.unwrap(),
    );
    assert_eq!(after, before);
    for index in [0, 1] {
        assert_eq!(
            opened.outputs.read(key(id, index), 1, 0, 1000).await.unwrap(),
            log
        );
    }
    check_counts(&opened, id).await;
}

pub(super) async fn it_may_be_opened_again_without_having_been_closed(world: World) {
    for round in 1..=5 {
        let opened = world.open().await;
        assert_eq!(submit(&opened, &format!("r{round}"), 1).await, TaskId(round));
        // Every handle goes away with the last clone.
        drop(opened);
    }
}

pub(super) async fn numbers_go_on_after_it_is_opened_again(world: World) {
    let opened = world.open().await;
    submit(&opened, "a", 1).await;
    let last = submit(&opened, "b", 1).await;
    opened.store.close().await;
    let opened = world.open().await;
    assert_eq!(submit(&opened, "c", 1).await, TaskId(last.0 + 1));
    let again = opened.store.submit(new_task("a", 1)).await.unwrap().into_task();
    assert_eq!(again.id, TaskId(1), "requests are remembered, too");
}

pub(super) async fn two_handles_work_side_by_side(world: World) {
    let handles = [world.open().await, world.open().await];
    let work = (0..8).map(|worker| {
        let opened = handles[worker % 2].clone();
        async move {
            for number in 0..15 {
                let id = submit(&opened, &format!("{worker} {number}"), 4).await;
                for index in 0..4 {
                    must(&opened, vec![start(key(id, index), "me")]).await;
                    must(&opened, vec![settle(key(id, index), RunState::Succeeded)]).await;
                }
                check_counts(&opened, id).await;
            }
        }
    });
    world.at_once(work).await;
    for opened in &handles {
        assert_eq!(opened.store.open_tasks().await.unwrap(), []);
        let filter = TaskFilter {
            limit: 1000,
            ..TaskFilter::default()
        };
        assert_eq!(opened.store.tasks(filter).await.unwrap().len(), 120);
    }
    // One leaves; the other does not notice.
    handles[0].store.close().await;
    submit(&handles[1], "after", 1).await;
}

pub(super) async fn of_two_handles_that_start_a_run_one_wins(world: World) {
    let handles = [world.open().await, world.open().await];
    let id = submit(&handles[0], "r", 50).await;
    for index in 0..50 {
        let racers = (0..2).map(|racer| {
            let opened = handles[racer].clone();
            async move { apply(&opened, start(key(id, index), &format!("{racer}"))).await }
        });
        let answers = world.at_once(racers).await;
        let won = answers
            .iter()
            .filter(|answer| matches!(answer, Applied::Yes { .. }))
            .count();
        assert_eq!(won, 1, "run {index}");
    }
    check_counts(&handles[1], id).await;
}

pub(super) async fn many_may_open_a_new_database_at_once(world: World) {
    let tasks = world.tasks.clone();
    let openers = (0..6).map(|_| {
        let (url, tasks) = (world.url.clone(), tasks.clone());
        async move { crate::open(&url, &tasks).await.expect("an open") }
    });
    let handles = world.at_once(openers).await;
    for (number, opened) in (1..).zip(&handles) {
        assert_eq!(submit(opened, &format!("r{number}"), 1).await, TaskId(number));
    }
}

pub(super) async fn a_large_write_does_not_hold_up_reads(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "small", 1).await;
    let written = Arc::new(AtomicBool::new(false));
    let large = {
        let (opened, written) = (opened.clone(), Arc::clone(&written));
        async move {
            submit(&opened, "large", 300_000).await;
            written.store(true, Ordering::SeqCst);
        }
    };
    let began = clock::monotonic();
    world.tasks.spawn("a large write", large);
    let mut reads = 0_u32;
    let mut slowest = Duration::ZERO;
    while !written.load(Ordering::SeqCst) {
        let begin = clock::monotonic();
        assert_eq!(task(&opened, id).await.counts.total, 1);
        slowest = slowest.max(clock::monotonic() - begin);
        reads += 1;
        tokio::task::yield_now().await;
    }
    // Were reads to wait for the writer, there would be one or two, each as long as the write.
    assert!(reads > 20, "{reads} reads during the write");
    let write = clock::monotonic() - began;
    assert!(
        slowest < write / 2,
        "a read took {slowest:?} of the {write:?} of the write"
    );
}
