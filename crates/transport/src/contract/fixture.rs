//! What a case works with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use muster_model::{Endpoint, Stream};
use muster_runtime::clock;

use crate::port::{Running, Session, Transport};
use crate::types::{Access, Exec, ExecEvent, Exit, What};

/// How long anything that a case waits for may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is special about the server behind the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Nothing.
    Usual,
    /// It takes two sessions on a connection.
    TwoSessions,
    /// It takes no session at all.
    NoSessions,
    /// It hangs up on most of those who come while five logins are under way.
    Shy,
    /// Our side drops a connection that has had nothing to do for 200 ms.
    SoonIdle,
}

/// A look at the network side of the machine.
#[async_trait]
pub trait Network: Send + Sync {
    /// Breaks all connections; returns when they are broken.
    async fn cut(&self);
    /// Stops the machine from answering, without closing anything.
    fn freeze(&self);
    /// Lets it answer again.
    fn thaw(&self);
    /// Returns how many logins there have been.
    fn logins(&self) -> usize;
    /// Returns how many connections the server serves.
    fn serving(&self) -> usize;
}

/// A machine, a way to it, and eyes on it. Everything is the case's own.
#[derive(Clone)]
pub struct Fixture {
    /// The transport under test.
    pub transport: Arc<dyn Transport>,
    /// The machine.
    pub endpoint: Endpoint,
    /// How to log in to it.
    pub access: Access,
    /// The password of the user on it, where a case needs that.
    pub password: Option<String>,
    /// An empty folder on it.
    pub scratch: PathBuf,
    /// Finds its processes by the mark in their environment.
    pub marked: fn(&str) -> Vec<u32>,
    /// Tells whether a process of it lives.
    pub is_alive: fn(u32) -> bool,
    /// Its network, where it is reached by one.
    pub network: Option<Arc<dyn Network>>,
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// What a command did, to its end.
#[derive(Debug, Default)]
pub struct Ended {
    /// All of stdout.
    pub stdout: Vec<u8>,
    /// All of stderr.
    pub stderr: Vec<u8>,
    /// The last event.
    pub last: Option<ExecEvent>,
}

impl Ended {
    /// Returns stdout as text.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns stderr as text.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Returns the exit code.
    #[must_use]
    pub fn code(&self) -> i32 {
        match &self.last {
            Some(ExecEvent::Exited(Exit::Code(code))) => *code,
            other => panic!("no exit code: {other:?}; stderr: {}", self.err()),
        }
    }

    fn take(&mut self, event: ExecEvent) {
        match event {
            ExecEvent::Output { stream, bytes } => {
                assert!(!bytes.is_empty(), "output is never empty");
                assert_eq!(self.last, None, "nothing comes after the last event");
                match stream {
                    Stream::Stdout => self.stdout.extend_from_slice(&bytes),
                    Stream::Stderr => self.stderr.extend_from_slice(&bytes),
                }
            }
            last => assert_eq!(self.last.replace(last), None, "there is one last event"),
        }
    }
}

/// Returns a command with a mark of its own.
pub(super) fn command(text: &str) -> Exec {
    exec(What::Command(text.to_owned()))
}

/// Returns a script with a mark of its own.
pub(super) fn script(body: &str, args: &[&str]) -> Exec {
    exec(What::Script {
        name: "case.sh".to_owned(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
    })
}

fn exec(what: What) -> Exec {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Exec {
        what,
        mark: format!("{}.{number}.{:08x}", std::process::id(), rand::random::<u32>()),
        env: Vec::new(),
        cwd: None,
        sudo: None,
        stdin: None,
    }
}

/// Bounds a wait.
pub(super) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match clock::deadline(PATIENCE, work).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

impl Fixture {
    /// Opens a session.
    pub(super) async fn session(&self) -> Box<dyn Session> {
        within("a session", self.transport.connect(&self.endpoint, &self.access))
            .await
            .expect("connects")
    }

    /// Starts a command.
    pub(super) async fn start(&self, exec: Exec) -> Box<dyn Running> {
        let mut session = self.session().await;
        within("the start", session.start(exec)).await.expect("starts")
    }

    /// Runs a command to its end.
    pub(super) async fn run(&self, exec: Exec) -> Ended {
        let mut running = self.start(exec).await;
        to_the_end(running.as_mut()).await
    }

    /// Waits until a file in the scratch folder has `lines` whole lines; returns them.
    pub(super) async fn lines(&self, file: &str, lines: usize) -> Vec<String> {
        let path = self.scratch.join(file);
        within(&format!("{lines} lines in {file}"), async {
            loop {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                if text.ends_with('\n') && text.lines().count() >= lines {
                    return text.lines().map(str::to_owned).collect();
                }
                clock::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// Waits until a file has the numbers of `count` processes.
    pub(super) async fn pids(&self, file: &str, count: usize) -> Vec<u32> {
        let lines = self.lines(file, count).await;
        lines
            .iter()
            .map(|line| line.trim().parse().expect("is a pid"))
            .collect()
    }

    /// Starts a command that writes 64 MiB of zeros, and waits until it stands still because nobody reads them;
    /// returns it with how many MiB it could write.
    pub(super) async fn stalled(&self) -> (Box<dyn Running>, usize) {
        let progress = self.scratch.join("progress");
        let exec = command(&format!(
            "i=0; while [ $i -lt 64 ]; do head -c 1048576 /dev/zero; i=$((i + 1)); echo $i >>{}; done",
            progress.display()
        ));
        self.stands_still(exec).await
    }

    /// Starts a command that writes a line to the file `progress` for each MiB that it prints, and waits until it
    /// stands still because nobody reads; returns it with how many MiB it could write.
    pub(super) async fn stands_still(&self, exec: Exec) -> (Box<dyn Running>, usize) {
        let progress = self.scratch.join("progress");
        let running = self.start(exec).await;
        self.lines("progress", 1).await;
        let written = || {
            std::fs::read_to_string(&progress)
                .unwrap_or_default()
                .lines()
                .count()
        };
        let mut before = 0;
        within("the command to stand still", async {
            while before != written() {
                before = written();
                clock::sleep(Duration::from_secs(2)).await;
            }
        })
        .await;
        (running, before)
    }

    /// Waits until a condition holds.
    pub(super) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        within(what, async {
            while !holds() {
                clock::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// Reads a command up to the line that it prints first on stdout: what stands before it in the command is done.
pub(super) async fn until_said(running: &mut dyn Running, line: &str) {
    let wanted = format!("{line}\n");
    let mut said = Vec::new();
    within(&format!("the line '{line}'"), async {
        while said != wanted.as_bytes() {
            match running.next().await {
                Some(ExecEvent::Output {
                    stream: Stream::Stdout,
                    bytes,
                }) => said.extend_from_slice(&bytes),
                other => panic!("'{line}' did not come: {other:?}"),
            }
            assert!(wanted.as_bytes().starts_with(&said), "{said:?}");
        }
    })
    .await;
}

/// Reads a command to its end, and makes sure that nothing follows.
pub(super) async fn to_the_end(running: &mut dyn Running) -> Ended {
    let mut ended = Ended::default();
    within("the end of the command", async {
        while let Some(event) = running.next().await {
            ended.take(event);
        }
        assert_eq!(running.next().await, None, "the end stays the end");
    })
    .await;
    ended
}
