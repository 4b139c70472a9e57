//! What is kept, and for how long; and equal outputs once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_model::run::Change;
use muster_model::{Outcome, RunKey, RunState, TaskId, Timestamp, Transition};

use super::World;
use super::world::{again, frames, key, must, start, submit, task, transition};
use crate::open::Opened;
use crate::retention::prune;
use crate::transfer::plan::number;
use crate::transfer::side::Side;
use crate::transfer::stats;
use crate::types::RunFilter;
use crate::types::retention::{Due, FRESH, Limits, Part};

/// The time at which the tasks of these cases end.
const END: i64 = 1_000_000_000;
/// A time at which they ended long ago.
const LATER: Timestamp = Timestamp(END + 100 * 86_400_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn ended(run: RunKey, at: i64, output: Option<Bytes>) -> Transition {
    let mut outcome = Outcome::plain(RunState::Succeeded, None);
    outcome.stdout_bytes = output.as_ref().map_or(0, |output| output.len() as u64);
    transition(run, 1, at, Change::Settle { outcome, output })
}

/// Makes a task whose runs have ended with these outputs, `at` microseconds behind [`END`].
async fn finished(opened: &Opened, request: &str, at: i64, outputs: &[Bytes]) -> TaskId {
    let id = submit(opened, request, u32::try_from(outputs.len()).expect("few runs")).await;
    let keys: Vec<RunKey> = (0..).map(|index| key(id, index)).take(outputs.len()).collect();
    must(opened, keys.iter().map(|run| start(*run, "one")).collect()).await;
    let ends = keys.iter().zip(outputs);
    let ends = ends.map(|(run, output)| ended(*run, END + at, Some(output.clone())));
    must(opened, ends.collect()).await;
    id
}

fn text(word: &str) -> Bytes {
    frames(&[word.repeat(500).as_str()])
}

async fn output(opened: &Opened, id: TaskId, index: u32) -> Bytes {
    opened
        .outputs
        .read(key(id, index), 1, 0, 1 << 20)
        .await
        .expect("a read")
}

async fn rows(world: &World, table: &str) -> i64 {
    let side = Side::connect(&world.url).await.expect("a connection");
    let rows = number(&side.db, &format!("SELECT COUNT(*) FROM {table}")).await;
    side.close().await;
    rows.expect("a count").expect("a number")
}

fn older_than(age: Duration) -> Limits {
    Limits {
        tasks_before: Some(LATER.before(age)),
        ..Limits::default()
    }
}

async fn prune_all(opened: &Opened, limits: Limits) -> crate::retention::Removed {
    prune(opened.retention.as_ref(), limits, LATER, &|_| {})
        .await
        .expect("a removal")
}

pub(super) async fn equal_outputs_are_read_back_as_each_was_written(world: World) {
    let opened = world.open().await;
    let outputs: Vec<Bytes> = (0..60)
        .map(|number| text(["same", "also", "third"][number % 3]))
        .chain((0..10).map(|number| text(&format!("only {number}"))))
        .chain((0..5).map(|_| frames(&["tiny"])))
        .collect();
    let id = finished(&opened, "r", 0, &outputs).await;
    for (index, expected) in (0..).zip(&outputs) {
        assert_eq!(output(&opened, id, index).await, *expected, "run {index}");
    }
    let all = opened.outputs.read_inline(id, 0, 1000).await.expect("a read");
    let all: Vec<Bytes> = all.into_iter().map(|(_, log)| log).collect();
    assert_eq!(all, outputs);
}

pub(super) async fn equal_outputs_are_stored_once(world: World) {
    let opened = world.open().await;
    // The first one comes alone, and nobody knows yet that it has company.
    let first = finished(&opened, "first", 0, &[text("same")]).await;
    let many = finished(&opened, "many", 0, &vec![text("same"); 300]).await;
    finished(&opened, "other", 0, &[text("another"), text("other")]).await;
    let stats = stats(&world.url).await.expect("statistics");
    assert_eq!(
        (stats.shared.count, stats.shared.runs),
        (1, 301),
        "{:?}",
        stats.shared
    );
    assert_eq!(stats.shared.bytes, text("same").len() as u64);
    assert_eq!(stats.shared.would_be_bytes, 301 * text("same").len() as u64);
    assert_eq!(stats.alone.count, 2, "different ones stay with their runs");
    assert_eq!(output(&opened, first, 0).await, text("same"));
    assert_eq!(output(&opened, many, 299).await, text("same"));
    let largest: u64 = stats.largest.iter().map(|task| task.bytes).sum();
    let own = text("same").len() + text("another").len() + text("other").len();
    assert_eq!(largest, own as u64, "what is shared counts once");
}

pub(super) async fn a_log_that_came_with_the_end_too_is_kept_once(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 2).await;
    let log = text("slow");
    for index in 0..2 {
        let run = key(id, index);
        must(&opened, vec![start(run, "one")]).await;
        opened
            .outputs
            .append(run, 1, 0, log.clone())
            .await
            .expect("an append");
        must(&opened, vec![ended(run, END, Some(log.clone()))]).await;
        for _ in 0..2 {
            opened.outputs.finish(run, 1).await.expect("an end");
            assert_eq!(output(&opened, id, index).await, log);
        }
    }
    let stats = stats(&world.url).await.expect("statistics");
    assert_eq!(stats.logs.count, 0, "it does not lie by itself as well");
    assert_eq!((stats.shared.count, stats.shared.runs), (1, 2));
}

pub(super) async fn a_log_of_its_own_is_read_as_before_when_it_has_ended(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 3).await;
    let piece = frames(&["x".repeat(100_000).as_str()]);
    for index in 0..3 {
        let run = key(id, index);
        must(&opened, vec![start(run, "one")]).await;
        let mut at = 0;
        for _ in 0..3 {
            at = opened
                .outputs
                .append(run, 1, at, piece.clone())
                .await
                .expect("an append");
        }
        must(&opened, vec![ended(run, END, None)]).await;
        opened.outputs.finish(run, 1).await.expect("an end");
    }
    for index in 0..3 {
        assert_eq!(output(&opened, id, index).await.len(), 3 * piece.len());
    }
    opened.outputs.discard(key(id, 0), 1).await.expect("a removal");
    assert_eq!(
        output(&opened, id, 1).await.len(),
        3 * piece.len(),
        "the others have theirs"
    );
}

pub(super) async fn a_removed_task_leaves_nothing(world: World) {
    let opened = world.open().await;
    let mut new = super::world::new_task("full", 3);
    new.input.stdin = Some(Bytes::from_static(b"input"));
    let id = opened.store.submit(new).await.expect("a submit").into_task().id;
    let run = key(id, 0);
    must(
        &opened,
        vec![start(run, "one"), transition(run, 1, 5, again(RunState::Failed))],
    )
    .await;
    let start_again = Change::Start {
        executor: super::world::executor("one"),
    };
    must(&opened, vec![transition(run, 2, 6, start_again)]).await;
    let log = frames(&["large"]);
    opened.outputs.append(run, 2, 0, log).await.expect("an append");
    let outcome = Outcome::plain(RunState::Succeeded, None);
    let end = |output| Change::Settle {
        outcome: outcome.clone(),
        output,
    };
    must(&opened, vec![transition(run, 2, END, end(None))]).await;
    for index in 1..3 {
        must(&opened, vec![start(key(id, index), "one")]).await;
        must(&opened, vec![ended(key(id, index), END, Some(text("same")))]).await;
    }
    opened.outputs.finish(run, 2).await.expect("an end");
    let open = submit(&opened, "open", 2).await;
    must(&opened, vec![start(key(open, 0), "one")]).await;
    must(&opened, vec![ended(key(open, 0), END, Some(text("same")))]).await;

    let removed = prune_all(&opened, older_than(DAY)).await;
    assert_eq!((removed.tasks, removed.outputs), (1, 0));
    assert_eq!(opened.store.task(id).await.expect("a read"), None);
    assert!(
        opened
            .store
            .runs(id, RunFilter::default())
            .await
            .expect("a read")
            .is_empty()
    );
    assert!(
        opened
            .outputs
            .read(run, 2, 0, 100)
            .await
            .expect("a read")
            .is_empty()
    );
    for (table, expected) in [
        ("tasks", 1),
        ("runs", 2),
        ("run_attempts", 0),
        ("outputs", 1),
        ("output_chunks", 0),
        ("task_inputs", 0),
    ] {
        assert_eq!(rows(&world, table).await, expected, "{table}");
    }
    assert_eq!(
        output(&opened, open, 0).await,
        text("same"),
        "others keep what is theirs"
    );
    let next = submit(&opened, "next", 1).await;
    assert!(next > open, "no number is used again");
}

pub(super) async fn a_task_that_is_not_done_is_never_removed(world: World) {
    let opened = world.open().await;
    let id = submit(&opened, "r", 2).await;
    must(&opened, vec![start(key(id, 0), "one")]).await;
    must(&opened, vec![ended(key(id, 0), END, Some(text("x")))]).await;
    let everything = Limits {
        tasks_before: Some(LATER),
        outputs_before: Some(LATER),
        outputs_bytes: Some(0),
    };
    assert!(prune_all(&opened, everything).await.is_nothing());
    for part in [Part::Task, Part::Output] {
        let due = Due {
            task: id,
            part,
            finished_at: Timestamp(END),
            runs: 2,
            bytes: 1,
        };
        assert!(!opened.retention.remove(&due, LATER).await.expect("an answer"));
    }
    assert_eq!(output(&opened, id, 0).await, text("x"));
}

pub(super) async fn what_ended_lately_is_not_removed(world: World) {
    let opened = world.open().await;
    let id = finished(&opened, "r", 0, &[text("x")]).await;
    let everything = Limits {
        tasks_before: Some(LATER),
        outputs_before: Some(LATER),
        outputs_bytes: Some(0),
    };
    let soon = Timestamp(END).after(FRESH);
    assert_eq!(
        opened
            .retention
            .due(everything, soon, 100)
            .await
            .expect("an answer"),
        []
    );
    let due = opened
        .retention
        .due(everything, LATER, 100)
        .await
        .expect("an answer");
    assert!(!opened.retention.remove(&due[0], soon).await.expect("an answer"));
    assert_eq!(output(&opened, id, 0).await, text("x"));
}

pub(super) async fn what_somebody_reads_is_not_removed(world: World) {
    let opened = world.open().await;
    let id = finished(&opened, "r", 0, &[text("x")]).await;
    let due = opened
        .retention
        .due(older_than(DAY), LATER, 100)
        .await
        .expect("an answer");
    assert_eq!(due.len(), 1);
    let until = LATER.after(Duration::from_secs(60));
    assert!(opened.retention.hold(id, until).await.expect("an answer"));
    assert!(
        opened.retention.hold(id, LATER).await.expect("an answer"),
        "an earlier time"
    );
    assert!(prune_all(&opened, older_than(DAY)).await.is_nothing());
    assert!(!opened.retention.remove(&due[0], LATER).await.expect("an answer"));
    assert_eq!(output(&opened, id, 0).await, text("x"));

    let after = until.after(Duration::from_secs(1));
    let limits = older_than(DAY);
    let removed = prune(opened.retention.as_ref(), limits, after, &|_| {}).await;
    assert_eq!(removed.expect("a removal").tasks, 1);
    assert!(
        !opened.retention.hold(id, until).await.expect("an answer"),
        "it is gone"
    );
}

pub(super) async fn old_output_goes_and_the_task_says_so(world: World) {
    let opened = world.open().await;
    let old = finished(&opened, "old", 0, &[text("one"), text("two")]).await;
    let new = finished(&opened, "new", 5_000_000, &[text("three")]).await;
    let limits = Limits {
        outputs_before: Some(Timestamp(END + 1_000_000)),
        ..Limits::default()
    };
    let removed = prune_all(&opened, limits).await;
    assert_eq!((removed.tasks, removed.outputs), (0, 1));
    assert_eq!(removed.bytes, (text("one").len() + text("two").len()) as u64);
    assert_eq!(task(&opened, old).await.outputs_removed_at, Some(LATER));
    assert!(output(&opened, old, 0).await.is_empty());
    assert_eq!(super::world::all_runs(&opened, old).await.len(), 2);
    assert_eq!(task(&opened, new).await.outputs_removed_at, None);
    assert_eq!(output(&opened, new, 0).await, text("three"));
    assert!(prune_all(&opened, limits).await.is_nothing(), "once");
}

pub(super) async fn where_output_is_too_much_the_oldest_goes(world: World) {
    let opened = world.open().await;
    let mut ids = Vec::new();
    for number in 0..6 {
        let output = text(&format!("task {number}"));
        ids.push(finished(&opened, &format!("r{number}"), number, &[output]).await);
    }
    let size = text("task 0").len() as u64;
    let limits = Limits {
        outputs_bytes: Some(3 * size + size / 2),
        ..Limits::default()
    };
    let due = opened.retention.due(limits, LATER, 100).await.expect("an answer");
    let tasks: Vec<TaskId> = due.iter().map(|due| due.task).collect();
    assert_eq!(tasks, ids[..3], "looking changes nothing");
    assert_eq!(prune_all(&opened, limits).await.outputs, 3);
    for (place, id) in ids.iter().enumerate() {
        assert_eq!(
            output(&opened, *id, 0).await.is_empty(),
            place < 3,
            "task {place}"
        );
    }
    assert!(prune_all(&opened, limits).await.is_nothing());
}

pub(super) async fn a_removal_that_was_interrupted_goes_on(world: World) {
    let opened = world.open().await;
    let whole = finished(&opened, "whole", 0, &[text("x"), text("y")]).await;
    let part = finished(&opened, "part", 0, &[text("z")]).await;
    // What a death leaves behind the first step.
    let side = Side::connect(&world.url).await.expect("a connection");
    for (column, id) in [("removing_since", whole), ("outputs_removed_at", part)] {
        let sql = format!("UPDATE tasks SET {column} = 5 WHERE id = {id}");
        sea_orm::ConnectionTrait::execute_unprepared(&side.db, &sql)
            .await
            .expect("an update");
    }
    side.close().await;
    assert_eq!(opened.store.task(whole).await.expect("a read"), None);
    let listed = opened.store.tasks(Default::default()).await.expect("a list");
    assert!(listed.iter().all(|task| task.id != whole), "nobody sees it");
    assert!(!opened.retention.hold(whole, LATER).await.expect("an answer"));

    let removed = prune_all(&opened, Limits::default()).await;
    assert_eq!((removed.tasks, removed.outputs), (1, 1));
    assert_eq!((rows(&world, "tasks").await, rows(&world, "runs").await), (1, 1));
    assert_eq!(rows(&world, "outputs").await, 0);
    assert_eq!(task(&opened, part).await.outputs_removed_at, Some(Timestamp(5)));
}

pub(super) async fn shared_output_stays_while_one_run_has_it(world: World) {
    let opened = world.open().await;
    let one = finished(&opened, "one", 0, &vec![text("same"); 5]).await;
    let two = finished(&opened, "two", 10_000_000, &vec![text("same"); 5]).await;
    assert_eq!(rows(&world, "output_blobs").await, 1);
    let limits = Limits {
        tasks_before: Some(Timestamp(END + 5_000_000)),
        ..Limits::default()
    };
    let removed = prune_all(&opened, limits).await;
    assert_eq!((removed.tasks, removed.shared), (1, 0));
    assert_eq!(opened.store.task(one).await.expect("a read"), None);
    assert_eq!(output(&opened, two, 4).await, text("same"));
    let removed = prune_all(&opened, older_than(DAY)).await;
    assert_eq!((removed.tasks, removed.shared), (1, 1));
    assert_eq!(rows(&world, "output_blobs").await, 0);
}

pub(super) async fn a_task_with_more_runs_than_a_step_goes_as_a_whole(world: World) {
    let opened = world.open().await;
    let outputs: Vec<Bytes> = (0..4_500).map(|number| text(&(number % 7).to_string())).collect();
    finished(&opened, "many", 0, &outputs).await;
    assert_eq!(prune_all(&opened, older_than(DAY)).await.tasks, 1);
    for table in ["tasks", "runs", "outputs", "output_blobs"] {
        assert_eq!(rows(&world, table).await, 0, "{table}");
    }
}

pub(super) async fn of_one_that_shares_and_one_that_removes_nothing_is_lost(world: World) {
    const ROUNDS: u32 = 25;
    let opened = Arc::new(world.open().await);
    let other = Arc::new(world.open().await);
    for round in 0..ROUNDS {
        let word = format!("round {round}");
        // Its blob belongs to a task that is about to go.
        finished(&opened, &format!("old {round}"), 0, &vec![text(&word); 3]).await;
        let (one, two) = (Arc::clone(&opened), Arc::clone(&other));
        let writes = async move {
            let id = finished(&one, &format!("new {round}"), LATER.0, &vec![text(&word); 3]).await;
            (id, word)
        };
        let removes = async move {
            prune_all(&two, older_than(DAY)).await;
            (TaskId(0), String::new())
        };
        let done = world
            .at_once::<_, futures_util::future::BoxFuture<'static, (TaskId, String)>>([
                Box::pin(writes) as _,
                Box::pin(removes) as _,
            ])
            .await;
        let (id, word) = &done[0];
        for index in 0..3 {
            assert_eq!(output(&opened, *id, index).await, text(word), "round {round}");
        }
    }
}
