//! Following a task.

use std::collections::HashMap;

use muster_model::wire::{Event, WorkOptions};
use muster_model::{RunState, TaskId, TaskState};

use crate::support::Bench;

/// Puts the output that events tell of together, for each host.
fn outputs(events: &[(String, Event)]) -> HashMap<String, String> {
    let mut outputs: HashMap<String, String> = HashMap::new();
    for (_, event) in events {
        if let Event::Output(output) = event {
            outputs
                .entry(output.host.clone())
                .or_default()
                .push_str(&String::from_utf8_lossy(&output.bytes));
        }
    }
    outputs
}

fn check_story(events: &[(String, Event)], hosts: usize) {
    assert!(matches!(&events[0].1, Event::Task(_)), "it begins with the task");
    let Some((_, Event::Task(last))) = events.last() else {
        panic!("it ends with the task")
    };
    assert_eq!(last.state, TaskState::Done);
    let mut ended: HashMap<u32, RunState> = HashMap::new();
    for (_, event) in events {
        match event {
            Event::Run(run) => {
                assert!(
                    !ended.contains_key(&run.index),
                    "nothing comes after the end of a run"
                );
                if run.state.is_terminal() {
                    ended.insert(run.index, run.state);
                }
            }
            Event::Output(output) => {
                assert!(
                    !ended.contains_key(&output.index),
                    "no output comes after the end of a run"
                );
            }
            Event::Task(_) | Event::Reset => {}
        }
    }
    assert_eq!(ended.len(), hosts);
}

async fn chatty(bench: &Bench) -> TaskId {
    let command = "for i in 1 2 3 4 5; do echo $i; sleep 0.03; done";
    bench.run(command, "local://h[1-4]", WorkOptions::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_hears_everything_in_order_live_and_afterwards() {
    let bench = Bench::new().await;
    let id = chatty(&bench).await;
    let live = bench.events(id).await;
    let afterwards = bench.events(id).await;
    for events in [&live, &afterwards] {
        check_story(events, 4);
        let outputs = outputs(events);
        assert_eq!(outputs.len(), 4);
        assert!(
            outputs.values().all(|text| text == "1\n2\n3\n4\n5\n"),
            "{outputs:?}"
        );
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_resumes_after_any_event_without_a_gap_or_a_repeat() {
    let bench = Bench::new().await;
    let id = chatty(&bench).await;
    let all = bench.events(id).await;
    for (place, (event_id, _)) in all.iter().enumerate() {
        let mut watcher = bench.engine.watch(id, Some(event_id)).await.expect("a watcher");
        let mut rest = Vec::new();
        while let Some(event) = watcher.next().await.expect("an event") {
            rest.push(event);
        }
        let expected = if place + 1 == all.len() {
            &all[place..]
        } else {
            &all[place + 1..]
        };
        assert_eq!(rest, expected, "resumed after event {place}, {event_id}");
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_done_task_is_resumed_exactly_and_a_live_place_begins_anew() {
    let bench = Bench::new().await;
    let id = chatty(&bench).await;
    let live = bench.events(id).await;
    let bench = bench.crash_and_restart().await;
    let all = bench.events(id).await;
    check_story(&all, 4);
    for (place, (event_id, _)) in all.iter().enumerate().skip(1) {
        let mut watcher = bench.engine.watch(id, Some(event_id)).await.expect("a watcher");
        let mut rest = Vec::new();
        while let Some(event) = watcher.next().await.expect("an event") {
            rest.push(event);
        }
        let expected = if place + 1 == all.len() {
            &all[place..]
        } else {
            &all[place + 1..]
        };
        assert_eq!(rest, expected, "resumed after event {place}, {event_id}");
    }
    let mut watcher = bench.engine.watch(id, Some(&live[1].0)).await.expect("a watcher");
    assert!(matches!(watcher.next().await, Ok(Some((_, Event::Reset)))));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_does_not_read_slows_nobody() {
    let bench = Bench::new().await;
    let id = bench
        .run("seq 1 100000", "local://h[1-3]", WorkOptions::default())
        .await;
    let mut slow = bench.engine.watch(id, None).await.expect("a watcher");
    assert!(slow.next().await.expect("an event").is_some());
    // The task ends although nobody reads here; then everything is still there to be read.
    let quick = bench.events(id).await;
    let mut rest = Vec::new();
    while let Some(event) = slow.next().await.expect("an event") {
        rest.push(event);
    }
    assert_eq!(outputs(&rest), outputs(&quick));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_id_is_refused() {
    let bench = Bench::new().await;
    let id = bench.run("true", "localhost", WorkOptions::default()).await;
    bench.finish(id).await;
    assert!(bench.engine.watch(id, Some("no-such-id-here")).await.is_err());
    assert!(bench.engine.watch(TaskId(999), None).await.is_err());
    bench.close().await;
}
