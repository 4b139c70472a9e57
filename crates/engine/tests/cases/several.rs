//! Several servers on one database: any of them answers for any task, and work goes to those that execute.

use std::time::{Duration, Instant};

use muster_model::wire::{Event, Secrets, WorkOptions};
use muster_model::{RunState, Secret, TaskState};

use crate::support::cluster::{Cluster, LEASE, Server};
use crate::support::{PATIENCE, states, submit};

/// A command that prints, waits for a file, and prints again.
fn held(cluster: &Cluster, name: &str) -> String {
    let stop = cluster.path(name);
    let folder = cluster.path("");
    format!(
        "echo begun; while test -d {} -a ! -e {}; do sleep 0.02; done; echo ended",
        folder.display(),
        stop.display()
    )
}

fn let_go(cluster: &Cluster, name: &str) {
    std::fs::write(cluster.path(name), "").expect("the flag");
}

/// Which servers ran something: the first part of what `$MUSTER_RUN` says.
fn ran(cluster: &Cluster, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(cluster.path(name)).unwrap_or_default();
    text.lines()
        .filter_map(|mark| mark.split_once('.').map(|(server, _)| server.to_owned()))
        .collect()
}

async fn three(cluster: &Cluster) -> [Server; 3] {
    [
        cluster.server("one", "api,executor").await,
        cluster.server("two", "api,executor").await,
        cluster.server("three", "api,executor").await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn any_server_answers_for_any_task_and_hears_it_live() {
    let cluster = Cluster::new().await;
    let servers = three(&cluster).await;
    let id = servers[0]
        .bench
        .run(&held(&cluster, "stop"), "local://h[1-12]", WorkOptions::default())
        .await;
    for server in &servers {
        let task = server.bench.engine.task(id).await.expect("the task");
        assert_eq!(task.counts.total, 12);
        // What was printed is seen while the commands run.
        let mut watcher = server.bench.engine.watch(id, None).await.expect("a watcher");
        let seen = async {
            loop {
                let (_, event) = watcher.next().await.expect("an event").expect("no end");
                if matches!(event, Event::Output(output) if &output.bytes[..] == b"begun\n") {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("live output");
    }
    let waiting = servers.iter().map(|server| {
        let engine = server.bench.engine.clone();
        async move {
            let task = engine.task_when_done(id, PATIENCE).await.expect("the task");
            (task.state(), Instant::now())
        }
    });
    let followed = servers.iter().map(|server| server.bench.events(id));
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let_go(&cluster, "stop");
    };
    let (ends, stories, ()) = tokio::join!(
        futures_util::future::join_all(waiting),
        futures_util::future::join_all(followed),
        release
    );
    let first = ends.iter().map(|(_, at)| *at).min().expect("an end");
    for (state, at) in ends {
        assert_eq!(state, TaskState::Done);
        // It is heard, not found by looking now and then.
        assert!(at - first < Duration::from_millis(1_000), "{:?}", at - first);
    }
    for story in stories {
        let mut text = String::new();
        for (_, event) in story {
            if let Event::Output(output) = event {
                text.push_str(&String::from_utf8_lossy(&output.bytes));
            }
        }
        assert_eq!(text.matches("begun\n").count(), 12);
        assert_eq!(text.matches("ended\n").count(), 12);
    }
    cluster.close(servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_to_executors_alone_and_is_shared_among_them() {
    let cluster = Cluster::new().await;
    let door = cluster.server("door", "api").await;
    let command = format!(
        "echo $MUSTER_RUN >> {}; sleep 0.05",
        cluster.path("ran").display()
    );
    let id = door
        .bench
        .run(&command, "local://h[1-300]", WorkOptions::default())
        .await;
    let all_wait = async {
        while cluster.waiting().await < 300 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_wait)
        .await
        .expect("they are in the queue");
    assert!(ran(&cluster, "ran").is_empty(), "nobody executes yet");
    let workers = [
        cluster.server("worker1", "executor").await,
        cluster.server("worker2", "executor").await,
    ];
    let runs = door.bench.finish(id).await;
    assert_eq!(states(&runs), vec![RunState::Succeeded; 300]);
    let mut by = ran(&cluster, "ran");
    assert_eq!(by.len(), 300);
    by.sort_unstable();
    by.dedup();
    assert_eq!(by.len(), 2, "both have had work, and the door none");
    let [one, two] = workers;
    cluster.close([door, one, two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_on_any_server_reaches_who_runs_it_within_a_second() {
    let cluster = Cluster::new().await;
    let servers = three(&cluster).await;
    let id = servers[0]
        .bench
        .run("sleep 600", "local://h[1-9]", WorkOptions::default())
        .await;
    servers[0]
        .bench
        .until(id, "they have started", |task| task.counts.started == 9)
        .await;
    let asked = Instant::now();
    servers[2].bench.engine.cancel(id).await.expect("a cancel");
    let task = servers[1].bench.engine.task_when_done(id, PATIENCE).await;
    assert_eq!(task.expect("the task").counts.cancelled, 9);
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    cluster.close(servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_leaves_hands_over_at_once_and_ends_what_it_started() {
    let cluster = Cluster::new().await;
    let servers = three(&cluster).await;
    let command = format!(
        "echo $MUSTER_RUN >> {}; {}",
        cluster.path("ran").display(),
        held(&cluster, "stop")
    );
    // Two at a time: whoever dispatches it has something to do at each end.
    let options = WorkOptions {
        concurrency: Some(2),
        ..WorkOptions::default()
    };
    let id = servers[0].bench.run(&command, "local://h[1-8]", options).await;
    servers[0]
        .bench
        .until(id, "two have started", |task| task.counts.started == 2)
        .await;
    let leaving = servers[0].bench.engine.clone();
    let drained = async move {
        let begun = Instant::now();
        leaving.drain(PATIENCE).await;
        begun.elapsed()
    };
    let refused = async {
        let begun = async {
            while !servers[0].bench.engine.load().await.draining {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, begun).await.expect("it leaves");
        let problem = servers[0]
            .bench
            .engine
            .submit("me", submit("true", "localhost", WorkOptions::default()))
            .await
            .expect_err("it takes nothing any more");
        assert_eq!(problem.code, muster_model::problem::Code::Draining);
        let_go(&cluster, "stop");
        let begun = Instant::now();
        let task = servers[1].bench.engine.task_when_done(id, PATIENCE).await;
        assert_eq!(task.expect("the task").counts.succeeded, 8);
        // Others dispatch the rest, long before a lease could have run out.
        assert!(begun.elapsed() < LEASE / 2, "{:?}", begun.elapsed());
    };
    let (_, ()) = tokio::join!(drained, refused);
    assert_eq!(ran(&cluster, "ran").len(), 8, "each ran once");
    cluster.close(servers).await;
}

fn with_password() -> muster_model::wire::Submit {
    muster_model::wire::Submit {
        secrets: Secrets {
            password: Some(Secret::new("hunter2-hunter2".to_owned())),
            ..Secrets::default()
        },
        ..submit("true", "local://h[1-3]", WorkOptions::default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_reaches_executors_elsewhere_and_is_wiped_with_the_task() {
    let cluster = Cluster::new().await;
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";
    let file = cluster.path("vault.key");
    std::fs::write(&file, key).expect("the key");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).expect("the key's mode");
    let door = cluster.server("door", "api").await;
    let worker = cluster.server("worker", "executor").await;
    worker.queue.cut();
    let task = door.bench.submit(with_password()).await;
    let database = cluster.database().await;
    let sealed = database.vault.task_secrets(task.id).await.expect("an answer");
    let sealed = sealed.expect("it is sealed");
    assert!(!sealed.sealed.windows(7).any(|window| window == b"hunter2"));
    worker.queue.mend();
    let runs = door.bench.finish(task.id).await;
    // Without the password they would not have been tried.
    assert_eq!(states(&runs), vec![RunState::Succeeded; 3]);
    assert_eq!(database.vault.all_task_secrets().await.expect("an answer"), []);
    database.store.close().await;
    cluster.close([door, worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_could_not_reach_all_executors_is_refused_at_the_submit() {
    let cluster = Cluster::new().await;
    let door = cluster.server("door", "api").await;
    // Alone, it keeps the password as a server of one machine does.
    door.bench.submit(with_password()).await;
    let worker = cluster.server_with("worker", "executor", "other.key").await;
    let refused = door.bench.engine.submit("me", with_password()).await;
    let problem = refused.expect_err("it is refused");
    assert_eq!(problem.code, muster_model::problem::Code::VaultKey);
    assert!(problem.detail.contains("worker"), "{problem}");
    assert!(!format!("{problem:?}").contains("hunter2"));
    assert!(!cluster.path("vault.key").exists(), "no key is made in passing");
    cluster.close([door, worker]).await;
}
