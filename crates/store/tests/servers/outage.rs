//! Servers that go away and come back.

use std::time::Duration;

use muster_model::{ErrorKind, RunState, TaskId};
use muster_runtime::{Tasks, clock};
use muster_store::contract::world::{
    all_runs, check_counts, frames, key, new_task, run, settle, start, submit,
};
use muster_store::{Error, Opened, open};
use muster_testkit::wait;
use tokio::sync::mpsc;

use super::Kind;

/// A call that waits for a connection five seconds, and a little.
const SOON: Duration = Duration::from_secs(8);

async fn soon<T>(what: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    clock::deadline(SOON, call)
        .await
        .unwrap_or_else(|_| panic!("{what} hangs"))
}

pub(super) async fn calls_fail_soon_while_the_server_is_away_and_work_when_it_is_back(
    kind: Kind,
    tasks: Tasks,
) {
    let mut server = muster_testkit::require!(kind.start());
    let opened = open(&server.fresh(), &tasks).await.unwrap();
    let id = submit(&opened, "before", 2).await;
    for round in 0..2 {
        match round {
            0 => server.stop(),
            _ => server.kill(),
        }
        // All at the same moment: none of them waits for the others.
        let answers = tokio::join!(
            soon("a submit", opened.store.submit(new_task("away", 1))),
            soon("an apply", opened.store.apply(vec![start(key(id, round), "me")])),
            soon("another submit", opened.store.submit(new_task("away too", 1))),
            soon("a read", opened.store.task(id)),
            soon("a ping", opened.store.ping()),
            soon(
                "an append",
                opened.outputs.append(key(id, 1), 1, 0, frames(&["x"]))
            ),
        );
        let errors = [
            answers.0.err(),
            answers.1.err(),
            answers.2.err(),
            answers.3.err(),
            answers.4.err(),
            answers.5.err(),
        ];
        for (call, error) in errors.into_iter().enumerate() {
            let error = error.unwrap_or_else(|| panic!("call {call} was answered"));
            let kinds = [
                ErrorKind::Unavailable,
                ErrorKind::Timeout,
                ErrorKind::OutcomeUnknown,
            ];
            assert!(kinds.contains(&error.kind), "call {call}: {error:?}");
            assert!(
                call == 5 || error.kind != ErrorKind::OutcomeUnknown,
                "call {call} did not commit: {error:?}"
            );
        }
        server.start_again();
        submit(&opened, &format!("back {round}"), 1).await;
        let answers = || async { opened.store.task(id).await.ok() };
        wait::until_some(Duration::from_secs(20), "a read", answers)
            .await
            .unwrap();
        assert_eq!(run(&opened, key(id, round)).await.state, RunState::Queued);
    }
    opened.store.close().await;
}

/// Takes tasks through their lives until the server is gone, and says each step once it was answered.
async fn work(opened: Opened, worker: usize, said: mpsc::Sender<(TaskId, RunState)>) {
    for number in 0.. {
        let request = format!("{worker} {number}");
        let task = match opened.store.submit(new_task(&request, 1)).await {
            Ok(submitted) => submitted.into_task().id,
            Err(error) => return check(&error),
        };
        let _ = said.send((task, RunState::Queued)).await;
        let run = key(task, 0);
        let steps = [
            (start(run, "me"), RunState::Started),
            (settle(run, RunState::Succeeded), RunState::Succeeded),
        ];
        for (change, state) in steps {
            if let Err(error) = opened.store.apply(vec![change]).await {
                return check(&error);
            }
            let _ = said.send((task, state)).await;
        }
    }
}

fn check(error: &Error) {
    let kinds = [
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
        ErrorKind::OutcomeUnknown,
    ];
    assert!(kinds.contains(&error.kind), "{error:?}");
}

pub(super) async fn what_was_answered_survives_the_death_of_the_server(kind: Kind, tasks: Tasks) {
    let mut server = muster_testkit::require!(kind.start());
    let url = server.fresh();
    let opened = open(&url, &tasks).await.unwrap();
    for (round, enough) in [20, 60].into_iter().enumerate() {
        let (tx, mut rx) = mpsc::channel(1);
        for worker in 0..6 {
            tasks.spawn("worker", work(opened.clone(), worker + 10 * round, tx.clone()));
        }
        drop(tx);
        let mut said = Vec::new();
        while let Some(step) = rx.recv().await {
            said.push(step);
            if said.len() == enough {
                server.kill();
            }
        }
        server.start_again();
        let answers = || async { opened.store.tasks(muster_store::TaskFilter::default()).await.ok() };
        wait::until_some(Duration::from_secs(20), "a read", answers)
            .await
            .unwrap();
        for (task, state) in said {
            let run = all_runs(&opened, task).await.remove(0);
            let kept = match state {
                RunState::Queued => true,
                RunState::Started => run.state != RunState::Queued,
                _ => run.state == state,
            };
            assert!(kept, "{} was answered {state}, and is {}", run.key, run.state);
            check_counts(&opened, task).await;
        }
    }
    opened.store.close().await;
}
