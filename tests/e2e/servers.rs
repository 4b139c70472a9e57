//! Several servers on one PostgreSQL, RabbitMQ and Redis, as processes of their own with homes of their own: as on
//! several machines.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use muster_testkit::home::Home;
use muster_testkit::require::or_ignored;
use muster_testkit::{Disk, Postgres, RabbitMq, Redis, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Done, MUSTER, PATIENCE, command, muster, states};

/// The longest that others may take to notice that a server is dead, with a busy machine in mind.
const TAKEN_OVER: Duration = Duration::from_secs(20);

/// A server in a home of its own.
struct Server {
    home: Home,
    process: Option<Child>,
}

impl Server {
    fn new(engines: &[(&str, String)]) -> Self {
        let mut home = Home::new().expect("a home");
        for (name, url) in engines {
            home.set_env(name, url);
        }
        Self { home, process: None }
    }

    fn socket(&self) -> String {
        format!("{}/muster/server.sock", self.home.runtime_dir().display())
    }

    async fn start(&mut self) {
        let mut server: Command = command(&self.home, &["server"]);
        server.stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(server.spawn().expect("the binary starts"));
        let answers = || {
            let status = muster(&self.home, &["server", "status", "--json"]);
            status.code == Some(0)
        };
        wait::until(PATIENCE, "the server answers", answers)
            .await
            .expect("a server");
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("a process");
        let pid = i32::try_from(process.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("it is there");
    }

    fn ended(&mut self) {
        let mut process = self.process.take().expect("a process");
        process.wait().expect("it ends");
    }

    fn muster(&self, args: &[&str]) -> Done {
        muster(&self.home, args)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Three servers, and a client that knows all of them.
struct Cluster {
    servers: [Server; 3],
    client: Home,
    _engines: (Postgres, RabbitMq, Redis),
}

impl Cluster {
    async fn new() -> Option<Self> {
        let database = or_ignored(Postgres::start(Disk::Relaxed))?;
        let rabbitmq = or_ignored(RabbitMq::start())?;
        let redis = or_ignored(Redis::start())?;
        let engines = [
            ("MUSTER_DATABASE", database.fresh_database().expect("a database")),
            ("MUSTER_QUEUE", rabbitmq.fresh_vhost().expect("a virtual host")),
            ("MUSTER_CACHE", redis.url()),
        ];
        let mut servers = [(); 3].map(|()| Server::new(&engines));
        for server in &mut servers {
            server.start().await;
        }
        let mut client = Home::new().expect("a home");
        let sockets: Vec<String> = servers
            .iter()
            .map(|server| format!("unix://{}", server.socket()))
            .collect();
        client.set_env("MUSTER_SERVER", sockets.join(","));
        Some(Self {
            servers,
            client,
            _engines: (database, rabbitmq, redis),
        })
    }

    /// A command that writes down that it ran, and waits where it is gated.
    fn script(&self, gated: bool) -> String {
        let folder = self.client.path().display();
        let wait = match gated {
            true => format!("while test -d {folder} -a ! -e {folder}/gate; do sleep 0.1; done"),
            false => "true".to_owned(),
        };
        format!("echo x >> {folder}/ran; echo begun; {wait}; echo ended")
    }

    fn open_gate(&self) {
        std::fs::write(self.client.path().join("gate"), "").expect("the gate");
    }

    fn ran(&self) -> usize {
        let text = std::fs::read_to_string(self.client.path().join("ran"));
        text.unwrap_or_default().lines().count()
    }
}

fn detach(server: &Server, args: &[&str]) -> String {
    let mut all = args.to_vec();
    all.push("--detach");
    let done = server.muster(&all).succeeded();
    let id = done.stdout.trim().strip_prefix("task id: ").map(str::to_owned);
    id.unwrap_or_else(|| panic!("{done:#?}"))
}

fn counts(server: &Server, id: &str) -> serde_json::Value {
    server.muster(&["check_task", id, "--json"]).json()["task"]["counts"].clone()
}

#[tokio::test]
async fn any_server_answers_follows_and_cancels() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let [one, two, three] = &cluster.servers;
    let id = detach(one, &["run", &cluster.script(true), "--hosts", "local://h[1-3]"]);
    wait::until(PATIENCE, "they have started", || cluster.ran() == 3)
        .await
        .expect("a start");
    let follow = command(&two.home, &["follow", &id, "--output", "jsonl"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a follower");
    let cancelled = detach(one, &["run", "sleep 600", "--hosts", "local://h[1-2]"]);
    wait::until(PATIENCE, "they have started", || {
        counts(three, &cancelled)["started"] == 2
    })
    .await
    .expect("a start");
    three.muster(&["cancel", &cancelled]).succeeded();
    wait::until(PATIENCE, "they are cancelled", || {
        counts(two, &cancelled)["cancelled"] == 2
    })
    .await
    .expect("a cancel");
    cluster.open_gate();
    let followed = follow.wait_with_output().expect("the follower's end");
    assert_eq!(followed.status.code(), Some(0));
    let text = String::from_utf8_lossy(&followed.stdout);
    assert_eq!(text.matches("\"succeeded\"").count(), 3, "{text}");
    assert!(
        text.matches("begun").count() >= 3 && text.matches("ended").count() >= 3,
        "{text}"
    );

    let seen = three.muster(&["cluster", "--json"]).succeeded().json();
    let servers = seen["servers"].as_array().expect("servers");
    assert_eq!(servers.len(), 3, "{seen:#}");
    assert!(servers.iter().all(|server| server["state"] == "here"), "{seen:#}");
    assert_eq!(
        servers.iter().filter(|server| server["answers"] == true).count(),
        1
    );
    assert!(
        servers.iter().any(|server| server["id"] == seen["leader"]),
        "{seen:#}"
    );
    let shown = one.muster(&["cluster"]).succeeded().stdout;
    assert!(
        shown.contains("api,executor") && shown.contains("leads"),
        "{shown}"
    );
}

#[tokio::test]
async fn what_a_killed_server_had_goes_on_elsewhere_within_seconds() {
    let Some(mut cluster) = Cluster::new().await else {
        return;
    };
    let [one, two, _] = &cluster.servers;
    let script = cluster.script(true);
    let args = ["run", &script, "--hosts", "local://h[1-6]", "--concurrency", "2"];
    let id = detach(one, &args);
    wait::until(PATIENCE, "two have started", || cluster.ran() == 2)
        .await
        .expect("a start");
    one.signal(Signal::SIGKILL);
    let died = Instant::now();
    wait::until(PATIENCE, "they are lost", || counts(two, &id)["lost"] == 2)
        .await
        .expect("a take-over");
    let took = died.elapsed();
    assert!(took > Duration::from_secs(5) && took < TAKEN_OVER, "{took:?}");
    let seen = two.muster(&["cluster", "--json"]).succeeded().json();
    let servers = seen["servers"].as_array().expect("servers");
    assert_eq!(
        servers.iter().filter(|server| server["state"] == "gone").count(),
        1,
        "{seen:#}"
    );
    cluster.open_gate();
    let ended = || two.muster(&["check_task", &id, "--json"]).json()["task"]["state"] == "done";
    wait::until(PATIENCE, "the task's end", ended)
        .await
        .expect("an end");
    let report = two.muster(&["check_task", &id, "--json"]).json();
    let mut all = states(&report);
    all.sort();
    assert_eq!(
        all,
        ["lost", "lost", "succeeded", "succeeded", "succeeded", "succeeded"]
    );
    assert_eq!(cluster.ran(), 6, "each ran once");
    cluster.servers[0].ended();
}

#[tokio::test]
async fn replacing_all_servers_one_after_the_other_gives_no_client_an_error() {
    let Some(mut cluster) = Cluster::new().await else {
        return;
    };
    let client = Arc::new(std::mem::replace(
        &mut cluster.client,
        Home::new().expect("a home"),
    ));
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (client, stop, rounds) = (Arc::clone(&client), Arc::clone(&stop), Arc::clone(&rounds));
            std::thread::spawn(move || {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Acquire) {
                    let args = [
                        "run",
                        "sleep 0.2; echo done",
                        "--hosts",
                        "local://h[1-4]",
                        "--json",
                    ];
                    let done: Done = client
                        .command(MUSTER)
                        .args(args)
                        .stdin(Stdio::null())
                        .output()
                        .expect("the binary starts")
                        .into();
                    rounds.fetch_add(1, Ordering::AcqRel);
                    if done.code != Some(0) || done.stdout.matches("\"succeeded\"").count() < 4 {
                        failed.push(done);
                    }
                }
                failed
            })
        })
        .collect();
    for server in &mut cluster.servers {
        let before = rounds.load(Ordering::Acquire);
        wait::until(PATIENCE, "clients work", || {
            rounds.load(Ordering::Acquire) > before + 3
        })
        .await
        .expect("clients");
        server.signal(Signal::SIGTERM);
        server.ended();
        server.start().await;
    }
    stop.store(true, Ordering::Release);
    for client in clients {
        let failed = client.join().expect("a client");
        assert!(failed.is_empty(), "{failed:#?}");
    }
}
