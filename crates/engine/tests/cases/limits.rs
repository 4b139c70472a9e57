//! What a task allows at a time, and how much it keeps.

use muster_model::RunState;
use muster_model::wire::WorkOptions;

use crate::support::{Bench, states};

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_a_time_than_concurrency_allows() {
    let bench = Bench::new().await;
    let folder = bench.path("running");
    std::fs::create_dir(&folder).expect("a folder");
    let command = format!(
        "mkdir {0}/$$ && ls {0} | wc -l && sleep 0.05 && rmdir {0}/$$",
        folder.display()
    );
    let options = WorkOptions {
        concurrency: Some(3),
        ..WorkOptions::default()
    };
    let id = bench.run(&command, "local://h[1-15]", options).await;
    let runs = bench.finish(id).await;
    assert_eq!(states(&runs), vec![RunState::Succeeded; 15]);
    let most = runs
        .iter()
        .filter_map(|run| run.run.stdout.trim().parse::<u32>().ok())
        .max();
    assert!(most.is_some_and(|most| (1..=3).contains(&most)), "{most:?}");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wave_begins_when_the_one_before_has_ended() {
    let bench = Bench::new().await;
    let file = bench.path("log");
    let command = format!("echo begin >> {0}; sleep 0.05; echo end >> {0}", file.display());
    let options = WorkOptions {
        batch: "4".parse().ok(),
        ..WorkOptions::default()
    };
    let id = bench.run(&command, "local://h[1-12]", options).await;
    bench.finish(id).await;
    let log = std::fs::read_to_string(file).expect("the log");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 24);
    for wave in lines.chunks(8) {
        assert_eq!(
            wave.iter().filter(|line| **line == "begin").count(),
            4,
            "{lines:?}"
        );
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_failures_skip_what_has_not_started() {
    let bench = Bench::new().await;
    let options = WorkOptions {
        concurrency: Some(1),
        max_failures: "1".parse().ok(),
        ..WorkOptions::default()
    };
    let id = bench.run("false", "local://h[1-6]", options).await;
    let runs = bench.finish(id).await;
    let failed = runs
        .iter()
        .filter(|run| run.run.state == RunState::Failed)
        .count();
    let skipped = runs
        .iter()
        .filter(|run| run.run.state == RunState::Skipped)
        .count();
    // One more may have been on its way when the second failure was counted.
    assert!(
        (2..=3).contains(&failed) && failed + skipped == 6,
        "{:?}",
        states(&runs)
    );
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_past_the_limit_is_counted_and_not_kept() {
    let bench = Bench::new().await;
    let options = WorkOptions {
        max_output: Some(1000),
        ..WorkOptions::default()
    };
    let id = bench
        .run("head -c 5000 /dev/zero | tr '\\0' a", "localhost", options)
        .await;
    let run = bench.finish(id).await.remove(0).run;
    assert_eq!(
        (run.state, run.truncated, run.stdout_bytes),
        (RunState::Succeeded, true, 5000)
    );
    assert_eq!(run.stdout.len(), 1000);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_outgrows_memory_is_whole_on_disk() {
    let bench = Bench::new().await;
    let id = bench
        .run("seq 1 200000; seq 1 5 >&2", "localhost", WorkOptions::default())
        .await;
    bench.finish(id).await;
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    let mut reader = bench
        .engine
        .output(id, 0, muster_model::Stream::Stdout)
        .await
        .expect("the output");
    let mut read = Vec::new();
    while let Some(bytes) = reader.next().await.expect("bytes") {
        assert!(bytes.len() <= 256 * 1024);
        read.extend_from_slice(&bytes);
    }
    assert!(
        read == expected.as_bytes(),
        "{} of {} bytes",
        read.len(),
        expected.len()
    );
    let page = bench
        .engine
        .runs(id, 0, 10, Vec::new(), 1000)
        .await
        .expect("runs");
    assert!(page.runs[0].output_omitted && page.runs[0].run.stdout.is_empty());
    assert_eq!(page.runs[0].run.stdout_bytes, expected.len() as u64);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_text_stay_bytes() {
    let bench = Bench::new().await;
    let id = bench
        .run("printf '\\377\\0x'", "localhost", WorkOptions::default())
        .await;
    let run = bench.finish(id).await.remove(0).run;
    assert_eq!(run.stdout, "\u{fffd}\0x");
    assert_eq!(run.stdout_base64.as_deref(), Some("/wB4"));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn characters_cut_in_two_between_streams_are_whole_again() {
    let bench = Bench::new().await;
    // The first two bytes of a euro sign, something on the other stream, then the third, all at once.
    let command = "for i in 1 2 3 4 5; do printf 'a\\342\\202'; printf x >&2; printf '\\254b'; done";
    for _ in 0..5 {
        let id = bench.run(command, "localhost", WorkOptions::default()).await;
        let run = bench.finish(id).await.remove(0).run;
        assert_eq!((run.state, run.stdout_bytes), (RunState::Succeeded, 25));
        assert_eq!(
            (run.stdout.as_str(), run.stderr.as_str()),
            ("a€ba€ba€ba€ba€b", "xxxxx")
        );
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_task_that_is_cancelled_with_one_command_left_goes_on_to_its_end() {
    let bench = Bench::new().await;
    let options = WorkOptions {
        concurrency: Some(1),
        ..WorkOptions::default()
    };
    let id = bench.run("sleep 600", "local://h[1-20000]", options).await;
    bench
        .until(id, "one has started", |task| task.counts.started == 1)
        .await;
    bench.engine.cancel(id).await.expect("cancelled");
    bench
        .until(id, "all have ended", |task| task.counts.cancelled == 20_000)
        .await;
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_never_stops_printing_can_be_cancelled() {
    let bench = Bench::new().await;
    let options = WorkOptions {
        max_output: Some(1000),
        kill_grace_ms: Some(200),
        ..WorkOptions::default()
    };
    let id = bench.run("yes", "localhost", options).await;
    bench
        .until(id, "it has started", |task| task.counts.started == 1)
        .await;
    bench.engine.cancel(id).await.expect("cancelled");
    bench
        .until(id, "it has ended", |task| task.counts.cancelled == 1)
        .await;
    bench.close().await;
}
