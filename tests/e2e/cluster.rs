//! Three servers on one PostgreSQL, RabbitMQ and Redis, as processes of their own with homes of their own: as on several
//! machines.

use std::process::{Child, Command, Stdio};

use muster_testkit::home::Home;
use muster_testkit::require::or_ignored;
use muster_testkit::{Disk, Postgres, RabbitMq, Redis, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Done, PATIENCE, command, muster};

/// A server in a home of its own.
pub(crate) struct Server {
    pub(crate) home: Home,
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

    fn log(&self) -> std::path::PathBuf {
        self.home.path().join("server.log")
    }

    fn socket(&self) -> String {
        format!("{}/muster/server.sock", self.home.runtime_dir().display())
    }

    /// Starts it, and starts it again where it gives up, as systemd does: what it stands on may be coming back just now.
    pub(crate) async fn start(&mut self) {
        self.spawn();
        let answers = || {
            let process = self.process.as_mut().expect("a process");
            if process.try_wait().is_ok_and(|ended| ended.is_some()) {
                self.spawn();
            }
            let status = muster(&self.home, &["server", "status", "--json"]);
            status.code == Some(0)
        };
        if let Err(error) = wait::until(PATIENCE, "the server answers", answers).await {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            panic!("{error}: {log}");
        }
    }

    fn spawn(&mut self) {
        let mut server: Command = command(&self.home, &["server"]);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log());
        server.stdout(Stdio::null()).stderr(log.expect("a log"));
        self.process = Some(server.spawn().expect("the binary starts"));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("a process");
        let pid = i32::try_from(process.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("it is there");
    }

    pub(crate) fn ended(&mut self) {
        let mut process = self.process.take().expect("a process");
        process.wait().expect("it ends");
    }

    pub(crate) fn muster(&self, args: &[&str]) -> Done {
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
pub(crate) struct Cluster {
    pub(crate) servers: [Server; 3],
    pub(crate) client: Home,
    pub(crate) engines: Engines,
}

/// What the servers share.
pub(crate) struct Engines {
    pub(crate) database: Postgres,
    pub(crate) queue: RabbitMq,
    pub(crate) cache: Redis,
}

impl Cluster {
    pub(crate) async fn new() -> Option<Self> {
        let database = or_ignored(Postgres::start(Disk::Forced))?;
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
            engines: Engines {
                database,
                queue: rabbitmq,
                cache: redis,
            },
        })
    }

    /// A command that writes down that it ran, and waits where it is gated.
    pub(crate) fn script(&self, gated: bool) -> String {
        let folder = self.client.path().display();
        let wait = match gated {
            true => format!("while test -d {folder} -a ! -e {folder}/gate; do sleep 0.1; done"),
            false => "true".to_owned(),
        };
        format!("echo x >> {folder}/ran; echo begun; {wait}; echo ended")
    }

    pub(crate) fn open_gate(&self) {
        std::fs::write(self.client.path().join("gate"), "").expect("the gate");
    }

    pub(crate) fn ran(&self) -> usize {
        let text = std::fs::read_to_string(self.client.path().join("ran"));
        text.unwrap_or_default().lines().count()
    }
}

pub(crate) fn detach(server: &Server, args: &[&str]) -> String {
    let mut all = args.to_vec();
    all.push("--detach");
    let done = server.muster(&all).succeeded();
    let id = done.stdout.trim().strip_prefix("task id: ").map(str::to_owned);
    id.unwrap_or_else(|| panic!("{done:#?}"))
}

pub(crate) fn counts(server: &Server, id: &str) -> serde_json::Value {
    server.muster(&["check_task", id, "--json"]).json()["task"]["counts"].clone()
}
