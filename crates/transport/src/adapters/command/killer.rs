//! Ending a command with everything that it started, by a small program that runs on its host.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use muster_model::{ErrorKind, Stream};
use muster_runtime::clock;
use tokio::sync::Mutex;

use super::pipe::Reader;
use super::running::End;
use crate::adapters::shell::kill::{self, Outcome};
use crate::adapters::shell::{Launch, launch};
use crate::error::Error;
use crate::port::Killer;
use crate::types::{ExecEvent, KillReport, Sudo};

/// What a kill may take beyond the time of grace.
const BEYOND_GRACE: Duration = Duration::from_secs(15);

/// How long a command may take between its start and the moment at which its mark can be seen: the start files
/// of the login shell run before.
const PAUSE: Duration = Duration::from_millis(100);

/// After so long, a command that is not to be seen yet is killed by way of what started it.
const UNSEEN: Duration = Duration::from_secs(1);

/// A second way to the host of a command.
#[async_trait]
pub(crate) trait Side: Send + Sync {
    /// Runs a program beside the command, as the same user.
    async fn run(&self, launch: Launch) -> Result<Reader, Error>;

    /// Signals the first process of the command, where that goes without a program; `hard` for KILL, else TERM.
    async fn signal(&self, hard: bool);

    /// Stops following the command where it has not ended by itself.
    fn let_go(&self);
}

/// The killer of one command.
pub(crate) struct TreeKiller<S> {
    side: S,
    mark: String,
    sudo: Option<Sudo>,
    end: End,
    asked: AtomicBool,
    turn: Mutex<()>,
}

impl<S: Side> TreeKiller<S> {
    /// Returns the killer of the command with this mark.
    pub(crate) fn new(side: S, mark: String, sudo: Option<Sudo>, end: End) -> Self {
        Self {
            side,
            mark,
            sudo,
            end,
            asked: AtomicBool::new(false),
            turn: Mutex::new(()),
        }
    }

    async fn hunt(&self, grace: Duration) -> Result<KillReport, Error> {
        let program = kill::program(&self.mark, grace);
        let started = clock::monotonic();
        let mut signals = 0;
        loop {
            let (exited, over) = (self.end.has_exited(), self.end.is_over());
            let outcome = self.once(&program).await?;
            if !outcome.left.is_empty() {
                let left: Vec<String> = outcome.left.iter().take(20).map(u32::to_string).collect();
                return Err(Error::new(
                    ErrorKind::Denied,
                    format!(
                        "processes of the command are left that this user may not end: {}",
                        left.join(" ")
                    ),
                ));
            }
            let waited = clock::monotonic().saturating_sub(started);
            // Looked at before: what ended meanwhile may have started something that the program came too early for.
            // Where the connection broke on the way, the command may yet come to be seen.
            if outcome.seen || exited || (over && waited >= UNSEEN) {
                return Ok(outcome.report);
            }
            let (first, second) = (waited >= UNSEEN, waited >= UNSEEN + grace);
            if (signals == 0 && first) || (signals == 1 && second) {
                self.side.signal(signals == 1).await;
                signals += 1;
            }
            clock::sleep(PAUSE).await;
        }
    }

    async fn once(&self, program: &str) -> Result<Outcome, Error> {
        let mut said = self.say(program, self.sudo.as_ref()).await?;
        if kill::outcome(&said.stdout).is_none() && self.sudo.is_some() && self.end.has_exited() {
            // Sudo let the command in as little as it lets us in: nothing of it can run.
            said = self.say(program, None).await?;
        }
        kill::outcome(&said.stdout).ok_or_else(|| {
            let stderr = String::from_utf8_lossy(&said.stderr);
            let why: String = stderr.chars().filter(|c| !c.is_control()).take(300).collect();
            Error::new(
                ErrorKind::Unavailable,
                format!("ending the command's processes: the host says: {why}"),
            )
        })
    }

    async fn say(&self, program: &str, sudo: Option<&Sudo>) -> Result<Words, Error> {
        let mut reader = self.side.run(launch::own(program, sudo)?).await?;
        let mut words = Words::default();
        while let Some(event) = reader.next().await {
            match event {
                ExecEvent::Output { stream, bytes } => words.take(stream, &bytes),
                ExecEvent::Exited(_) => {}
                ExecEvent::Broken { why } => {
                    return Err(Error::new(
                        ErrorKind::OutcomeUnknown,
                        format!("ending the command's processes: {why}"),
                    ));
                }
            }
        }
        Ok(words)
    }
}

#[async_trait]
impl<S: Side + 'static> Killer for TreeKiller<S> {
    async fn kill(&self, grace: Duration) -> Result<KillReport, Error> {
        // What a command left behind stays once its end is told. A caller that asks before has not heard of the end, and
        // will say that the command was killed: then nothing of it may be left, also where it has exited meanwhile.
        if self.end.is_told() && !self.asked.load(Ordering::Acquire) {
            return Ok(KillReport::default());
        }
        self.asked.store(true, Ordering::Release);
        let work = async {
            let _turn = self.turn.lock().await;
            let report = self.hunt(grace).await?;
            // The end of the command is on its way; where it is not, nothing holds us any more.
            if clock::deadline(Duration::from_secs(2), self.end.over())
                .await
                .is_err()
            {
                self.side.let_go();
            }
            Ok(report)
        };
        clock::deadline(grace + BEYOND_GRACE, work)
            .await
            .unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::OutcomeUnknown,
                    "ending the command's processes took too long: some may be left",
                ))
            })
    }
}

/// What the program said, as far as it is of use.
#[derive(Default)]
struct Words {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Words {
    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let (kept, most) = match stream {
            Stream::Stdout => (&mut self.stdout, 64 * 1024),
            Stream::Stderr => (&mut self.stderr, 4 * 1024),
        };
        kept.extend_from_slice(bytes);
        // The last words count.
        let over = kept.len().saturating_sub(most);
        kept.drain(..over);
    }
}
