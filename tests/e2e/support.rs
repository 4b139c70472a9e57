//! A home, an sshd and the binary.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use muster_testkit::home::Home;
use muster_testkit::require::or_ignored;
use muster_testkit::sshd::{Builder, Sshd};
use muster_testkit::{Disk, MariaDb, Postgres};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The binary under test.
pub const MUSTER: &str = env!("CARGO_BIN_EXE_muster");

/// A person with a home, and hosts to reach.
pub struct World {
    pub home: Home,
    pub sshd: Sshd,
    /// Ends after the servers of the home.
    _database: Database,
}

/// What the person's tasks are written to: `MUSTER_TEST_DATABASE=postgres` and `=mariadb` take a real server of the
/// test's own, everything else the file that is used where nobody says otherwise.
#[expect(dead_code, reason = "they are held for as long as the test needs them")]
pub enum Database {
    File,
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Database {
    /// Starts it for a home; None where it is missing on this machine.
    #[expect(clippy::disallowed_methods, reason = "a setting of the tests alone")]
    pub fn of(home: &mut Home) -> Option<Self> {
        let engine = std::env::var("MUSTER_TEST_DATABASE").unwrap_or_default();
        let (database, url) = match engine.as_str() {
            "" | "sqlite" => return Some(Self::File),
            "postgres" => {
                let server = or_ignored(Postgres::start(Disk::Relaxed))?;
                let url = server.fresh_database().expect("a database");
                (Self::Postgres(server), url)
            }
            "mariadb" => {
                let server = or_ignored(MariaDb::start(Disk::Relaxed))?;
                let url = server.fresh_database().expect("a database");
                (Self::MariaDb(server), url)
            }
            other => panic!("MUSTER_TEST_DATABASE={other}: sqlite, postgres and mariadb are known"),
        };
        home.set_env("MUSTER_DATABASE", url);
        Some(database)
    }
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Done {
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl World {
    pub async fn new() -> Option<Self> {
        Self::with(Sshd::builder()).await
    }

    pub async fn with(builder: Builder) -> Option<Self> {
        let sshd = or_ignored(builder.start().await)?;
        let mut home = Home::new().expect("a home");
        home.set_env("MUSTER_SSH_CONFIG", sshd.ssh_config());
        let _database = Database::of(&mut home)?;
        Some(Self {
            home,
            sshd,
            _database,
        })
    }

    pub fn command(&self, args: &[&str]) -> Command {
        command(&self.home, args)
    }

    pub fn muster(&self, args: &[&str]) -> Done {
        muster(&self.home, args)
    }

    /// Runs the binary with this standard input.
    pub fn feed(&self, args: &[&str], stdin: &[u8]) -> Done {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        let stdin = stdin.to_vec();
        let writer = std::thread::spawn(move || pipe.write_all(&stdin));
        let output = child.wait_with_output().expect("the binary ends");
        writer.join().expect("a writer").expect("the input is taken");
        output.into()
    }

    /// The pattern of the first `count` hosts of the sshd.
    pub fn hosts(&self, count: u32) -> String {
        assert!(count <= 254);
        if count == 1 {
            self.sshd.host(1)
        } else {
            format!("127.0.1.[1-{count}]")
        }
    }

    /// Submits a task and returns its number.
    pub fn detach(&self, args: &[&str]) -> String {
        let mut all = args.to_vec();
        all.push("--detach");
        let done = self.muster(&all).succeeded();
        let id = done.stdout.trim().strip_prefix("task id: ").map(str::to_owned);
        id.unwrap_or_else(|| panic!("{done:#?}"))
    }

    pub fn report(&self, id: &str) -> serde_json::Value {
        self.muster(&["check_task", id, "--json"]).json()
    }

    /// Waits until a task's counts satisfy a condition.
    pub async fn until_counts(&self, id: &str, what: &str, holds: impl Fn(&serde_json::Value) -> bool) {
        let until = muster_testkit::wait::until(PATIENCE, what, || holds(&self.report(id)["task"]["counts"]));
        until
            .await
            .unwrap_or_else(|error| panic!("{error}: {:#}", self.report(id)["task"]));
    }

    pub async fn until_done(&self, id: &str) -> serde_json::Value {
        let done = || self.report(id)["task"]["state"] == "done";
        let until = muster_testkit::wait::until(PATIENCE, "the task's end", done);
        until
            .await
            .unwrap_or_else(|error| panic!("{error}: {:#}", self.report(id)["task"]));
        self.report(id)
    }
}

pub fn command(home: &Home, args: &[&str]) -> Command {
    let mut command = home.command(MUSTER);
    command.args(args).stdin(Stdio::null());
    command
}

pub fn muster(home: &Home, args: &[&str]) -> Done {
    command(home, args).output().expect("the binary starts").into()
}

/// The one server that runs in a home.
#[track_caller]
pub fn server(home: &Home) -> u32 {
    let servers = home.servers();
    assert_eq!(servers.len(), 1, "{servers:?}");
    servers[0].pid
}

/// The states of a report's runs.
pub fn states(report: &serde_json::Value) -> Vec<String> {
    let runs = report["runs"].as_array().expect("runs");
    runs.iter()
        .map(|run| run["state"].as_str().unwrap_or("?").to_owned())
        .collect()
}

pub fn kill(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it is killed");
}
