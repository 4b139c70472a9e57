//! A started command: its output, its end, and how it is ended before that.

use std::sync::Arc;
use std::time::Duration;

use muster_model::run::Change;
use muster_model::{ErrorKind, Kind, Outcome, RunState, Secret, limits};
use muster_runtime::{CancellationToken, clock, crash_point};
use muster_transport::{Exec, ExecEvent, Exit, Killer, Running, Session};
use tracing::Span;

use super::access::exec;
use super::collect::Collector;
use crate::core::Core;
use crate::dispatch::Work;
use crate::fault;
use crate::follow::LiveTask;
use crate::settle::again_or_settle;
use crate::steps;
use crate::sweep::Standing;

/// How long a host may still take to say that a command runs which is to be ended.
const TO_START: Duration = Duration::from_secs(5);

/// How long a killed command's channel may take to close.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// Why a started command is ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    TimedOut,
    Cancelled,
    Stopping,
    /// Other servers have given this one up: the run is no longer its own.
    Fenced,
}

impl Reason {
    fn words(self) -> &'static str {
        match self {
            Self::TimedOut => "it ran out of time",
            Self::Cancelled => "it was cancelled",
            Self::Stopping => "the server was stopped",
            Self::Fenced => "other servers had given this one up",
        }
    }
}

/// How a started command ended.
enum Ended {
    Exited(Exit),
    Broken(String),
    Killed(Reason),
    /// It was to be ended, and something of it may be left.
    NotKilled(Reason, String),
}

impl Core {
    /// Runs the command and returns the change that settles it, and whether the output log has something of it.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        standing: &Standing,
        live: &LiveTask,
        work: Work,
        session: &mut dyn Session,
        sudo_password: Option<Secret>,
    ) -> (Change, bool) {
        let options = &live.record.options;
        let command = exec(live, work, &standing.id.0, sudo_password.as_ref());
        let mut output = Collector::new(Arc::clone(self), work.run, work.attempt, options.max_output);
        let until = options
            .timeout
            .map(|timeout| clock::monotonic().saturating_add(timeout));
        let ended = match self.start(standing, live, session, command, until).await {
            Ok(mut running) => {
                self.attend(standing, live, running.as_mut(), &mut output, until)
                    .await
            }
            Err(error) => {
                let why = fault::chain(&error);
                let state = match error.kind {
                    ErrorKind::OutcomeUnknown => RunState::Lost,
                    _ => RunState::Failed,
                };
                let outcome = Outcome::plain(state, Some(why));
                steps::note_outcome(&Span::current(), &outcome);
                let cancelled = live.cancel.is_cancelled();
                return (
                    again_or_settle(options, work.attempt, cancelled, outcome, None),
                    false,
                );
            }
        };
        crash_point!(CommandEnded);
        output.step(true).await;
        crash_point!(OutputFlushed);
        let has_log = output.has_log();
        output.take_back().await;
        let mut outcome = outcome_of(ended, &output, options.timeout);
        let inline = output.inline();
        if live.record.kind == Kind::Facts && outcome.state == RunState::Succeeded {
            // Kept before the run says that it succeeded.
            if let Err(why) = self.keep_facts(live, work, inline.as_ref()).await {
                outcome = Outcome {
                    state: RunState::Failed,
                    error: Some(why),
                    ..outcome
                };
            }
        }
        steps::note_outcome(&Span::current(), &outcome);
        let cancelled = live.cancel.is_cancelled();
        (
            again_or_settle(options, work.attempt, cancelled, outcome, inline),
            has_log,
        )
    }

    /// Starts the command. Where it is to be ended before the host has said that it runs, the host gets
    /// [`TO_START`] more: only a command that runs can be ended with all that it started.
    async fn start(
        &self,
        standing: &Standing,
        live: &LiveTask,
        session: &mut dyn Session,
        command: Exec,
        until: Option<Duration>,
    ) -> Result<Box<dyn Running>, muster_transport::Error> {
        let starting = session.start(command);
        tokio::pin!(starting);
        let why = tokio::select! {
            biased;
            started = &mut starting => return started,
            () = live.cancel.cancelled() => Reason::Cancelled,
            () = self.tasks.work().cancelled() => Reason::Stopping,
            () = standing.fenced.cancelled() => Reason::Fenced,
            () = reached(until) => Reason::TimedOut,
        };
        clock::deadline(TO_START, starting).await.unwrap_or_else(|_| {
            let what = format!(
                "{}, and the host has not said whether it has started",
                why.words()
            );
            Err(muster_transport::Error::new(ErrorKind::OutcomeUnknown, what))
        })
    }

    /// Reads what the command does until it ends, is cancelled or runs out of time.
    async fn attend(
        &self,
        standing: &Standing,
        live: &LiveTask,
        running: &mut dyn Running,
        output: &mut Collector,
        until: Option<Duration>,
    ) -> Ended {
        crash_point!(CommandSent);
        let deadline = reached(until);
        tokio::pin!(deadline);
        loop {
            // In this order: a command that never stops printing can still be ended.
            let event = tokio::select! {
                biased;
                () = live.cancel.cancelled() => {
                    return self.end(live, running, output, Reason::Cancelled).await;
                }
                () = &mut deadline => return self.end(live, running, output, Reason::TimedOut).await,
                () = self.tasks.work().cancelled() => {
                    return self.end(live, running, output, Reason::Stopping).await;
                }
                () = standing.fenced.cancelled() => {
                    return self.end(live, running, output, Reason::Fenced).await;
                }
                due = output.due() => {
                    output.go_on(due).await;
                    continue;
                }
                event = running.next(), if output.has_room() => event,
            };
            match event {
                Some(ExecEvent::Output { stream, bytes }) => {
                    crash_point!(OutputCame);
                    output.take(stream, &bytes).await;
                }
                Some(ExecEvent::Exited(exit)) => return Ended::Exited(exit),
                Some(ExecEvent::Broken { why }) => return Ended::Broken(why),
                None => return Ended::Broken("the connection ended without a word".to_owned()),
            }
        }
    }

    /// Ends the command with everything that it started; what it still prints is shown and kept as before.
    async fn end(
        &self,
        live: &LiveTask,
        running: &mut dyn Running,
        output: &mut Collector,
        reason: Reason,
    ) -> Ended {
        crash_point!(KillDue);
        let killer: Arc<dyn Killer> = running.killer();
        // A server that leaves does not wait for as long as a task may.
        let grace = match reason {
            Reason::Stopping | Reason::Fenced => live.record.options.kill_grace.min(limits::KILL_GRACE),
            Reason::TimedOut | Reason::Cancelled => live.record.options.kill_grace,
        };
        let (done, failed) = (CancellationToken::new(), CancellationToken::new());
        let kill = async {
            let killed = killer.kill(grace).await;
            if killed.is_ok() {
                crash_point!(Killed);
                done.cancel();
            } else {
                failed.cancel();
            }
            killed
        };
        // Beside each other, the kill first: a database that is slow with the output holds up no kill.
        let (killed, ()) = tokio::join!(kill, read_out(running, output, &done, &failed));
        if let Err(error) = killed {
            return Ended::NotKilled(reason, fault::chain(&error));
        }
        Ended::Killed(reason)
    }
}

/// Reads what a command that is being ended says: to its end, up to [`AFTER_KILL`] after the kill is done, or until
/// that has failed.
async fn read_out(
    running: &mut dyn Running,
    output: &mut Collector,
    done: &CancellationToken,
    failed: &CancellationToken,
) {
    let over = async {
        done.cancelled().await;
        clock::sleep(AFTER_KILL).await;
    };
    tokio::pin!(over);
    loop {
        // The time is for the host alone: what has come is taken, and a write that has begun is not cut off.
        let event = tokio::select! {
            biased;
            () = failed.cancelled() => return,
            due = output.due() => {
                output.go_on(due).await;
                continue;
            }
            event = running.next(), if output.has_room() => event,
            () = &mut over, if output.has_room() => {
                tracing::debug!("the channel of a killed command stayed open");
                return;
            }
        };
        match event {
            Some(ExecEvent::Output { stream, bytes }) => output.take(stream, &bytes).await,
            _ => return,
        }
    }
}

/// Waits for a moment of the process's own clock; None: for ever.
async fn reached(until: Option<Duration>) {
    match until {
        Some(until) => clock::sleep(until.saturating_sub(clock::monotonic())).await,
        None => std::future::pending().await,
    }
}

fn outcome_of(ended: Ended, output: &Collector, timeout: Option<Duration>) -> Outcome {
    let mut outcome = match ended {
        Ended::Exited(Exit::Code(0)) => Outcome::plain(RunState::Succeeded, None),
        Ended::Exited(Exit::Code(code)) => Outcome {
            exit_code: Some(code),
            ..Outcome::plain(RunState::Failed, None)
        },
        Ended::Exited(Exit::Signal(signal)) => Outcome {
            signal: Some(signal),
            ..Outcome::plain(RunState::Failed, None)
        },
        Ended::Broken(why) => {
            Outcome::plain(RunState::Lost, Some(format!("how it ended is not known: {why}")))
        }
        Ended::Killed(Reason::TimedOut) => Outcome::plain(
            RunState::TimedOut,
            timeout.map(|timeout| format!("it ran longer than {timeout:?} and was killed")),
        ),
        Ended::Killed(Reason::Cancelled) => Outcome::plain(RunState::Cancelled, None),
        Ended::Killed(reason @ Reason::Stopping) => {
            Outcome::plain(RunState::Cancelled, Some(format!("killed: {}", reason.words())))
        }
        // What whoever buried this server says of it as well.
        Ended::Killed(reason @ Reason::Fenced) => {
            Outcome::plain(RunState::Lost, Some(format!("killed: {}", reason.words())))
        }
        Ended::NotKilled(reason, why) => {
            let what = reason.words();
            let why = format!("{what}, and processes of it may be left on the host: {why}");
            Outcome::plain(RunState::Lost, Some(why))
        }
    };
    if outcome.state == RunState::Succeeded {
        outcome.exit_code = Some(0);
        if let Some(failure) = &output.failure {
            outcome.state = RunState::Failed;
            outcome.error = Some(failure.clone());
        }
    }
    outcome.stdout_bytes = output.stdout_bytes;
    outcome.stderr_bytes = output.stderr_bytes;
    outcome.truncated = output.truncated || output.failure.is_some();
    outcome
}
