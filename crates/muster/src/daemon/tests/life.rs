//! How a server's life ends: by a wish, by idleness, and never under somebody's feet.

use std::path::PathBuf;
use std::time::Duration;

use muster_client::{Address, Client};
use muster_model::task::TaskState;
use muster_model::wire::{Submit, Targets, Work};
use muster_model::{Problem, TaskId, problem::Code};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::super::lock::Lock;
use super::super::process::Server;
use super::super::start;
use super::{Home, home};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server that lives in a task of the test.
struct Living {
    client: Client,
    life: JoinHandle<()>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server under test is joined by the test"
)]
async fn live(home: &Home) -> Living {
    home.paths.prepare().expect("a folder");
    let server = Server::on_demand(&home.settings, &home.paths)
        .await
        .expect("a server");
    Living {
        client: Client::new(Address::Unix(home.paths.socket.clone()), "0.1.0"),
        life: tokio::spawn(server.run()),
    }
}

impl Living {
    async fn ends(self) {
        timeout(PATIENCE, self.life)
            .await
            .expect("in time")
            .expect("no panic");
    }
}

fn task(command: &str) -> Submit {
    Submit {
        request_id: muster_client::request_id().expect("random"),
        work: Work::Command {
            command: command.to_owned(),
        },
        targets: Targets {
            hosts: vec!["localhost".to_owned()],
            exclude: Vec::new(),
            selector: None,
        },
        options: Default::default(),
        stdin_base64: None,
        secrets: Default::default(),
        dry_run: false,
    }
}

async fn until_started(client: &Client, id: TaskId) {
    let begin = Instant::now();
    while client.task(id).await.expect("a task").counts.started == 0 {
        assert!(begin.elapsed() < PATIENCE, "the run does not start");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn gate(home: &Home) -> (PathBuf, String) {
    let gate = home.folder.path().join("gate");
    let command = format!(
        "while ! test -e '{}'; do sleep 0.02; done; echo through",
        gate.display()
    );
    (gate, command)
}

async fn done(client: &Client, id: TaskId) -> u32 {
    let begin = Instant::now();
    loop {
        let task = client.task(id).await.expect("a task");
        if task.state == TaskState::Done {
            return task.counts.succeeded;
        }
        assert!(begin.elapsed() < PATIENCE, "the task does not end: {task:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_server_frees_its_place_and_finishes_what_it_started() {
    let home = home();
    let old = live(&home).await;
    let (gate, command) = gate(&home);
    let id = old.client.submit(&task(&command)).await.expect("a task").id;
    until_started(&old.client, id).await;
    old.client.handover().await.expect("granted");
    // Its place is free the moment it has answered, and it is still at work.
    assert!(!home.paths.socket.exists());
    assert!(Lock::try_take(&home.paths.server_lock).expect("a file").is_some());
    assert!(!old.life.is_finished());

    let new = live(&home).await;
    let other = new.client.submit(&task("echo new")).await.expect("a task").id;
    assert_eq!(done(&new.client, other).await, 1);
    assert_eq!(
        new.client.task(id).await.expect("a task").state,
        TaskState::Running
    );
    std::fs::write(gate, "").expect("a file");
    assert_eq!(done(&new.client, id).await, 1);
    old.ends().await;
    new.client.shutdown().await.expect("granted");
    new.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_leave_gives_what_it_started_a_while() {
    let mut home = home();
    home.settings.drain = PATIENCE;
    let server = live(&home).await;
    let (gate, command) = gate(&home);
    let id = server.client.submit(&task(&command)).await.expect("a task").id;
    until_started(&server.client, id).await;
    server.client.shutdown().await.expect("granted");
    std::fs::write(gate, "").expect("a file");
    server.ends().await;
    let next = live(&home).await;
    assert_eq!(done(&next.client, id).await, 1);
    next.client.shutdown().await.expect("granted");
    next.ends().await;
}

/// How long a server without anything to do stays in these tests.
const SOON: Duration = Duration::from_millis(50);

/// Lives through the life of another server with nothing to do, twice: one that would leave has left meanwhile, on
/// a slow machine too.
async fn as_long_as_idle_servers_live() {
    for _ in 0..2 {
        let mut home = home();
        home.settings.idle_exit = SOON;
        let Living { client, life } = live(&home).await;
        drop(client);
        timeout(PATIENCE, life).await.expect("in time").expect("no panic");
    }
}

/// Takes the lock of those who look for a server: meanwhile none leaves.
fn looks(home: &Home) -> Lock {
    home.paths.prepare().expect("a folder");
    Lock::try_take(&home.paths.start_lock)
        .expect("a file")
        .expect("the lock")
}

#[tokio::test(flavor = "multi_thread")]
async fn work_and_company_keep_a_server_that_would_leave() {
    let mut home = home();
    home.settings.idle_exit = SOON;
    let looks = looks(&home);
    let server = live(&home).await;
    let (gate, command) = gate(&home);
    let id = server.client.submit(&task(&command)).await.expect("a task").id;
    until_started(&server.client, id).await;
    drop((server.client, looks));
    as_long_as_idle_servers_live().await;
    assert!(!server.life.is_finished(), "it left in the middle of a run");
    let company = tokio::net::UnixStream::connect(&home.paths.socket)
        .await
        .expect("the server");
    std::fs::write(gate, "").expect("a file");
    let client = Client::new(Address::Unix(home.paths.socket.clone()), "0.1.0");
    assert_eq!(done(&client, id).await, 1);
    drop(client);
    as_long_as_idle_servers_live().await;
    assert!(!server.life.is_finished(), "it left while somebody was connected");
    drop(company);
    timeout(PATIENCE, server.life)
        .await
        .expect("in time")
        .expect("no panic");
    assert!(!home.paths.socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_leave_while_somebody_looks_for_it() {
    let mut home = home();
    home.settings.idle_exit = SOON;
    let looks = looks(&home);
    let server = live(&home).await;
    as_long_as_idle_servers_live().await;
    assert!(
        server.client.server().await.is_ok(),
        "it left under somebody's feet"
    );
    let Living { client, life } = server;
    drop((client, looks));
    timeout(PATIENCE, life).await.expect("in time").expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_other_back_ends_than_the_settings_is_not_used_silently() {
    let mut home = home();
    let server = live(&home).await;
    let here = Address::Unix(home.paths.socket.clone());
    assert_eq!(start::find(&home.settings).await, Ok((here.clone(), Vec::new())));
    home.settings.database = "sqlite:///elsewhere/muster.db".to_owned();
    let problem = start::find(&home.settings).await.expect_err("refused");
    assert_eq!(problem.code, Code::InvalidConfig);
    assert!(
        problem
            .detail
            .contains("your settings say sqlite:///elsewhere/muster.db"),
        "{problem}"
    );
    assert_eq!(
        start::find_running(&home.settings).await,
        Ok(Some((here, Vec::new())))
    );
    server.client.shutdown().await.expect("granted");
    server.ends().await;
    assert_eq!(start::find_running(&home.settings).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_database_is_none_does_not_start_and_takes_no_place() {
    let mut home = home();
    home.paths.prepare().expect("a folder");
    let file = home.folder.path().join("picture");
    std::fs::write(
        &file,
        "P6 640 480 255 and so on, at least a hundred bytes of it, none of them SQLite",
    )
    .expect("a file");
    home.settings.database = format!("sqlite://{}", file.display());
    let problem: Problem = match Server::on_demand(&home.settings, &home.paths).await {
        Ok(_) => panic!("it started"),
        Err(problem) => problem,
    };
    assert_eq!(problem.code, Code::InvalidDatabase);
    assert!(problem.detail.contains("picture"), "{problem}");
    assert!(!home.paths.socket.exists());
    assert!(Lock::try_take(&home.paths.server_lock).expect("a file").is_some());
}
