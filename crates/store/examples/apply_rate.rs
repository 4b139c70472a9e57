//! Prints how many tasks and changes of runs a second a database takes on this machine: the embedded one, or that of
//! a URL, which has to be empty.
//!
//! `cargo run --release -p muster-store --all-features --example apply_rate [runs [url]]`

use std::sync::Arc;
use std::time::Duration;

use muster_model::run::{Change, RunState};
use muster_model::{
    Endpoint, ExecutorId, Kind, Options, Outcome, Reach, RunKey, TaskId, Timestamp, Transition,
};
use muster_runtime::{Tasks, clock};
use muster_store::{NewTask, Opened, TaskInput, open};
use tokio::sync::mpsc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let runs: u32 = match std::env::args().nth(1) {
        Some(number) => number.parse()?,
        None => 100_000,
    };
    let folder = tempfile::tempdir()?;
    let tasks = Tasks::new();
    let url = std::env::args()
        .nth(2)
        .unwrap_or_else(|| format!("sqlite://{}", folder.path().join("rate.db").display()));
    let opened = open(&url, &tasks).await?;
    println!("{}", opened.store.ping().await?);

    let large = timed(
        "submit of one large task",
        "runs",
        runs,
        submit(&opened, "large", runs),
    )
    .await?;
    let small = runs / 20;
    timed(
        "submits one after the other, one run each",
        "tasks",
        small,
        async {
            for number in 0..small {
                submit(&opened, &format!("one {number}"), 1).await?;
            }
            Ok::<_, Failure>(())
        },
    )
    .await?;
    for callers in [1, 500] {
        let from = if callers == 1 { 0 } else { runs / 10 };
        let to = if callers == 1 { runs / 10 } else { runs };
        let what = format!("start and settle of one run a call, {callers} at a time");
        let changes = 2 * (to - from);
        timed(
            &what,
            "changes",
            changes,
            drive(&opened, &tasks, large, from, to, callers),
        )
        .await?;
    }
    let counts = opened.store.task(large).await?.ok_or("the task is gone")?.counts;
    println!("succeeded {} of {}", counts.succeeded, counts.total);
    opened.store.close().await;
    tasks.close(Duration::from_secs(5)).await;
    Ok(())
}

async fn timed<T, E: Into<Failure>>(
    what: &str,
    unit: &str,
    count: u32,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    let start = clock::monotonic();
    let result = work.await.map_err(Into::into)?;
    let took = (clock::monotonic() - start).as_secs_f64();
    println!(
        "{what}: {count} {unit} in {took:.2} s, {:.0} {unit}/s",
        f64::from(count) / took
    );
    Ok(result)
}

async fn submit(opened: &Opened, request: &str, runs: u32) -> Result<TaskId, Failure> {
    let hosts = (0..runs).map(|number| {
        let host = format!("node{number:06}.example.net");
        let endpoint = Endpoint {
            reach: Reach::Ssh,
            host: host.clone(),
            address: None,
            user: None,
            port: None,
            credential: None,
        };
        (host, endpoint)
    });
    let task = NewTask {
        request_id: request.to_owned(),
        kind: Kind::Command {
            command: "df -h".to_owned(),
        },
        options: Options::default(),
        input: TaskInput::default(),
        secrets: None,
        owner: "rate".to_owned(),
        retry_of: None,
        created_at: muster_runtime::now(),
        dispatcher: ExecutorId("rate".to_owned()),
        hosts: hosts.collect(),
    };
    Ok(opened.store.submit(task).await?.into_task().id)
}

/// Starts and settles runs `from` up to `to`, each change a call of its own, as executors do.
async fn drive(
    opened: &Opened,
    tasks: &Tasks,
    task: TaskId,
    from: u32,
    to: u32,
    callers: u32,
) -> Result<(), Failure> {
    let (tx, mut rx) = mpsc::channel::<Result<(), String>>(1);
    for caller in 0..callers {
        let (store, tx) = (Arc::clone(&opened.store), tx.clone());
        tasks.spawn("caller", async move {
            for index in (from..to).filter(|index| index % callers == caller) {
                let run = RunKey { task, index };
                for change in [start(), settle(run)] {
                    let transition = Transition {
                        run,
                        attempt: 1,
                        at: Timestamp(1),
                        change,
                    };
                    if let Err(error) = store.apply(vec![transition]).await {
                        let _ = tx.send(Err(error.to_string())).await;
                        return;
                    }
                }
            }
            let _ = tx.send(Ok(())).await;
        });
    }
    drop(tx);
    while let Some(done) = rx.recv().await {
        done?;
    }
    Ok(())
}

fn start() -> Change {
    Change::Start {
        executor: ExecutorId("rate".to_owned()),
    }
}

fn settle(run: RunKey) -> Change {
    Change::Settle {
        outcome: Outcome {
            exit_code: Some(0),
            stdout_bytes: 400,
            ..Outcome::plain(RunState::Succeeded, None)
        },
        // Each its own: equal ones would be kept once.
        output: Some(bytes::Bytes::from(format!("{run:x>400}"))),
    }
}
