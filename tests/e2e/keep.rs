//! What is kept: equal output once, finished tasks and their output by age and size, and nothing taken from under a
//! reader.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use muster_model::run::Change;
use muster_model::{Outcome, RunState, TaskId, Timestamp};
use muster_runtime::Tasks;
use muster_store::Opened;
use muster_store::contract::world::{executor, frames, key, must, new_task, transition};
use muster_testkit::home::Home;
use muster_testkit::wait;
use serde_json::Value;

use crate::support::{Database, Done, PATIENCE, command};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn muster(home: &Home, args: &[&str]) -> Done {
    command(home, args).output().expect("the binary starts").into()
}

/// Writes a task that ended so many seconds ago, with the output of each run.
async fn ended(opened: &Opened, ago: u64, outputs: &[Bytes]) -> TaskId {
    let at = muster_runtime::now().before(Duration::from_secs(ago));
    let mut new = new_task(
        &format!("ended {ago} s ago"),
        u32::try_from(outputs.len()).expect("few"),
    );
    new.created_at = at;
    let id = opened.store.submit(new).await.expect("a submit").into_task().id;
    let mut changes = Vec::new();
    for (index, output) in (0..).zip(outputs) {
        let start = Change::Start {
            executor: executor("gone"),
        };
        changes.push(transition(key(id, index), 1, at.0, start));
        let mut outcome = Outcome::plain(RunState::Succeeded, None);
        outcome.exit_code = Some(0);
        outcome.stdout_bytes = output.len() as u64 - 5;
        let output = Some(output.clone());
        changes.push(transition(
            key(id, index),
            1,
            at.0,
            Change::Settle { outcome, output },
        ));
    }
    must(opened, changes).await;
    id
}

/// A database with tasks that ended long ago, a while ago and lately.
struct Past {
    long_ago: TaskId,
    a_while_ago: TaskId,
    lately: TaskId,
    also_lately: TaskId,
}

async fn past(url: &str) -> Past {
    let tasks = Tasks::new();
    let opened = muster_store::open(url, &tasks).await.expect("a database");
    let text = |word: &str| frames(&[format!("{word} {}\n", "x".repeat(500)).as_str()]);
    let past = Past {
        long_ago: ended(&opened, 100 * DAY, &vec![text("old"); 3]).await,
        a_while_ago: ended(&opened, 40 * DAY, &vec![text("older"); 3]).await,
        lately: ended(&opened, 2 * HOUR, &vec![text("new"); 3]).await,
        also_lately: ended(&opened, 3 * HOUR, &vec![text("large"); 3]).await,
    };
    opened.store.close().await;
    tasks.close(Duration::from_secs(10)).await;
    past
}

/// Where the tests write: a file, or a server where the environment says so. Its URL is in the home's environment.
struct Place {
    home: Home,
    url: String,
    _database: Database,
}

impl Place {
    fn new() -> Option<Self> {
        let mut home = Home::new().expect("a home");
        let database = Database::of(&mut home)?;
        if matches!(database, Database::File) {
            let url = format!("sqlite://{}", home.path().join("kept.db").display());
            home.set_env("MUSTER_DATABASE", url);
        }
        let variables = home.env();
        let url = variables.iter().find(|(name, _)| name == "MUSTER_DATABASE");
        let url = url.expect("it was set").1.clone();
        Some(Self {
            home,
            url,
            _database: database,
        })
    }
}

#[test]
fn the_same_output_of_many_hosts_is_kept_once() {
    let Some(place) = Place::new() else { return };
    let home = &place.home;
    // The second one goes on for so long that its output is saved while it runs.
    for command in ["printf '%2000s' x", "printf '%3000s' y; sleep 2"] {
        muster(
            home,
            &["run", command, "--hosts", "local://h[1-60]", "--output", "quiet"],
        )
        .succeeded();
    }
    muster(
        home,
        &[
            "run",
            "printf '%2000s' $RANDOM-$$",
            "--hosts",
            "local://h[1-5]",
            "--output",
            "quiet",
        ],
    )
    .succeeded();
    // What is done with the output behind the end of a task takes a moment.
    let mut stats = Value::Null;
    wait::blocking(PATIENCE, "small logs to be kept with their runs", || {
        stats = muster(home, &["db", "stats", "--json"]).succeeded().json();
        (stats["output"]["large"]["runs"] == 0).then_some(())
    })
    .expect("they are");
    let shared = &stats["output"]["shared"];
    assert_eq!(shared["outputs"], 2, "{stats:#}");
    assert_eq!(shared["runs"], 120, "{stats:#}");
    assert!(shared["bytes"].as_u64() < Some(6_000), "{stats:#}");
    assert_eq!(stats["output"]["alone"]["runs"], 5, "{stats:#}");
    let check = muster(home, &["check_task", "2", "--json"]).succeeded().json();
    let runs = check["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 60);
    assert!(
        runs.iter()
            .all(|run| run["stdout"].as_str().is_some_and(|text| text.len() == 3000))
    );
    let text = muster(home, &["db", "stats"]).succeeded().stdout;
    assert!(text.contains("equal output, once"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_goes_and_who_asks_for_it_is_told() {
    let Some(place) = Place::new() else { return };
    let home = &place.home;
    let Past {
        long_ago,
        a_while_ago,
        lately,
        also_lately,
    } = past(&place.url).await;

    let planned = muster(home, &["db", "prune", "--dry-run", "--json"])
        .succeeded()
        .json();
    let due: Vec<(u64, &str)> = planned["due"]
        .as_array()
        .expect("what is due")
        .iter()
        .filter_map(|due| Some((due["id"].as_u64()?, due["part"].as_str()?)))
        .collect();
    assert_eq!(due, [(long_ago.0, "task"), (a_while_ago.0, "output")]);
    let nothing = muster(home, &["db", "prune", "--tasks", "forever"]).succeeded();
    assert_eq!(nothing.stdout, "nothing is kept too long\n");

    let removed = muster(home, &["db", "prune"]).succeeded().stdout;
    assert!(
        removed.starts_with("removed 1 task and the output of 1 more: "),
        "{removed}"
    );
    let gone = muster(home, &["check_task", &long_ago.to_string()]);
    assert_eq!(gone.code, Some(2), "{gone:#?}");
    assert!(gone.stderr.contains("keep_tasks"), "{gone:#?}");
    let told = muster(home, &["check_task", &a_while_ago.to_string()]).succeeded();
    assert!(told.stderr.contains("its output was removed at "), "{told:#?}");
    assert!(!told.stdout.contains("older"), "{told:#?}");
    let json = muster(home, &["check_task", &a_while_ago.to_string(), "--json"])
        .succeeded()
        .json();
    assert!(json["task"]["output_removed_at"].is_string(), "{json:#}");
    assert_eq!(json["runs"][2]["exit_code"], 0);
    assert_eq!(json["runs"][2]["stdout"], "");
    let whole = muster(home, &["check_task", &lately.to_string(), "--json"])
        .succeeded()
        .json();
    assert!(whole["task"].get("output_removed_at").is_none(), "{whole:#}");
    assert!(
        whole["runs"][0]["stdout"]
            .as_str()
            .is_some_and(|text| text.starts_with("new "))
    );

    // Three equal outputs are one, so both tasks together are within this.
    let enough = ["db", "prune", "--output-size", "1200B", "--json"];
    let removed = muster(home, &enough).succeeded().json();
    assert_eq!(removed["outputs"], 0, "{removed}");
    // The one that was just read stays, whatever is too much.
    let nothing = ["db", "prune", "--output-size", "1B", "--json"];
    let removed = muster(home, &nothing).succeeded().json();
    assert_eq!(
        (&removed["tasks"], &removed["outputs"]),
        (&0.into(), &1.into()),
        "{removed}"
    );
    let told = muster(home, &["check_task", &also_lately.to_string()]).succeeded();
    assert!(told.stderr.contains("its output was removed at "), "{told:#?}");
    let whole = muster(home, &["check_task", &lately.to_string()]).succeeded();
    assert!(whole.stdout.contains("new "), "{whole:#?}");
    let wrong = muster(home, &["db", "prune", "--tasks", "5m"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("at least 1h"), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_removes_by_itself_what_is_not_kept() {
    let Some(place) = Place::new() else { return };
    let home = &place.home;
    let Past { long_ago, lately, .. } = past(&place.url).await;
    let listed = || {
        let tasks = muster(home, &["tasks", "--json"]).succeeded().json();
        let tasks = tasks.as_array().expect("a list").clone();
        tasks
            .iter()
            .filter_map(|task| task["id"].as_u64())
            .collect::<Vec<u64>>()
    };
    assert!(listed().contains(&lately.0));
    wait::blocking(PATIENCE, "the removal of an old task", || {
        (!listed().contains(&long_ago.0)).then_some(())
    })
    .expect("it is gone");
    assert!(listed().contains(&lately.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_reads_is_not_taken_from_under_them() {
    const SIZE: usize = 48 * 1024 * 1024;
    let Some(place) = Place::new() else { return };
    let home = &place.home;
    let tasks = Tasks::new();
    let opened = muster_store::open(&place.url, &tasks).await.expect("a database");
    let new = new_task("large", 1);
    let id = opened.store.submit(new).await.expect("a submit").into_task().id;
    let piece = frames(&["y".repeat(255 * 1024).as_str()]);
    let mut at = 0;
    while at < SIZE as u64 {
        at = opened
            .outputs
            .append(key(id, 0), 1, at, piece.clone())
            .await
            .expect("an append");
    }
    let written = at - (at / piece.len() as u64) * 5;
    let long_ago: Timestamp = muster_runtime::now().before(Duration::from_secs(100 * DAY));
    let start = Change::Start {
        executor: executor("gone"),
    };
    let mut outcome = Outcome::plain(RunState::Succeeded, None);
    outcome.stdout_bytes = written;
    let end = Change::Settle {
        outcome,
        output: None,
    };
    let changes = [start, end].map(|change| transition(key(id, 0), 1, long_ago.0, change));
    must(&opened, changes.to_vec()).await;
    opened.store.close().await;
    tasks.close(Duration::from_secs(10)).await;
    // The server is not to remove it before anybody reads it.
    let settings = [
        ("MUSTER_KEEP_TASKS", "forever"),
        ("MUSTER_KEEP_OUTPUT", "forever"),
    ];

    let mut reader = command(home, &["check_task", &id.to_string()])
        .envs(settings)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut output = reader.stdout.take().expect("it is piped");
    let mut first = [0; 4096];
    let mut read = output.read(&mut first).expect("a read");
    assert!(read > 0);
    let prune = ["db", "prune", "--tasks", "1h"];
    let refused = muster(home, &prune).succeeded();
    assert_eq!(refused.stdout, "nothing is kept too long\n", "it is being read");
    let mut piece = vec![0; 1 << 20];
    loop {
        match output.read(&mut piece).expect("a read") {
            0 => break,
            more => read += more,
        }
    }
    assert!(reader.wait().expect("it ends").success());
    assert!(read as u64 > written, "{read} bytes came of {written}");
}
