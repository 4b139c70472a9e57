//! Submitting tasks.

use std::time::Duration;

use bytes::Bytes;
use muster_model::quantity::Amount;
use muster_model::task::Priority;
use muster_model::{Endpoint, ErrorKind, Kind, Options, Reach, RunState, TaskId, Timestamp};

use super::World;
use super::world::{HOSTILE, all_runs, check_counts, executor, host, key, new_task, run, submit, task};
use crate::types::{NewTask, RunFilter, Submitted, TaskFilter, TaskInput};

pub(super) async fn a_task_is_read_back_as_it_was_written(world: World) {
    let opened = world.open().await;
    let full = full_task();
    let Submitted::Now(written) = opened.store.submit(full.clone()).await.unwrap() else {
        panic!("the request is new");
    };
    assert_eq!(written.kind, full.kind);
    assert_eq!(written.options, full.options);
    assert_eq!(written.owner, full.owner);
    assert_eq!(written.retry_of, full.retry_of);
    assert_eq!(written.created_at, full.created_at);
    assert_eq!((written.finished_at, written.cancelled_at), (None, None));
    assert_eq!((written.counts.total, written.counts.queued), (3, 3));
    assert_eq!(task(&opened, written.id).await, written);
    assert_eq!(opened.store.input(written.id).await.unwrap(), full.input);
    let runs = all_runs(&opened, written.id).await;
    assert_eq!(runs.len(), full.hosts.len());
    for ((index, run), (host, endpoint)) in runs.iter().enumerate().zip(&full.hosts) {
        assert_eq!(run.key, key(written.id, index as u32));
        assert_eq!((&run.host, &run.endpoint), (host, endpoint));
        assert_eq!((run.state, run.attempt), (RunState::Queued, 1));
        assert_eq!(run.queued_at, full.created_at);
        assert_eq!(
            (run.started_at, run.finished_at, &run.executor),
            (None, None, &None)
        );
        assert!(run.history.is_empty());
    }
    check_counts(&opened, written.id).await;
}

fn full_task() -> NewTask {
    let reached = Endpoint {
        reach: Reach::Agent,
        host: "db7".into(),
        address: Some("2001:db8::7".into()),
        user: Some("root".into()),
        port: Some(u16::MAX),
        credential: None,
    };
    NewTask {
        request_id: "full".into(),
        kind: Kind::Script {
            name: "fix it.sh".into(),
            args: vec!["a b".into(), String::new()],
        },
        options: Options {
            timeout: Some(Duration::from_millis(1_500)),
            concurrency: Some(7),
            batch: Some(Amount::Percent(10)),
            max_failures: Some(Amount::Hosts(3)),
            retries: 2,
            expires_at: Some(Timestamp(1_795_000_000_000_000)),
            priority: Priority::High,
            env: vec![("A".into(), "b=c".into())],
            max_output: u64::MAX,
            ..Options::default()
        },
        input: TaskInput {
            script: Some(Bytes::from_static(b"#!/bin/sh\n\0\xff")),
            stdin: Some(Bytes::new()),
        },
        secrets: None,
        owner: "grace".into(),
        retry_of: Some(TaskId(4_000_000_000_000)),
        created_at: Timestamp(-5),
        dispatcher: executor("first"),
        hosts: vec![
            host("web1"),
            ("me@db:22".into(), reached),
            (
                "localhost".into(),
                Endpoint {
                    reach: Reach::Local,
                    ..host("localhost").1
                },
            ),
        ],
    }
}

pub(super) async fn numbers_begin_at_one_and_grow(world: World) {
    let opened = world.open().await;
    for number in 1..=5 {
        assert_eq!(submit(&opened, &format!("r{number}"), 1).await, TaskId(number));
    }
}

pub(super) async fn the_same_request_makes_one_task(world: World) {
    let opened = world.open().await;
    let first = submit(&opened, "same", 3).await;
    let other = NewTask {
        secrets: None,
        owner: "mallory".into(),
        ..new_task("same", 5)
    };
    let Submitted::Before(found) = opened.store.submit(other).await.unwrap() else {
        panic!("a second task was made");
    };
    assert_eq!(found, task(&opened, first).await);
    assert_eq!(all_runs(&opened, first).await.len(), 3);
    assert_eq!(opened.store.tasks(TaskFilter::default()).await.unwrap().len(), 1);
}

pub(super) async fn many_submits_at_once_get_numbers_of_their_own(world: World) {
    let opened = world.open().await;
    let submits = (0..60).map(|number| {
        let opened = opened.clone();
        async move { submit(&opened, &format!("request {number}"), 3).await.0 }
    });
    let mut numbers = world.at_once(submits).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=60).collect::<Vec<u64>>());
}

pub(super) async fn the_same_request_many_times_at_once_makes_one_task(world: World) {
    let opened = world.open().await;
    let submits = (0..30).map(|_| {
        let opened = opened.clone();
        async move { opened.store.submit(new_task("one", 2)).await.unwrap() }
    });
    let answers = world.at_once(submits).await;
    let made = answers
        .iter()
        .filter(|answer| matches!(answer, Submitted::Now(_)))
        .count();
    assert_eq!(made, 1);
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.into_task().id == TaskId(1))
    );
}

pub(super) async fn a_wrong_task_is_refused_and_uses_no_number(world: World) {
    let opened = world.open().await;
    let long = "x".repeat(10_000);
    let wrong = [
        new_task("none", 0),
        new_task("", 1),
        new_task(&long, 1),
        NewTask {
            secrets: None,
            owner: String::new(),
            ..new_task("owner", 1)
        },
        NewTask {
            hosts: vec![host("")],
            ..new_task("nameless", 1)
        },
        NewTask {
            hosts: vec![host(&long)],
            ..new_task("long", 1)
        },
    ];
    for task in wrong {
        let request = task.request_id.clone();
        let error = opened.store.submit(task).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{request}: {error}");
    }
    assert_eq!(submit(&opened, "right", 1).await, TaskId(1));
}

pub(super) async fn texts_are_data_and_never_statements(world: World) {
    let opened = world.open().await;
    for text in HOSTILE {
        let new = NewTask {
            request_id: text.into(),
            kind: Kind::Command { command: text.into() },
            secrets: None,
            owner: text.into(),
            hosts: vec![host(text)],
            dispatcher: executor(text),
            ..new_task("x", 1)
        };
        let written = opened.store.submit(new).await.unwrap().into_task();
        assert_eq!(task(&opened, written.id).await.title(), text);
        assert_eq!(run(&opened, key(written.id, 0)).await.host, text);
        let found = TaskFilter {
            owner: Some(text.into()),
            text: Some(text.into()),
            ..TaskFilter::default()
        };
        assert_eq!(opened.store.tasks(found).await.unwrap(), [written], "{text}");
    }
}

pub(super) async fn a_hundred_thousand_runs_are_written_and_paged(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "large", 100_000).await;
    let mut from = 0;
    while from < 100_000 {
        let filter = RunFilter {
            from,
            limit: u32::MAX,
            states: Vec::new(),
        };
        let page = opened.store.runs(id, filter).await.unwrap();
        assert_eq!(page.len(), 10_000, "a page has its most");
        for (run, index) in page.iter().zip(from..) {
            assert_eq!(run.key.index, index);
            assert_eq!(run.host, format!("node{index:06}"));
        }
        from += 10_000;
    }
    let page = opened.store.runs(id, RunFilter::default()).await.unwrap();
    assert_eq!(page.len(), 1000, "a page has 1000 where nobody says");
    let open = opened.store.open_runs(id, 99_990, 100).await.unwrap();
    assert_eq!(open.len(), 10);
    assert_eq!(task(&opened, id).await.counts.queued, 100_000);
}

pub(super) async fn the_input_of_a_task_that_is_not_there_is_not_found(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "plain", 1).await;
    assert_eq!(opened.store.input(id).await.unwrap(), TaskInput::default());
    for missing in [TaskId(0), TaskId(2), TaskId(u64::MAX)] {
        let error = opened.store.input(missing).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
    }
}
