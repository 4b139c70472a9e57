//! What is left when an engine dies, and what the next one makes of it. (The process is killed for real
//! in the end-to-end tests; here its engine is abandoned with everything in its hands.)

use std::path::Path;

use muster_model::RunState;
use muster_model::wire::WorkOptions;

use crate::support::{Bench, states};

#[tokio::test(flavor = "multi_thread")]
async fn what_had_started_is_lost_and_what_waited_runs_once() {
    let bench = Bench::new().await;
    let file = bench.path("ran");
    let stop = bench.path("stop");
    let command = format!(
        "echo $MUSTER_RUN >> {0} && while test -e {0} -a ! -e {1}; do sleep 0.05; done",
        file.display(),
        stop.display()
    );
    let options = WorkOptions {
        concurrency: Some(3),
        ..WorkOptions::default()
    };
    let id = bench.run(&command, "local://h[1-8]", options).await;
    bench
        .until(id, "three have started", |task| task.counts.started == 3)
        .await;
    let ran = || std::fs::read_to_string(&file).unwrap_or_default();
    bench
        .until(id, "three have written", |_| ran().lines().count() == 3)
        .await;
    let bench = bench.crash_and_restart().await;
    std::fs::write(&stop, "").expect("the flag");
    let runs = bench.finish(id).await;
    let lost = runs.iter().filter(|run| run.run.state == RunState::Lost).count();
    let succeeded = runs
        .iter()
        .filter(|run| run.run.state == RunState::Succeeded)
        .count();
    assert_eq!((lost, succeeded), (3, 5), "{:?}", states(&runs));
    assert!(
        runs.iter()
            .filter(|run| run.run.state == RunState::Lost)
            .all(|run| run.run.error.is_some())
    );
    let ran = ran();
    let mut marks: Vec<&str> = ran
        .lines()
        .filter_map(|mark| mark.split_once('.'))
        .map(|(_, run)| run)
        .collect();
    marks.sort_unstable();
    marks.dedup();
    assert_eq!((marks.len(), ran.lines().count()), (8, 8), "each ran once: {ran}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_with_retries_tries_again_what_was_lost() {
    let bench = Bench::new().await;
    let stop = bench.path("stop");
    // The first attempt goes on after the crash: it ends with the folder at the latest.
    let command = format!(
        "while test -d {} -a ! -e {}; do sleep 0.05; done",
        bench.path("").display(),
        stop.display()
    );
    let options = WorkOptions {
        retries: 1,
        ..WorkOptions::default()
    };
    let id = bench.run(&command, "localhost", options).await;
    bench
        .until(id, "it has started", |task| task.counts.started == 1)
        .await;
    let bench = bench.crash_and_restart().await;
    std::fs::write(&stop, "").expect("the flag");
    let run = bench.finish(id).await.remove(0);
    assert_eq!((run.run.state, run.run.attempt), (RunState::Succeeded, 2));
    assert_eq!(run.history[0].state, RunState::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hands_over_ends_what_it_started_and_leaves_the_rest() {
    let old = Bench::new().await;
    let stop = old.path("stop");
    let file = old.path("ran");
    let command = format!(
        "echo x >> {0} && while test -e {0} -a ! -e {1}; do sleep 0.05; done",
        file.display(),
        stop.display()
    );
    let options = WorkOptions {
        concurrency: Some(2),
        ..WorkOptions::default()
    };
    let id = old.run(&command, "local://h[1-6]", options).await;
    old.until(id, "two have started", |task| task.counts.started == 2)
        .await;
    let draining = old.engine.clone();
    let drain = async move { draining.drain(crate::support::PATIENCE).await };
    let (new, ()) = tokio::join!(
        async {
            let new = old.beside().await;
            std::fs::write(&stop, "").expect("the flag");
            new
        },
        drain
    );
    let runs = new.finish(id).await;
    assert_eq!(states(&runs), vec![RunState::Succeeded; 6]);
    assert_eq!(
        std::fs::read_to_string(&file).expect("the file").lines().count(),
        6
    );
    new.close().await;
    old.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_command_had_printed_is_kept() {
    let bench = Bench::new().await;
    let stop = bench.path("stop");
    let command = format!(
        "echo shown; while test -d {} -a ! -e {}; do sleep 0.05; done",
        bench.path("").display(),
        stop.display()
    );
    let id = bench.run(&command, "localhost", WorkOptions::default()).await;
    let logs = bench.path("muster.db.outputs");
    let saved = || bytes_below(&logs) > 0;
    bench.until(id, "the output is saved", |_| saved()).await;
    let bench = bench.crash_and_restart().await;
    let run = bench.finish(id).await.remove(0).run;
    assert_eq!(
        (run.state, run.stdout.as_str(), run.stdout_bytes),
        (RunState::Lost, "shown\n", 6)
    );
    std::fs::write(&stop, "").expect("the flag");
}

/// How much stands in the files of a folder and of those below it.
fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
