//! Everything that several servers stand on is killed in turn while they work: what the hosts wrote down agrees with what
//! the servers say.
//!
//! `MUSTER_CHAOS_RUNS=10000 cargo nextest run -p muster --all-features -E 'test(/^chaos::/)'` does it with as many runs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use muster_testkit::wait;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, detach};
use crate::support::PATIENCE;

/// How long the whole may take, with all that is killed.
const TO_THE_END: Duration = Duration::from_secs(600);

/// What is killed, and started again.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Server(usize),
    Database,
    Queue,
    Cache,
}

/// In this order: each server, and each engine between them.
const VICTIMS: [Victim; 6] = [
    Victim::Server(0),
    Victim::Queue,
    Victim::Server(1),
    Victim::Database,
    Victim::Server(2),
    Victim::Cache,
];

impl Cluster {
    async fn kill_and_start_again(&mut self, victim: Victim) {
        match victim {
            Victim::Server(number) => {
                let server = &mut self.servers[number];
                server.signal(Signal::SIGKILL);
                server.ended();
                server.start().await;
            }
            Victim::Database => {
                self.engines.database.kill();
                self.engines.database.start_again().expect("the database");
            }
            Victim::Queue => {
                self.engines.queue.kill();
                self.engines.queue.start_again().expect("the queue");
            }
            Victim::Cache => {
                self.engines.cache.kill();
                self.engines.cache.start_again().expect("the cache");
            }
        }
    }

    /// Returns the counts of a task, from the first server that answers.
    fn counts(&self, id: &str) -> Option<Value> {
        let answers = self
            .servers
            .iter()
            .map(|server| server.muster(&["check_task", id, "--json"]));
        let mut answered = answers.filter(|done| matches!(done.code, Some(0..=2)) && !done.stdout.is_empty());
        Some(answered.next()?.json()["task"].clone())
    }
}

/// What a host has written: how often each run has begun, and how often it has ended.
fn written(text: &str) -> HashMap<u64, (u32, u32)> {
    let mut seen: HashMap<u64, (u32, u32)> = HashMap::new();
    for line in text.lines() {
        let (word, mark) = line.split_once(' ').expect("a word and a mark");
        // executor.task.index.attempt
        let index = mark.split('.').nth(2).and_then(|index| index.parse().ok());
        let count = seen.entry(index.expect("the number of a run")).or_default();
        match word {
            "begin" => count.0 += 1,
            _ => count.1 += 1,
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn every_run_has_one_end_whatever_is_killed() {
    let runs: u64 = std::env::var("MUSTER_CHAOS_RUNS").map_or(1500, |text| text.parse().expect("a number"));
    let Some(mut cluster) = Cluster::new().await else {
        return;
    };
    let file = cluster.client.path().join("written").display().to_string();
    std::fs::write(&file, "").expect("the file");
    let command = format!("echo begin $MUSTER_RUN >> {file}; sleep 1; echo end $MUSTER_RUN >> {file}");
    let hosts = format!("local://h[1-{runs}]");
    let id = detach(
        &cluster.servers[0],
        &["run", &command, "--hosts", &hosts, "--concurrency", "40"],
    );
    let begun = Instant::now();
    // Each is killed when another part of the work is done: how fast that goes is the machine's affair.
    for (number, victim) in VICTIMS.into_iter().enumerate() {
        let due = runs * (number as u64 + 1) / (VICTIMS.len() as u64 + 1);
        let went_on = || {
            let text = std::fs::read_to_string(&file).expect("the file");
            written(&text).len() as u64 >= due
        };
        wait::until(PATIENCE, "the work goes on", went_on)
            .await
            .unwrap_or_else(|error| panic!("before {victim:?}: {error}; {:#?}", cluster.counts(&id)));
        cluster.kill_and_start_again(victim).await;
    }
    let is_done = || cluster.counts(&id).is_some_and(|task| task["state"] == "done");
    wait::until(TO_THE_END, "the task's end", is_done)
        .await
        .unwrap_or_else(|error| panic!("{error}: {:#?}", cluster.counts(&id)));
    println!("{runs} runs in {:?}", begun.elapsed());
    // Commands whose server died may still end.
    wait::until(PATIENCE, "the last command's end", || {
        muster_testkit::proc::with_arg(&file).is_empty()
    })
    .await
    .expect("an end");

    let report = cluster.servers[1].muster(&["check_task", &id, "--json"]).json();
    let seen = written(&std::fs::read_to_string(&file).expect("the file"));
    let all = report["runs"].as_array().expect("runs");
    assert_eq!(all.len() as u64, runs);
    let mut ends: HashMap<String, u64> = HashMap::new();
    let mut whys: HashMap<String, u64> = HashMap::new();
    for run in all {
        let host = run["host"].as_str().expect("a host");
        // h1 is the first, and its number is 0.
        let number: u64 = host.trim_start_matches("local://h").parse().expect("a number");
        let index = number - 1;
        let (began, ended) = seen.get(&index).copied().unwrap_or_default();
        assert!(began <= 1, "it began {began} times: {run:#}");
        let state = run["state"].as_str().expect("a state");
        match state {
            "succeeded" => assert_eq!((began, ended), (1, 1), "{run:#}"),
            "lost" => {
                let why = run["error"].as_str().expect("a lost run says why");
                *whys.entry(why.to_owned()).or_default() += 1;
            }
            other => panic!("{other}: {run:#}"),
        }
        *ends.entry(state.to_owned()).or_default() += 1;
    }
    println!("{ends:?}; lost: {whys:#?}");
    let lost = ends.get("lost").copied().unwrap_or(0);
    // Three servers died, and no more was in hand than the task allows at a time.
    assert!(lost <= 3 * 40, "{lost} are lost: {whys:#?}");
    assert_eq!(lost + ends.get("succeeded").copied().unwrap_or(0), runs);
}
