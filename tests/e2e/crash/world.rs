//! A home, the hosts, and the commands that are run there: what a case can do and see.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use muster_client::{Address, Client, RunsQuery, TasksQuery};
use muster_model::wire::{RunEntry, TaskView};
use muster_model::{Problem, TaskId};
use muster_runtime::crash;
use muster_testkit::home::Home;
use muster_testkit::sshd::Sshd;
use muster_testkit::{proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::Case;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What is broken, for people.
pub type Broken = String;

/// A person with a home, and hosts to reach.
pub struct World<'a> {
    pub case: Case,
    pub home: Home,
    pub sshd: &'a Sshd,
    runtime: tokio::runtime::Runtime,
}

impl<'a> World<'a> {
    pub fn new(case: Case, sshd: &'a Sshd) -> Result<Self, Broken> {
        let mut home = Home::new().map_err(|error| error.to_string())?;
        home.set_env("MUSTER_SSH_CONFIG", sshd.ssh_config());
        // As many workers as threads make the servers slower, and there are many at a time.
        home.set_env("TOKIO_WORKER_THREADS", "2");
        let world = Self {
            case,
            home,
            sshd,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| error.to_string())?,
        };
        fs::create_dir(world.written()).map_err(|error| error.to_string())?;
        Ok(world)
    }

    /// The folder in which commands write down what they do.
    pub fn written(&self) -> PathBuf {
        self.home.path().join("written")
    }

    /// What stands in the commands of all tasks of this case, and of no other's.
    pub fn tags(&self) -> String {
        format!("{}-{}-{}", self.case.point, self.case.seed, std::process::id())
    }

    fn gate(&self) -> PathBuf {
        self.home.path().join("gate")
    }

    /// The file that a process makes when it dies at its point.
    pub fn mark(&self) -> PathBuf {
        self.home.path().join("crashed")
    }

    /// The log of the servers.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.home.runtime_dir().join("muster/server.log"));
        log.unwrap_or_else(|error| error.to_string())
    }

    /// Returns a command of the binary at `program`.
    pub fn command_of(&self, program: impl AsRef<Path>, args: &[&str]) -> Command {
        let mut command = self.home.command(program.as_ref());
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Returns a command of the binary under test.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_of(crate::MUSTER, args)
    }

    /// Returns a command that dies at the case's point, or whose server does.
    pub fn doomed(&self, args: &[&str]) -> Command {
        self.doom(self.command(args))
    }

    pub fn doom(&self, mut command: Command) -> Command {
        let Case { point, passing, .. } = self.case;
        let mark = self.mark();
        command.env(crash::VARIABLE, format!("{point}:{passing}:{}", mark.display()));
        if self.case.course == crate::case::Course::Idle {
            // Long enough for whoever has started it to come.
            command.env("MUSTER_IDLE_EXIT", "1s");
        }
        command
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub fn succeeds(&self, mut command: Command) -> Result<String, Broken> {
        let output = run(&mut command)?;
        match output.status.code() {
            Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            _ => Err(format!("{command:?} failed: {output:?}")),
        }
    }

    /// Has the next command start a server, where there is none.
    pub fn recover(&self) -> Result<(), Broken> {
        self.succeeds(self.command(&["tasks"])).map(drop)
    }

    /// Lets the commands go that wait.
    pub fn open_gate(&self) -> Result<(), Broken> {
        fs::write(self.gate(), "").map_err(|error| error.to_string())
    }

    /// What a command does on its hosts: writes down that it begins, fails as often as it is to, prints, waits
    /// where it is gated, and writes down that it ends.
    pub fn script(&self, tag: &str, fails: u32, lines: u32, gated: bool) -> String {
        let wait = match gated {
            true => format!("while [ ! -e {} ]; do sleep 0.1; done; ", self.gate().display()),
            false => String::new(),
        };
        format!(
            ": {tag}; set -- $SSH_CONNECTION; f={}/{tag}.${{3:-localhost}}; echo \"begin $$\" >> $f; \
             [ $(grep -c begin $f) -gt {fails} ] || exit 3; \
             seq 1 {lines}; {wait}echo end >> $f",
            self.written().display(),
        )
    }

    /// Asks the server.
    pub fn ask<T>(&self, question: impl AsyncFnOnce(Client) -> Result<T, Problem>) -> Result<T, Problem> {
        let socket = self.home.runtime_dir().join("muster/server.sock");
        let client = Client::new(Address::Unix(socket), env!("CARGO_PKG_VERSION"));
        self.runtime.block_on(question(client))
    }

    /// Asks the server, which must answer.
    pub fn answer<T>(&self, question: impl AsyncFnOnce(Client) -> Result<T, Problem>) -> Result<T, Broken> {
        self.ask(question).map_err(|problem| format!("{problem:?}"))
    }

    /// The task whose command has this tag.
    pub fn task_of(&self, tag: &str) -> Result<Option<TaskView>, Broken> {
        let query = TasksQuery {
            text: Some(format!(": {tag};")),
            ..TasksQuery::default()
        };
        let page = self.answer(async |client| client.tasks(&query).await)?;
        let mut found: Vec<TaskView> = page.tasks.into_iter().map(|listing| listing.task).collect();
        if found.len() > 1 {
            return Err(format!("one request made several tasks: {found:#?}"));
        }
        Ok(found.pop())
    }

    /// A task and all its runs with their whole output.
    pub fn read(&self, id: TaskId) -> Result<(TaskView, Vec<RunEntry>), Broken> {
        let query = RunsQuery {
            output_limit: Some(1 << 26),
            ..RunsQuery::default()
        };
        self.answer(async |client| Ok((client.task(id).await?, client.runs(id, &query).await?.runs)))
    }

    /// Kills or stops the server, and returns when it is gone.
    pub fn end_server(&self, killed: bool) -> Result<(), Broken> {
        let pid = self.answer(async |client| client.server().await)?.pid;
        let signal = if killed { Signal::SIGKILL } else { Signal::SIGTERM };
        send(pid, signal)?;
        self.until("the server to be gone", || (!proc::is_alive(pid)).then_some(()))
    }

    pub fn until<T>(&self, what: &str, condition: impl FnMut() -> Option<T>) -> Result<T, Broken> {
        wait::blocking(PATIENCE, what, condition).map_err(|error| error.to_string())
    }
}

pub fn send(pid: u32, signal: Signal) -> Result<(), Broken> {
    let pid = i32::try_from(pid).map_err(|error| error.to_string())?;
    kill(Pid::from_raw(pid), signal).map_err(|error| format!("{signal} to {pid}: {error}"))
}

pub fn run(command: &mut Command) -> Result<Output, Broken> {
    command
        .output()
        .map_err(|error| format!("{command:?} did not start: {error}"))
}
