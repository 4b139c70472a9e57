//! How runs begin and end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_engine::Accepted;
use muster_model::RunState;
use muster_model::wire::{Event, Retry, Secrets, Work, WorkOptions};

use crate::support::{Bench, PATIENCE, request_id, states, submit};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_once_on_every_host_and_its_output_is_kept() {
    let bench = Bench::new().await;
    let file = bench.path("ran");
    let command = format!("echo out; echo err >&2; echo x >> {}", file.display());
    let id = bench
        .run(&command, "local://h[1-20]", WorkOptions::default())
        .await;
    let runs = bench.finish(id).await;
    assert_eq!(states(&runs), vec![RunState::Succeeded; 20]);
    for (index, run) in runs.iter().enumerate() {
        assert_eq!(run.run.host, format!("local://h{}", index + 1));
        assert_eq!(
            (run.run.stdout.as_str(), run.run.stderr.as_str()),
            ("out\n", "err\n")
        );
        assert_eq!(
            (run.run.stdout_bytes, run.run.stderr_bytes, run.run.exit_code),
            (4, 4, Some(0))
        );
        assert!(run.run.started_at.is_some() && run.run.finished_at.is_some());
    }
    assert_eq!(
        std::fs::read_to_string(file).expect("the file").lines().count(),
        20
    );
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_signals_are_told_apart() {
    let bench = Bench::new().await;
    let code = bench.run("exit 7", "localhost", WorkOptions::default()).await;
    let signal = bench
        .run("kill -KILL $$", "localhost", WorkOptions::default())
        .await;
    let code = bench.finish(code).await.remove(0).run;
    assert_eq!(
        (code.state, code.exit_code, code.signal),
        (RunState::Failed, Some(7), None)
    );
    let signal = bench.finish(signal).await.remove(0).run;
    assert_eq!((signal.state, signal.exit_code), (RunState::Failed, None));
    assert_eq!(signal.signal.as_deref(), Some("KILL"));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_sent_again_gives_the_same_task() {
    let bench = Bench::new().await;
    let file = bench.path("ran");
    let request = submit(
        &format!("echo x >> {}", file.display()),
        "localhost",
        WorkOptions::default(),
    );
    let first = bench.submit(request.clone()).await;
    let second = bench.submit(request).await;
    assert_eq!(first.id, second.id);
    bench.finish(first.id).await;
    assert_eq!(std::fs::read_to_string(file).expect("the file"), "x\n");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_gets_its_arguments_and_its_standard_input() {
    let bench = Bench::new().await;
    let mut request = submit("", "localhost", WorkOptions::default());
    request.work = Work::Script {
        name: "greet".into(),
        args: vec!["big world".into(), "$HOME".into()],
        body_base64: STANDARD.encode("#!/bin/sh\necho \"hello $1 $2\"; cat\n"),
    };
    request.stdin_base64 = Some(STANDARD.encode("from stdin\n"));
    let id = bench.submit(request).await.id;
    let run = bench.finish(id).await.remove(0).run;
    assert_eq!(run.stdout, "hello big world $HOME\nfrom stdin\n", "{run:?}");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let bench = Bench::new().await;
    let options = WorkOptions {
        batch: "2".parse().ok(),
        ..WorkOptions::default()
    };
    let mut request = submit("reboot", "local://h[1-5]", options);
    request.dry_run = true;
    let Accepted::Planned(plan) = bench.engine.submit("me", request).await.expect("a plan") else {
        panic!("a task was submitted");
    };
    assert_eq!((plan.total, plan.wave_count), (5, 3));
    assert_eq!(plan.waves, ["local://h[1-2]", "local://h[3-4]", "local://h5"]);
    assert!(
        bench
            .engine
            .tasks(muster_engine::TaskFilter::default())
            .await
            .expect("tasks")
            .is_empty()
    );
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_runs_again_what_did_not_succeed_and_nothing_else() {
    let bench = Bench::new().await;
    let flag = bench.path("flag");
    // The first attempt of each host but one fails.
    let command = format!(
        "mkdir {0}.$$ 2>/dev/null; test -e {0} || {{ touch {0}; exit 0; }}; test -e {0}.ok",
        flag.display()
    );
    let options = WorkOptions {
        concurrency: Some(1),
        ..WorkOptions::default()
    };
    let id = bench.run(&command, "local://h[1-3]", options).await;
    let runs = bench.finish(id).await;
    assert_eq!(
        states(&runs),
        vec![RunState::Succeeded, RunState::Failed, RunState::Failed]
    );
    std::fs::write(bench.path("flag.ok"), "").expect("the flag");
    let retry = Retry {
        request_id: request_id(),
        secrets: Secrets::default(),
    };
    let again = bench.engine.retry("me", id, retry).await.expect("a new task");
    assert_eq!((again.counts.total, again.retry_of), (2, Some(id)));
    let runs = bench.finish(again.id).await;
    assert_eq!(states(&runs), vec![RunState::Succeeded; 2]);
    assert_eq!(runs[0].run.host, "local://h2");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_retries_is_tried_again_and_its_history_is_kept() {
    let bench = Bench::new().await;
    let file = bench.path("tries");
    let command = format!("echo x >> {0}; test $(wc -l < {0}) -ge 2", file.display());
    let options = WorkOptions {
        retries: 3,
        ..WorkOptions::default()
    };
    let id = bench.run(&command, "localhost", options).await;
    let run = bench.finish(id).await.remove(0);
    assert_eq!((run.run.state, run.run.attempt), (RunState::Succeeded, 2));
    assert_eq!(run.history.len(), 1);
    assert_eq!(
        (run.history[0].state, run.history[0].exit_code),
        (RunState::Failed, Some(1))
    );
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_what_runs_and_what_waits() {
    let bench = Bench::new().await;
    let options = WorkOptions {
        concurrency: Some(2),
        ..WorkOptions::default()
    };
    let id = bench
        .run("trap '' TERM; sleep 600", "local://h[1-6]", options)
        .await;
    bench
        .until(id, "two have started", |task| task.counts.started == 2)
        .await;
    bench.engine.cancel(id).await.expect("cancelled");
    let runs = bench.finish(id).await;
    assert_eq!(states(&runs), vec![RunState::Cancelled; 6]);
    assert_eq!(runs.iter().filter(|run| run.run.started_at.is_some()).count(), 2);
    assert!(
        bench.engine.cancel(id).await.is_err(),
        "a task that is done cannot be cancelled"
    );
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_timeout_nothing_of_the_command_is_left() {
    let bench = Bench::new().await;
    let file = bench.path("pids");
    let command = format!(
        "trap '' TERM; echo $$ >> {0}; setsid sh -c 'trap \"\" TERM; echo $$ >> {0}; sleep 600' & sleep 600",
        file.display()
    );
    let options = WorkOptions {
        // Long enough for both to write, however busy the machine is.
        timeout_ms: Some(5000),
        kill_grace_ms: Some(200),
        ..WorkOptions::default()
    };
    let id = bench.run(&command, "localhost", options).await;
    let run = bench.finish(id).await.remove(0).run;
    assert_eq!(run.state, RunState::TimedOut, "{run:?}");
    let pids = std::fs::read_to_string(file).expect("the pids");
    assert_eq!(pids.lines().count(), 2);
    for pid in pids.lines() {
        let pid = pid.parse().expect("a pid");
        assert!(!muster_testkit::proc::is_alive(pid), "process {pid} is left");
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_prints_while_it_is_being_ended_is_seen_and_saved_at_once() {
    let bench = Bench::new().await;
    let (ready, go) = (bench.path("ready"), bench.path("go"));
    // It prints nothing before, and ends on its word: a file that is there only once the word was seen and saved.
    let command = format!(
        "trap 'echo bye; while test ! -e {}; do sleep 0.05; done; echo gone; exit 3' TERM
        : >{}; while :; do sleep 0.05; done",
        go.display(),
        ready.display()
    );
    let options = WorkOptions {
        kill_grace_ms: Some(40_000),
        ..WorkOptions::default()
    };
    let id = bench.run(&command, "localhost", options).await;
    bench.until(id, "it is ready", |_| ready.exists()).await;
    bench.engine.cancel(id).await.expect("cancelled");
    let mut watcher = bench.engine.watch(id, None).await.expect("a watcher");
    let seen = async {
        while let Some((_, event)) = watcher.next().await.expect("an event") {
            if let Event::Output(_) = event {
                return true;
            }
        }
        false
    };
    let seen = tokio::time::timeout(PATIENCE, seen).await.expect("its word");
    assert!(seen, "its word came before its end");
    let logs = bench.path("muster.db.outputs");
    let saved = || std::fs::read_dir(&logs).is_ok_and(|folder| folder.count() > 0);
    bench.until(id, "its word is saved", |_| saved()).await;
    std::fs::write(&go, "").expect("the word");
    let run = bench.finish(id).await.remove(0).run;
    assert_eq!(
        (run.state, run.stdout.as_str()),
        (RunState::Cancelled, "bye\ngone\n")
    );
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_there_is_unreachable_and_says_why() {
    let bench = Bench::new().await;
    // The discard port of this machine: nothing listens there.
    let id = bench.run("true", "127.0.0.1:9", WorkOptions::default()).await;
    let run = bench.finish(id).await.remove(0);
    assert_eq!(run.run.state, RunState::Unreachable);
    assert_eq!(
        run.reason,
        Some(muster_model::Unreachable::Refused),
        "{:?}",
        run.run.error
    );
    assert!(run.run.started_at.is_none());
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stays_away_expires_with_the_task() {
    let bench = Bench::new().await;
    let options = WorkOptions {
        // Long enough for an attempt that is refused.
        expires_ms: Some(8000),
        ..WorkOptions::default()
    };
    let id = bench.run("true", "127.0.0.1:9", options).await;
    let run = bench.finish(id).await.remove(0);
    assert_eq!(run.run.state, RunState::Expired);
    assert!(!run.history.is_empty() && run.history.iter().all(|past| past.state == RunState::Unreachable));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_what_runs() {
    let bench = Bench::new().await;
    let gate = bench.path("gate");
    let command = format!(
        "while ! test -e {}; do sleep 0.02; done; echo done",
        gate.display()
    );
    let id = bench.run(&command, "localhost", WorkOptions::default()).await;
    bench
        .until(id, "it has started", |task| task.counts.started == 1)
        .await;
    let open = async { std::fs::write(&gate, "").expect("the gate") };
    // The gate opens once the engine waits.
    tokio::join!(biased; bench.engine.drain(PATIENCE), open);
    assert_eq!(bench.runs(id).await[0].run.stdout, "done\n");
    assert!(
        bench
            .engine
            .submit("me", submit("true", "localhost", WorkOptions::default()))
            .await
            .is_err()
    );
    bench.close().await;
}
