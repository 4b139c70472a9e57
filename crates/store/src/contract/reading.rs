//! Finding tasks and runs.

use muster_model::{Kind, RunState, TaskId, TaskState, Timestamp};

use super::World;
use super::world::{key, must, new_task, settle, start, submit};
use crate::open::Opened;
use crate::types::{NewTask, RunFilter, TaskFilter};

async fn found(opened: &Opened, filter: TaskFilter) -> Vec<u64> {
    let tasks = opened.store.tasks(filter).await.unwrap();
    tasks.into_iter().map(|task| task.id.0).collect()
}

pub(super) async fn tasks_are_found_by_state_and_by_the_states_of_their_runs(world: World) {
    let opened = world.open().await;
    let queued = submit(&opened, "a", 2).await;
    let half = submit(&opened, "b", 2).await;
    let done = submit(&opened, "c", 1).await;
    must(
        &opened,
        vec![start(key(half, 0), "me"), settle(key(done, 0), RunState::Expired)],
    )
    .await;
    let by_state = |state| TaskFilter {
        state: Some(state),
        ..TaskFilter::default()
    };
    assert_eq!(found(&opened, TaskFilter::default()).await, [3, 2, 1]);
    assert_eq!(
        found(&opened, by_state(TaskState::Running)).await,
        [half.0, queued.0]
    );
    assert_eq!(found(&opened, by_state(TaskState::Done)).await, [done.0]);
    for state in RunState::ALL {
        let expected: &[u64] = match state {
            RunState::Queued => &[half.0, queued.0],
            RunState::Started => &[half.0],
            RunState::Expired => &[done.0],
            _ => &[],
        };
        let filter = TaskFilter {
            with_run_state: Some(state),
            ..TaskFilter::default()
        };
        assert_eq!(found(&opened, filter).await, expected, "{state}");
    }
    let open = opened.store.open_tasks().await.unwrap();
    let open: Vec<TaskId> = open.into_iter().map(|(id, _)| id).collect();
    assert_eq!(open, [queued, half], "oldest first");
}

pub(super) async fn tasks_are_found_by_owner_time_and_number(world: World) {
    let opened = world.open().await;
    for number in 0..120_i64 {
        let task = NewTask {
            secrets: None,
            owner: if number % 2 == 0 { "ada" } else { "grace" }.into(),
            created_at: Timestamp(number),
            ..new_task(&format!("r{number}"), 1)
        };
        opened.store.submit(task).await.unwrap();
    }
    let all = TaskFilter::default();
    assert_eq!(
        found(&opened, all.clone()).await,
        (21..=120).rev().collect::<Vec<_>>()
    );
    let limited = |limit| TaskFilter { limit, ..all.clone() };
    assert_eq!(found(&opened, limited(2)).await, [120, 119]);
    assert_eq!(found(&opened, limited(u32::MAX)).await.len(), 120);
    let before = |before| TaskFilter {
        before: Some(TaskId(before)),
        ..all.clone()
    };
    assert_eq!(found(&opened, before(3)).await, [2, 1]);
    assert_eq!(found(&opened, before(u64::MAX)).await.len(), 100);
    let since = TaskFilter {
        since: Some(Timestamp(118)),
        ..all.clone()
    };
    assert_eq!(found(&opened, since).await, [120, 119]);
    let grace = TaskFilter {
        owner: Some("grace".into()),
        before: Some(TaskId(6)),
        ..all.clone()
    };
    assert_eq!(found(&opened, grace).await, [4, 2]);
    let nobody = TaskFilter {
        owner: Some("GRACE".into()),
        ..all
    };
    assert_eq!(found(&opened, nobody).await, [0; 0]);
}

pub(super) async fn the_text_filter_is_literal_and_knows_no_case(world: World) {
    let opened = world.open().await;
    let titles = [
        "df -h",
        "echo 100%",
        "echo 1000",
        "a_b",
        "aXb",
        "back\\slash",
        "UPTIME ÄÖ",
    ];
    for title in titles {
        let task = NewTask {
            kind: Kind::Command {
                command: title.into(),
            },
            ..new_task(title, 1)
        };
        opened.store.submit(task).await.unwrap();
    }
    let script = NewTask {
        kind: Kind::Script {
            name: "Deploy.sh".into(),
            args: vec!["--Now".into()],
        },
        ..new_task("script", 1)
    };
    opened.store.submit(script).await.unwrap();
    let table: [(&str, &[u64]); 10] = [
        ("DF", &[1]),
        ("100%", &[2]),
        ("100", &[3, 2]),
        ("%", &[2]),
        ("_", &[4]),
        ("\\", &[6]),
        ("uptime äö", &[7]),
        ("deploy.sh --now", &[8]),
        ("", &[8, 7, 6, 5, 4, 3, 2, 1]),
        ("nothing like it", &[]),
    ];
    for (text, ids) in table {
        let filter = TaskFilter {
            text: Some(text.into()),
            ..TaskFilter::default()
        };
        assert_eq!(found(&opened, filter).await, ids, "'{text}'");
    }
    let long = TaskFilter {
        text: Some("x".repeat(200_000)),
        ..TaskFilter::default()
    };
    assert_eq!(found(&opened, long).await, [0; 0]);
}

pub(super) async fn runs_are_found_by_index_and_state(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 30).await;
    let other = submit(&opened, "other", 5).await;
    let mut changes = Vec::new();
    for index in (0..30).step_by(3) {
        changes.push(start(key(id, index), "me"));
    }
    for index in (0..30).step_by(6) {
        changes.push(settle(key(id, index), RunState::Failed));
    }
    must(&opened, changes).await;
    let table: [(RunFilter, Vec<u32>); 5] = [
        (RunFilter::default(), (0..30).collect()),
        (
            RunFilter {
                from: 28,
                ..RunFilter::default()
            },
            vec![28, 29],
        ),
        (
            RunFilter {
                from: 10,
                limit: 3,
                ..RunFilter::default()
            },
            vec![10, 11, 12],
        ),
        (
            RunFilter {
                states: vec![RunState::Failed],
                ..RunFilter::default()
            },
            vec![0, 6, 12, 18, 24],
        ),
        (
            RunFilter {
                from: 4,
                limit: 4,
                states: vec![RunState::Started, RunState::Failed],
            },
            vec![6, 9, 12, 15],
        ),
    ];
    for (filter, expected) in table {
        let runs = opened.store.runs(id, filter.clone()).await.unwrap();
        let indexes: Vec<u32> = runs.iter().map(|run| run.key.index).collect();
        assert_eq!(indexes, expected, "{filter:?}");
        assert!(runs.iter().all(|run| run.key.task == id));
    }
    assert_eq!(
        opened
            .store
            .runs(other, RunFilter::default())
            .await
            .unwrap()
            .len(),
        5
    );
}

pub(super) async fn open_runs_are_those_that_are_not_terminal(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 10).await;
    let mut changes: Vec<_> = (0..8)
        .map(|index| settle(key(id, index), RunState::Skipped))
        .collect();
    changes.push(start(key(id, 9), "me"));
    must(&opened, changes).await;
    let open = opened.store.open_runs(id, 0, 100).await.unwrap();
    let seen: Vec<_> = open
        .iter()
        .map(|run| (run.key.index, run.state, run.attempt, run.executor.clone()))
        .collect();
    assert_eq!(
        seen,
        [
            (8, RunState::Queued, 1, None),
            (9, RunState::Started, 1, Some(super::world::executor("me"))),
        ]
    );
    let from = |from, limit| opened.store.open_runs(id, from, limit);
    assert_eq!(from(9, 100).await.unwrap().len(), 1);
    assert_eq!(from(10, 100).await.unwrap().len(), 0);
    assert_eq!(from(0, 1).await.unwrap().len(), 1);
    assert_eq!(from(u32::MAX, u32::MAX).await.unwrap().len(), 0);
}

pub(super) async fn what_is_not_there_is_none(world: World) {
    let opened = world.open().await;
    for id in [TaskId(0), TaskId(1), TaskId(u64::MAX)] {
        assert_eq!(opened.store.task(id).await.unwrap(), None);
        assert_eq!(opened.store.run(key(id, 0)).await.unwrap(), None);
        assert_eq!(opened.store.runs(id, RunFilter::default()).await.unwrap(), []);
        assert_eq!(opened.store.open_runs(id, 0, 10).await.unwrap(), []);
        assert_eq!(opened.outputs.read_inline(id, 0, u32::MAX).await.unwrap(), []);
    }
}
