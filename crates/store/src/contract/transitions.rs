//! Changes of runs.

use std::time::Duration;

use bytes::Bytes;
use muster_model::run::{Change, PastAttempt, Refused};
use muster_model::{ErrorKind, Outcome, RunState, TaskId, Timestamp, Unreachable, limits};
use muster_runtime::clock;

use super::World;
use super::world::{
    again, apply, check_counts, end, executor, key, must, new_task, run, settle, start, submit, task,
    transition,
};
use muster_model::run::Applied;

pub(super) async fn everything_about_an_end_is_kept(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 2).await;
    let outcome = Outcome {
        state: RunState::Failed,
        exit_code: Some(-7),
        signal: Some("KILL".into()),
        error: Some("it 'broke'\n".into()),
        reason: None,
        stdout_bytes: 1 << 40,
        stderr_bytes: 3,
        truncated: true,
    };
    must(&opened, vec![start(key(id, 0), "me")]).await;
    let started = run(&opened, key(id, 0)).await;
    assert_eq!(started.state, RunState::Started);
    assert_eq!(started.started_at, Some(Timestamp(2_000)));
    assert_eq!(started.executor, Some(executor("me")));
    let change = Change::Settle {
        outcome: outcome.clone(),
        output: None,
    };
    must(&opened, vec![transition(key(id, 0), 1, 3_000, change)]).await;
    let ended = run(&opened, key(id, 0)).await;
    assert_eq!(ended.state, outcome.state);
    assert_eq!(ended.exit_code, outcome.exit_code);
    assert_eq!(ended.signal, outcome.signal);
    assert_eq!(ended.error, outcome.error);
    assert_eq!((ended.stdout_bytes, ended.stderr_bytes), (1 << 40, 3));
    assert!(ended.truncated);
    assert_eq!(ended.started_at, Some(Timestamp(2_000)));
    assert_eq!(ended.finished_at, Some(Timestamp(3_000)));
    assert_eq!(ended.executor, Some(executor("me")));

    let outcome = Outcome::unreachable(Unreachable::HostKeyChanged, "the key changed".into());
    let change = Change::Settle {
        outcome,
        output: None,
    };
    must(&opened, vec![transition(key(id, 1), 1, 4_000, change)]).await;
    let ended = run(&opened, key(id, 1)).await;
    assert_eq!(ended.reason, Some(Unreachable::HostKeyChanged));
    assert_eq!(ended.started_at, None);
    assert_eq!(task(&opened, id).await.finished_at, Some(Timestamp(4_000)));
    check_counts(&opened, id).await;
}

pub(super) async fn of_many_that_start_a_run_one_wins(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 20).await;
    for index in 0..20 {
        let racers = (0..32).map(|racer| {
            let opened = opened.clone();
            async move { apply(&opened, start(key(id, index), &format!("racer {racer}"))).await }
        });
        let answers = world.at_once(racers).await;
        let winners: Vec<usize> = (0..32)
            .filter(|racer| matches!(answers[*racer], Applied::Yes { .. }))
            .collect();
        assert_eq!(winners.len(), 1);
        let owner = run(&opened, key(id, index)).await.executor;
        assert_eq!(owner, Some(executor(&format!("racer {}", winners[0]))));
        let refused = Refused {
            state: RunState::Started,
            attempt: 1,
        };
        let losers = answers
            .iter()
            .filter(|answer| **answer == Applied::No(refused))
            .count();
        assert_eq!(losers, 31);
    }
    check_counts(&opened, id).await;
}

pub(super) async fn a_terminal_run_never_changes(world: World) {
    let opened = world.open().await;
    let terminal: Vec<RunState> = RunState::ALL
        .into_iter()
        .filter(|state| state.is_terminal())
        .collect();
    let id = submit(&opened, "r", terminal.len() as u32).await;
    for (index, state) in (0..).zip(&terminal) {
        let run_key = key(id, index);
        if RunState::Started.may_settle_as(*state) {
            must(&opened, vec![start(run_key, "me")]).await;
        }
        must(&opened, vec![settle(run_key, *state)]).await;
        let before = run(&opened, run_key).await;
        let refused = Applied::No(Refused {
            state: *state,
            attempt: 1,
        });
        assert_eq!(apply(&opened, start(run_key, "you")).await, refused);
        for other in RunState::ALL {
            for change in [end(other), again(other)] {
                assert_eq!(
                    apply(&opened, transition(run_key, 1, 9_000, change)).await,
                    refused
                );
            }
        }
        assert_eq!(run(&opened, run_key).await, before, "{state}");
    }
    check_counts(&opened, id).await;
}

pub(super) async fn a_run_that_has_started_is_not_withdrawn(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 2).await;
    let withdraw = |index| {
        let outcome = Outcome::plain(RunState::Cancelled, None);
        transition(key(id, index), 1, 3_000, Change::Withdraw { outcome })
    };
    must(&opened, vec![start(key(id, 0), "me"), withdraw(1)]).await;
    let refused = Refused {
        state: RunState::Started,
        attempt: 1,
    };
    assert_eq!(apply(&opened, withdraw(0)).await, Applied::No(refused));
    assert_eq!(run(&opened, key(id, 0)).await.state, RunState::Started);
    let withdrawn = run(&opened, key(id, 1)).await;
    assert_eq!(
        (withdrawn.state, withdrawn.finished_at, withdrawn.started_at),
        (RunState::Cancelled, Some(Timestamp(3_000)), None)
    );
    assert_eq!(
        apply(&opened, start(key(id, 1), "me")).await,
        Applied::No(Refused {
            state: RunState::Cancelled,
            attempt: 1,
        })
    );
    must(&opened, vec![settle(key(id, 0), RunState::Cancelled)]).await;
    check_counts(&opened, id).await;
}

pub(super) async fn a_change_for_another_attempt_is_refused(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 1).await;
    let refused = Applied::No(Refused {
        state: RunState::Queued,
        attempt: 1,
    });
    for attempt in [0, 2, u32::MAX] {
        let early = transition(key(id, 0), attempt, 1, end(RunState::Cancelled));
        assert_eq!(apply(&opened, early).await, refused);
    }
    let next = transition(key(id, 0), 1, 1, again(RunState::Unreachable));
    must(&opened, vec![next.clone()]).await;
    let refused = Applied::No(Refused {
        state: RunState::Queued,
        attempt: 2,
    });
    assert_eq!(apply(&opened, next).await, refused, "a change that comes twice");
    assert_eq!(apply(&opened, start(key(id, 0), "late")).await, refused);
}

pub(super) async fn another_attempt_keeps_the_history_and_begins_anew(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 2).await;
    let run_key = key(id, 1);
    let failed = Outcome {
        exit_code: Some(3),
        stdout_bytes: 10,
        truncated: true,
        ..Outcome::plain(RunState::Failed, Some("no luck".into()))
    };
    let gone = Outcome::unreachable(Unreachable::Refused, "refused".into());
    must(
        &opened,
        vec![
            transition(
                run_key,
                1,
                10,
                Change::Start {
                    executor: executor("a"),
                },
            ),
            transition(run_key, 1, 20, Change::Again { outcome: failed }),
            transition(run_key, 2, 30, Change::Again { outcome: gone }),
        ],
    )
    .await;
    let queued = run(&opened, run_key).await;
    let past = |attempt, state, exit_code, error: &str, at| PastAttempt {
        attempt,
        state,
        exit_code,
        error: Some(error.into()),
        finished_at: Timestamp(at),
    };
    let history = [
        past(1, RunState::Failed, Some(3), "no luck", 20),
        past(2, RunState::Unreachable, None, "refused", 30),
    ];
    assert_eq!(queued.history, history);
    assert_eq!((queued.state, queued.attempt), (RunState::Queued, 3));
    assert_eq!(
        (queued.exit_code, &queued.error, queued.reason),
        (None, &None, None)
    );
    assert_eq!((queued.stdout_bytes, queued.truncated), (0, false));
    assert_eq!((queued.started_at, &queued.executor), (None, &None));
    must(
        &opened,
        vec![
            transition(
                run_key,
                3,
                40,
                Change::Start {
                    executor: executor("b"),
                },
            ),
            transition(run_key, 3, 50, end(RunState::Succeeded)),
        ],
    )
    .await;
    assert_eq!(run(&opened, run_key).await.history, history);
    assert!(run(&opened, key(id, 0)).await.history.is_empty());
    check_counts(&opened, id).await;
}

pub(super) async fn changes_of_one_call_are_applied_in_their_order(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 50).await;
    let mut changes = Vec::new();
    for index in 0..50 {
        changes.push(start(key(id, index), "me"));
    }
    for index in 0..50 {
        changes.push(transition(key(id, index), 1, 5, again(RunState::Lost)));
        changes.push(transition(key(id, index), 2, 6, end(RunState::Expired)));
    }
    must(&opened, changes).await;
    assert_eq!(task(&opened, id).await.counts.expired, 50);
    check_counts(&opened, id).await;
}

pub(super) async fn answers_stand_in_the_order_of_the_changes(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 2).await;
    let answers = opened
        .store
        .apply(vec![
            settle(key(id, 1), RunState::Succeeded),
            start(key(id, 0), "me"),
            start(key(id, 7), "me"),
            settle(key(id, 1), RunState::Skipped),
            settle(key(id, 0), RunState::TimedOut),
        ])
        .await
        .unwrap();
    let yes = |state, task_done| Applied::Yes {
        state,
        attempt: 1,
        task_done,
    };
    let refused = Refused {
        state: RunState::Queued,
        attempt: 1,
    };
    assert_eq!(
        answers,
        [
            Applied::No(refused),
            yes(RunState::Started, false),
            Applied::NoSuchRun,
            yes(RunState::Skipped, false),
            yes(RunState::TimedOut, true),
        ]
    );
    assert_eq!(opened.store.apply(Vec::new()).await.unwrap(), []);
}

pub(super) async fn exactly_one_change_ends_the_task(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 300).await;
    must(
        &opened,
        (0..300).map(|index| start(key(id, index), "me")).collect(),
    )
    .await;
    let settles = (0..600).map(|number| {
        let opened = opened.clone();
        async move {
            // Each run is settled by two at once.
            apply(&opened, settle(key(id, number % 300), RunState::Succeeded)).await
        }
    });
    let answers = world.at_once(settles).await;
    let ends = answers
        .iter()
        .filter(|answer| matches!(answer, Applied::Yes { task_done: true, .. }))
        .count();
    let applied = answers
        .iter()
        .filter(|answer| matches!(answer, Applied::Yes { .. }))
        .count();
    assert_eq!((applied, ends), (300, 1));
    check_counts(&opened, id).await;
}

pub(super) async fn a_change_of_a_run_that_is_not_there_says_so(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 1).await;
    for missing in [
        key(id, 1),
        key(id, u32::MAX),
        key(TaskId(0), 0),
        key(TaskId(99), 0),
        key(TaskId(u64::MAX), 0),
    ] {
        assert_eq!(apply(&opened, start(missing, "me")).await, Applied::NoSuchRun);
    }
    check_counts(&opened, id).await;
}

pub(super) async fn output_that_is_too_large_is_refused_and_changes_nothing(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 1).await;
    must(&opened, vec![start(key(id, 0), "me")]).await;
    let settle = |bytes| {
        let change = Change::Settle {
            outcome: Outcome::plain(RunState::Succeeded, None),
            output: Some(Bytes::from(vec![0; bytes])),
        };
        vec![transition(key(id, 0), 1, 5, change)]
    };
    let large = opened.store.apply(settle(limits::INLINE_OUTPUT_BYTES + 1)).await;
    assert_eq!(large.unwrap_err().kind, ErrorKind::TooLarge);
    assert_eq!(run(&opened, key(id, 0)).await.state, RunState::Started);
    must(&opened, settle(limits::INLINE_OUTPUT_BYTES)).await;
}

pub(super) async fn numbers_at_their_edges_survive(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 2).await;
    for (index, at, exit_code) in [(0, i64::MIN, i32::MIN), (1, i64::MAX, i32::MAX)] {
        let outcome = Outcome {
            exit_code: Some(exit_code),
            stdout_bytes: u64::MAX,
            stderr_bytes: i64::MAX as u64,
            ..Outcome::plain(RunState::Failed, None)
        };
        let run_key = key(id, index);
        must(
            &opened,
            vec![
                transition(
                    run_key,
                    1,
                    at,
                    Change::Start {
                        executor: executor("e"),
                    },
                ),
                transition(
                    run_key,
                    1,
                    at,
                    Change::Settle {
                        outcome,
                        output: None,
                    },
                ),
            ],
        )
        .await;
        let ended = run(&opened, run_key).await;
        assert_eq!(ended.exit_code, Some(exit_code));
        assert_eq!(ended.started_at, Some(Timestamp(at)));
        assert_eq!(ended.finished_at, Some(Timestamp(at)));
        assert_eq!(ended.stdout_bytes, i64::MAX as u64, "at most 63 bits are kept");
        assert_eq!(ended.stderr_bytes, i64::MAX as u64);
    }
}

pub(super) async fn a_call_that_is_dropped_is_done_as_a_whole_or_not_at_all(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 400).await;
    for pair in 0..200 {
        let both = [2 * pair, 2 * pair + 1].map(|index| settle(key(id, index), RunState::Skipped));
        // Some of them are dropped before they are handed over, some while they wait, some never.
        let patience = Duration::from_micros(u64::from(pair) * 20);
        let _ = clock::deadline(patience, opened.store.apply(both.to_vec())).await;
    }
    let extra = clock::deadline(
        Duration::from_micros(1),
        opened.store.submit(super::world::new_task("dropped", 5_000)),
    )
    .await;
    // Whatever was handed over stands before this call.
    let last = submit(&opened, "last", 1).await;
    check_counts(&opened, id).await;
    for pair in 0..200 {
        let first = run(&opened, key(id, 2 * pair)).await.state;
        let second = run(&opened, key(id, 2 * pair + 1)).await.state;
        assert_eq!(first, second, "pair {pair}");
    }
    drop(extra);
    for other in id.0 + 1..last.0 {
        assert_eq!(task(&opened, TaskId(other)).await.counts.total, 5_000);
        check_counts(&opened, TaskId(other)).await;
    }
}

pub(super) async fn texts_of_a_host_are_kept_or_cut_and_hold_up_nobody(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 2).await;
    let hostile = Outcome {
        error: Some("no\0thing \u{1f980}".to_owned()),
        signal: Some("A\0\u{1f980}".repeat(100)),
        ..Outcome::plain(RunState::Failed, None)
    };
    let end = Change::Settle {
        outcome: hostile.clone(),
        output: None,
    };
    must(
        &opened,
        vec![
            start(key(id, 0), "me"),
            transition(key(id, 0), 1, 5, Change::Again { outcome: hostile }),
            transition(key(id, 0), 2, 6, start(key(id, 0), "me").change),
            transition(key(id, 0), 2, 7, end),
            start(key(id, 1), "me"),
            settle(key(id, 1), RunState::Succeeded),
        ],
    )
    .await;
    let run = run(&opened, key(id, 0)).await;
    assert_eq!(run.error.as_deref(), Some("no\u{fffd}thing \u{1f980}"));
    assert_eq!(run.signal.map(|signal| signal.chars().count()), Some(64));
    assert_eq!(run.history[0].error.as_deref(), Some("no\u{fffd}thing \u{1f980}"));
    check_counts(&opened, id).await;
    let refused = opened.store.submit(new_task("zero\0", 1)).await.unwrap_err();
    assert_eq!(refused.kind, muster_model::ErrorKind::Invalid);
}
