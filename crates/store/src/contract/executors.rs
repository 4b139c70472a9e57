//! Executors, who dispatches a task, and cancelling.

use muster_model::{ErrorKind, RunState, TaskId, Timestamp};

use super::World;
use super::world::{executor, key, must, settle, start, submit, task};
use crate::types::ExecutorRecord;

fn record(id: &str, home: &str, pid: u32, until: i64) -> ExecutorRecord {
    ExecutorRecord {
        id: executor(id),
        home: home.into(),
        pid,
        until: Timestamp(until),
    }
}

pub(super) async fn an_executor_is_known_until_it_is_forgotten(world: World) {
    let opened = world.open().await;
    let beat = |id: &'static str, pid, until| {
        let opened = opened.clone();
        async move {
            opened
                .store
                .heartbeat(&executor(id), "home'1", pid, Timestamp(until))
                .await
                .unwrap();
        }
    };
    beat("a", 7, 100).await;
    beat("b", u32::MAX, 100).await;
    beat("a", 7, 200).await;
    let known = opened.store.executors().await.unwrap();
    let expected = [
        record("a", "home'1", 7, 200),
        record("b", "home'1", u32::MAX, 100),
    ];
    assert_eq!(known, expected);
    for _ in 0..2 {
        opened.store.forget_executor(&executor("a")).await.unwrap();
        let left = opened.store.executors().await.unwrap();
        assert_eq!(left, [record("b", "home'1", u32::MAX, 100)]);
    }
    let nameless = opened
        .store
        .heartbeat(&executor(""), "home", 1, Timestamp(1))
        .await;
    assert_eq!(nameless.unwrap_err().kind, ErrorKind::Invalid);
}

pub(super) async fn the_clock_of_the_database_is_that_of_this_machine(world: World) {
    let opened = world.open().await;
    let before = muster_runtime::now();
    let clock = opened.store.clock().await.unwrap();
    let after = muster_runtime::now();
    // Both are on this machine, whose clock does not stand still; a file has none.
    if let Some(clock) = clock {
        assert!(before <= clock && clock <= after, "{before} {clock} {after}");
    }
    let engine = opened.store.ping().await.unwrap();
    assert_eq!(clock.is_none(), engine.starts_with("SQLite"), "{engine}");
}

pub(super) async fn an_owner_of_started_runs_is_known_without_a_sign_of_life(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 3).await;
    must(
        &opened,
        vec![
            start(key(id, 0), "silent"),
            start(key(id, 1), "silent"),
            start(key(id, 2), "loud"),
        ],
    )
    .await;
    opened
        .store
        .heartbeat(&executor("loud"), "here", 3, Timestamp(9))
        .await
        .unwrap();
    let known = opened.store.executors().await.unwrap();
    assert_eq!(known, [record("loud", "here", 3, 9), record("silent", "", 0, 0)]);
    // It owns started runs, so it cannot be forgotten away.
    opened.store.forget_executor(&executor("silent")).await.unwrap();
    assert_eq!(opened.store.executors().await.unwrap(), known);
    let lost = [0, 1].map(|index| settle(key(id, index), RunState::Lost));
    must(&opened, lost.to_vec()).await;
    let known = opened.store.executors().await.unwrap();
    assert_eq!(known, [record("loud", "here", 3, 9)]);
}

pub(super) async fn of_many_that_adopt_a_task_one_gets_it(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 1).await;
    assert_eq!(
        opened.store.open_tasks().await.unwrap(),
        [(id, executor("first"))]
    );
    let racers = (0..24).map(|racer| {
        let opened = opened.clone();
        async move {
            let me = executor(&format!("racer {racer}"));
            opened.store.adopt(id, &executor("first"), &me).await.unwrap()
        }
    });
    let answers = world.at_once(racers).await;
    let winners: Vec<usize> = (0..24).filter(|racer| answers[*racer]).collect();
    assert_eq!(winners.len(), 1);
    let owner = executor(&format!("racer {}", winners[0]));
    assert_eq!(opened.store.open_tasks().await.unwrap(), [(id, owner)]);
}

pub(super) async fn a_task_that_is_done_is_not_adopted(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 1).await;
    must(&opened, vec![settle(key(id, 0), RunState::Cancelled)]).await;
    let (from, to) = (executor("first"), executor("next"));
    for id in [id, TaskId(0), TaskId(77), TaskId(u64::MAX)] {
        assert!(!opened.store.adopt(id, &from, &to).await.unwrap(), "task {id}");
    }
    assert_eq!(opened.store.open_tasks().await.unwrap(), []);
}

pub(super) async fn a_task_is_cancelled_once(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 1).await;
    let done = submit(&opened, "s", 1).await;
    must(&opened, vec![settle(key(done, 0), RunState::Cancelled)]).await;
    let cancel = |id, at| opened.store.request_cancel(id, Timestamp(at));
    assert!(cancel(id, 50).await.unwrap());
    assert!(!cancel(id, 60).await.unwrap());
    assert_eq!(task(&opened, id).await.cancelled_at, Some(Timestamp(50)));
    assert!(!cancel(done, 60).await.unwrap());
    assert_eq!(task(&opened, done).await.cancelled_at, None);
    for missing in [TaskId(0), TaskId(77), TaskId(u64::MAX)] {
        assert_eq!(cancel(missing, 1).await.unwrap_err().kind, ErrorKind::NotFound);
    }
}
