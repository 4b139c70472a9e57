//! What is left when the process is killed: everything that it had been told is written.
//!
//! The process to be killed is this program, started again: it works on a database and prints a line for
//! each answer. The test kills it in the middle, over and over, on the same database.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use libtest_mimic::{Failed, Trial};
use muster_model::{RunKey, RunState, TaskId};
use muster_runtime::Tasks;
use muster_store::contract::world::{
    all_runs, check_counts, executor, frames, key, must, new_task, run, settle, start, submit, transition,
};
use muster_store::{Opened, open};

/// The argument that makes this program the process to be killed.
pub(crate) const CHILD: &str = "--work-until-killed";

/// Tasks that the process works on at the same time.
const WORKERS: u64 = 8;
const RUNS: u32 = 6;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("sqlite::what_was_answered_survives_a_kill", || {
            let tasks = Tasks::new();
            super::within_patience(tasks.clone(), what_was_answered_survives_a_kill(tasks))
        }),
        Trial::test("sqlite::many_processes_may_open_a_new_database_at_once", || {
            let tasks = Tasks::new();
            super::within_patience(
                tasks.clone(),
                many_processes_may_open_a_new_database_at_once(tasks),
            )
        }),
        Trial::test("sqlite::two_processes_work_side_by_side", || {
            let tasks = Tasks::new();
            super::within_patience(tasks.clone(), two_processes_work_side_by_side(tasks))
        }),
    ]
}

/// Works until somebody kills it.
pub(crate) fn child(url: &str) -> ExitCode {
    let result = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failed::from)
        .and_then(|runtime| runtime.block_on(work(url)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn work(url: &str) -> Result<(), Failed> {
    let tasks = Tasks::new();
    let opened = open(url, &tasks).await?;
    let life = std::process::id();
    let requests = Arc::new(AtomicU64::new(0));
    for _ in 0..WORKERS {
        let (opened, requests) = (opened.clone(), Arc::clone(&requests));
        tasks.spawn("worker", async move {
            loop {
                let request = requests.fetch_add(1, Ordering::Relaxed);
                one_task(&opened, &format!("{life} {request}")).await;
            }
        });
    }
    tasks.intake().cancelled().await;
    Ok(())
}

/// Takes a task through its life, and says each step once it was answered.
async fn one_task(opened: &Opened, request: &str) {
    let task = submit(opened, request, RUNS).await;
    say(&format!("submitted {task} 0"));
    for index in 0..RUNS {
        let run = key(task, index);
        must(opened, vec![start(run, "me")]).await;
        say(&format!("started {task} {index}"));
        let log = frames(&[&format!("output of {run}")]);
        opened.outputs.append(run, 1, 0, log).await.expect("an append");
        say(&format!("appended {task} {index}"));
        must(opened, vec![settle(run, RunState::Succeeded)]).await;
        say(&format!("settled {task} {index}"));
    }
}

/// One write for the whole line, so that a kill leaves whole lines.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}

/// Starts a worker process, reads `enough` answers, kills it, and returns all that it had said.
fn killed_after(url: &str, enough: usize) -> Vec<(String, RunKey)> {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args([CHILD, url])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut said = Vec::new();
    for line in lines.by_ref() {
        said.push(line.expect("a line"));
        if said.len() == enough {
            child.kill().expect("a kill");
            break;
        }
    }
    // What it had said before the kill reached it.
    said.extend(lines.map(|line| line.expect("a line")));
    child.wait().expect("the end of the child");
    assert!(
        said.len() >= enough,
        "the child ended by itself after {}",
        said.len()
    );
    said.iter()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, task, index] = words.as_slice() else {
                panic!("'{line}'");
            };
            let task = task.parse().expect("a task's number");
            ((*what).to_owned(), key(task, index.parse().expect("an index")))
        })
        .collect()
}

async fn what_was_answered_survives_a_kill(tasks: Tasks) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("muster.db").display());
    let mut all: Vec<(String, RunKey)> = Vec::new();
    for enough in [1, 2, 17, 60, 150, 400, 401] {
        all.extend(killed_after(&url, enough));
        let opened = open(&url, &tasks).await.unwrap();
        let mut seen: Vec<TaskId> = Vec::new();
        for (what, run_key) in &all {
            let found = run(&opened, *run_key).await;
            let kept = match what.as_str() {
                "submitted" => true,
                "started" => found.state != RunState::Queued,
                "settled" => found.state == RunState::Succeeded,
                "appended" => {
                    let log = opened.outputs.read(*run_key, 1, 0, 1000).await.unwrap();
                    log == frames(&[&format!("output of {run_key}")])
                }
                other => panic!("'{other}'"),
            };
            assert!(kept, "{what} {run_key} was answered, and is {}", found.state);
            if seen.last() != Some(&run_key.task) {
                seen.push(run_key.task);
            }
        }
        seen.sort_unstable();
        seen.dedup();
        for task in seen {
            assert_eq!(all_runs(&opened, task).await.len(), RUNS as usize);
            check_counts(&opened, task).await;
        }
        opened.store.close().await;
    }
}

async fn two_processes_work_side_by_side(tasks: Tasks) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("muster.db").display());
    let opened = open(&url, &tasks).await.unwrap();
    let theirs = {
        let url = url.clone();
        tokio::task::spawn_blocking(move || killed_after(&url, 300))
    };
    let mut ours = Vec::new();
    while !theirs.is_finished() {
        let mut task = new_task(&format!("ours {}", ours.len()), 3);
        task.dispatcher = executor("us");
        let id = opened.store.submit(task).await.unwrap().into_task().id;
        for index in 0..3 {
            let first = key(id, index);
            must(&opened, vec![start(first, "us")]).await;
            let end = settle(first, RunState::Failed).change;
            must(&opened, vec![transition(first, 1, 9, end)]).await;
        }
        ours.push(id);
    }
    let theirs = theirs.await.unwrap();
    assert!(!ours.is_empty());
    for id in ours.iter().copied().chain(theirs.iter().map(|(_, run)| run.task)) {
        check_counts(&opened, id).await;
    }
    assert!(theirs.iter().all(|(_, run)| !ours.contains(&run.task)));
}

async fn many_processes_may_open_a_new_database_at_once(tasks: Tasks) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("muster.db").display());
    let processes: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::task::spawn_blocking(move || killed_after(&url, 5))
        })
        .collect();
    let mut said = Vec::new();
    for process in processes {
        said.extend(process.await.unwrap());
    }
    let opened = open(&url, &tasks).await.unwrap();
    let submitted: Vec<TaskId> = said
        .iter()
        .filter(|(what, _)| what == "submitted")
        .map(|(_, run)| run.task)
        .collect();
    assert!(submitted.len() >= 4);
    for task in submitted {
        check_counts(&opened, task).await;
    }
}
