//! One attempt of one run, from the delivery to the settled result.
//!
//! Until the start is durable, nothing runs on the host and the work can be put back. From then on the
//! run ends in this process, or is lost with it.

use std::sync::Arc;
use std::time::Duration;

use muster_model::problem::Code;
use muster_model::run::Change;
use muster_model::{
    Endpoint, ErrorKind, Kind, Options, Outcome, Problem, Reach, RunState, Secret, TaskId, Transition,
    Unreachable, limits,
};
use muster_runtime::{Backoff, CancellationToken, clock, crash_point};
use muster_store::Applied;
use muster_transport::{Exec, ExecEvent, Exit, Killer, Running, Session};

use super::access::{access, exec, secret_is_gone, sudo_password};
use super::collect::Collector;
use super::take::Receipt;
use crate::core::Core;
use crate::dispatch::Work;
use crate::fault;
use crate::follow::LiveTask;
use crate::settle::again_or_settle;
use crate::vault::Handle;

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
}

impl Reason {
    fn words(self) -> &'static str {
        match self {
            Self::TimedOut => "it ran out of time",
            Self::Cancelled => "it was cancelled",
            Self::Stopping => "the server was stopped",
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
    /// Carries out one attempt of one run.
    pub(super) async fn execute(self: &Arc<Self>, work: Work, receipt: Receipt) {
        let Some(mut claim) = Claim::take(self, work) else {
            return receipt.ack().await;
        };
        let live = match self.live(work.run.task).await {
            Ok(Some(live)) => live,
            Ok(None) => return receipt.ack().await,
            Err(problem) => {
                if !self.met_away(&problem) {
                    tracing::warn!(run = %work.run, %problem, "the task of a run could not be read");
                }
                self.before_another_try().await;
                return receipt.put_back().await;
            }
        };
        // A message may come again after its run went on; the store would refuse the start anyway. One of an
        // attempt that this process has not heard of yet is no such message.
        if live.is_over(work.run.index, work.attempt) && live.is_whole() {
            return receipt.ack().await;
        }
        if let Some(stop) = self.stopped(&live) {
            let outcome = self.stop_outcome(&live, stop);
            self.settle(work, Change::Withdraw { outcome }, Some(receipt))
                .await;
            return;
        }
        let (mut session, sudo_password) = match Box::pin(self.reach(&live, work)).await {
            Reached::Session(session, sudo_password) => (session, sudo_password),
            Reached::Over(outcome) => {
                let cancelled = live.cancel.is_cancelled();
                let change = again_or_settle(&live.record.options, work.attempt, cancelled, outcome, None);
                self.settle(work, change, Some(receipt)).await;
                return;
            }
            Reached::Withdrawn(outcome) => {
                // Another executor may have started it after a second delivery.
                self.settle(work, Change::Withdraw { outcome }, Some(receipt))
                    .await;
                return;
            }
            Reached::PutBack => return receipt.put_back().await,
            Reached::Later => {
                self.before_another_try().await;
                return receipt.put_back().await;
            }
        };
        if self.tasks.intake().is_cancelled() {
            return receipt.put_back().await;
        }
        crash_point!(Connected);
        claim.started = self.mark_started(work, receipt).await;
        if claim.started {
            crash_point!(StartAcknowledged);
            let since = clock::monotonic();
            let (change, has_log) =
                Box::pin(self.carry_out(&live, work, session.as_mut(), sudo_password)).await;
            self.meter
                .run_seconds
                .took(clock::monotonic().saturating_sub(since));
            let is_last = matches!(change, Change::Settle { .. });
            self.settle(work, change, None).await;
            claim.started = false;
            if has_log && is_last {
                self.finish_log(work).await;
            }
        }
    }

    /// Waits before a run is handed out again that needs the database, which is away.
    async fn before_another_try(&self) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
        tokio::select! {
            () = self.pause(&mut backoff) => {}
            () = self.tasks.intake().cancelled() => {}
        }
    }

    async fn live(&self, id: TaskId) -> Result<Option<Arc<LiveTask>>, Problem> {
        if let Some(live) = self.hub.find(id) {
            return Ok(Some(live));
        }
        let task = self.task(id).await?;
        if task.finished_at.is_some() {
            return Ok(None);
        }
        self.load(task).await.map(Some)
    }

    /// Connects; nothing is started on the host.
    async fn reach(self: &Arc<Self>, live: &LiveTask, work: Work) -> Reached {
        let options = &live.record.options;
        let times = self.outage.times();
        let secrets = self.secrets(live.id());
        if secret_is_gone(options, &secrets) {
            let again = format!(
                "the password of this task was held by an earlier server process alone, and is gone: \
                 `muster retry {} --ask-password` (or --ask-sudo-password, --ask-passphrase) asks again",
                live.id()
            );
            return Reached::Over(Outcome::unreachable(Unreachable::SecretGone, again));
        }
        let Some(host) = live.hosts.get(work.run.index as usize) else {
            let why = "a message names a host that the task does not have".to_owned();
            return Reached::Over(Outcome::unreachable(Unreachable::Settings, why));
        };
        let credential = match self.credential_of(options, &host.endpoint).await {
            Ok(credential) => credential,
            Err(problem) if self.met_away(&problem) => return Reached::Later,
            Err(problem) => {
                let why = format!("{}: {}", host.name, problem.detail);
                return Reached::Over(Outcome::unreachable(Unreachable::Credential, why));
            }
        };
        let sudo_password = match sudo_password(options, secrets.sudo_password.clone(), credential.as_ref()) {
            Ok(password) => password,
            Err(problem) => {
                return Reached::Over(Outcome::unreachable(Unreachable::Credential, problem.detail));
            }
        };
        let access = access(options, &secrets, credential.as_ref());
        tokio::select! {
            biased;
            () = self.tasks.intake().cancelled() => Reached::PutBack,
            () = live.cancel.cancelled() => Reached::Withdrawn(Outcome::plain(RunState::Cancelled, None)),
            connected = self.rooms.transport.connect(&host.endpoint, &access) => match connected {
                Ok(session) => Reached::Session(session, sudo_password),
                // It may be the host's key that could not be read or kept: that is not the host's fault.
                Err(error) if error.reason == Unreachable::Settings && self.was_away_since(times).await => {
                    Reached::Later
                }
                Err(error) => Reached::Over(Outcome::unreachable(error.reason, error.message)),
            },
        }
    }

    /// Tells whether the database is away, or has gone away since it had so many `times`.
    async fn was_away_since(self: &Arc<Self>, times: u64) -> bool {
        if self.outage.is_on() || self.outage.times() > times {
            return true;
        }
        match self.rooms.database.store.ping().await {
            Ok(_) => false,
            Err(error) => self.found_away(&error),
        }
    }

    /// Returns the credential for a host; None where neither the task nor the host names one, or where it has no use.
    async fn credential_of(
        &self,
        options: &Options,
        endpoint: &Endpoint,
    ) -> Result<Option<Arc<Handle>>, Problem> {
        let Some(name) = options.credential.as_ref().or(endpoint.credential.as_ref()) else {
            return Ok(None);
        };
        if endpoint.reach == Reach::Local && options.sudo.is_none() {
            return Ok(None);
        }
        match self.vault.find(name.as_str()).await {
            Ok(Some(handle)) => Ok(Some(handle)),
            Ok(None) => Err(Problem::new(
                Code::UnknownCredential,
                format!(
                    "there is no credential '{name}': `muster credentials add {name}` makes it, \
                     `--credential NAME` names another"
                ),
            )),
            Err(problem) => Err(problem),
        }
    }

    /// Writes the start down, then acknowledges the delivery; false where the start was refused (another has
    /// it, or the task stopped).
    async fn mark_started(self: &Arc<Self>, work: Work, receipt: Receipt) -> bool {
        let change = Change::Start {
            executor: self.me.clone(),
        };
        let transition = Transition {
            run: work.run,
            attempt: work.attempt,
            at: clock::now(),
            change,
        };
        match self.commit_one(transition, Some(receipt)).await {
            Ok(Applied::Yes { .. }) => true,
            Ok(Applied::No(refused)) if refused.state == RunState::Started => {
                // The claim is ours alone in this process: a start by this process is the one whose answer
                // was lost on the way.
                self.is_started_here(work).await
            }
            // Another delivery of the same run was first, or the task stopped.
            Ok(_) => false,
            Err(error) => {
                tracing::error!(run = %work.run, %error, "a start could not be written: not started");
                false
            }
        }
    }

    /// Tells whether the database has a run as started by this process; asks until it answers.
    async fn is_started_here(self: &Arc<Self>, work: Work) -> bool {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match self.rooms.database.store.run(work.run).await {
                Ok(run) => {
                    return run.is_some_and(|run| {
                        run.state == RunState::Started
                            && run.attempt == work.attempt
                            && run.executor.as_ref() == Some(&self.me)
                    });
                }
                Err(error) if self.found_away(&error) => {}
                Err(error) => tracing::warn!(run = %work.run, %error, "a start could not be read back yet"),
            }
            tokio::select! {
                () = self.pause(&mut backoff) => {}
                () = self.tasks.work().cancelled() => return false,
            }
        }
    }

    /// Runs the command and returns the change that settles it, and whether the output log has something of it.
    async fn carry_out(
        self: &Arc<Self>,
        live: &LiveTask,
        work: Work,
        session: &mut dyn Session,
        sudo_password: Option<Secret>,
    ) -> (Change, bool) {
        let options = &live.record.options;
        let command = exec(live, work, &self.me.0, sudo_password.as_ref());
        let mut output = Collector::new(Arc::clone(self), work.run, work.attempt, options.max_output);
        let until = options
            .timeout
            .map(|timeout| clock::monotonic().saturating_add(timeout));
        let ended = match self.start(live, session, command, until).await {
            Ok(mut running) => self.attend(live, running.as_mut(), &mut output, until).await,
            Err(error) => {
                let why = fault::chain(&error);
                let state = match error.kind {
                    ErrorKind::OutcomeUnknown => RunState::Lost,
                    _ => RunState::Failed,
                };
                let outcome = Outcome::plain(state, Some(why));
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
            Reason::Stopping => live.record.options.kill_grace.min(limits::KILL_GRACE),
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

    /// Commits how an attempt ended, and acknowledges the delivery where that is still to be done.
    async fn settle(self: &Arc<Self>, work: Work, change: Change, receipt: Option<Receipt>) {
        let again = match &change {
            Change::Again { outcome } => Some(outcome.state),
            _ => None,
        };
        let transition = Transition {
            run: work.run,
            attempt: work.attempt,
            at: clock::now(),
            change,
        };
        match self.commit_one(transition, receipt).await {
            // Whoever dispatches the task hears of the next attempt and hands it out: also when this process
            // is no more by then.
            Ok(Applied::Yes { .. }) if again.is_some_and(|state| state != RunState::Unreachable) => {
                self.discard(work).await;
            }
            Ok(Applied::Yes { .. }) => {}
            Ok(other) => tracing::debug!(run = %work.run, ?other, "a result came after the run had ended"),
            Err(error) => tracing::error!(run = %work.run, %error, "a result could not be written"),
        }
    }

    /// Says that nothing more comes to the output log of a run that has ended.
    async fn finish_log(&self, work: Work) {
        let finished = self.rooms.database.outputs.finish(work.run, work.attempt).await;
        if let Err(error) = finished {
            // It takes more room than it would have to, until its task is removed.
            tracing::debug!(run = %work.run, %error, "the output of a run is not kept with that of others");
        }
    }

    /// Lets the output of an attempt go that was not the last one.
    async fn discard(&self, work: Work) {
        let discarded = self.rooms.database.outputs.discard(work.run, work.attempt).await;
        if let Err(error) = discarded {
            tracing::debug!(run = %work.run, %error, "the output of an earlier attempt is still there");
        }
        crash_point!(AttemptDiscarded);
    }
}

/// An attempt of a run in this process's hands. Dropped while the run is started and not settled (its
/// task panicked), it settles that run alone as lost.
struct Claim {
    core: Arc<Core>,
    work: Work,
    started: bool,
}

impl Claim {
    fn take(core: &Arc<Core>, work: Work) -> Option<Self> {
        core.claim(work.run, work.attempt).then(|| Self {
            core: Arc::clone(core),
            work,
            started: false,
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.core.unclaim(self.work.run, self.work.attempt);
        if self.started {
            let core = Arc::clone(&self.core);
            let work = self.work;
            self.core.tasks.spawn("settle a dropped run", async move {
                let why = "a fault in Muster ended its watch over the command: see the server's log";
                let outcome = Outcome::plain(RunState::Lost, Some(why.to_owned()));
                let change = Change::Settle {
                    outcome,
                    output: None,
                };
                let lost = Transition {
                    run: work.run,
                    attempt: work.attempt,
                    at: clock::now(),
                    change,
                };
                if let Err(error) = core.commit(&[lost]).await {
                    tracing::error!(run = %work.run, %error, "a dropped run could not be settled");
                }
            });
        }
    }
}

enum Reached {
    /// Logged in; with the password that sudo will ask for.
    Session(Box<dyn Session>, Option<Secret>),
    /// It ends here, before anything was started.
    Over(Outcome),
    /// Its task was cancelled.
    Withdrawn(Outcome),
    /// This process takes no new work.
    PutBack,
    /// The database is away, and something of it is needed.
    Later,
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

/// Returns how long to wait before an attempt: doubling from a second to a minute.
pub(crate) fn wait_before(attempt: u32) -> Duration {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    let mut wait = Duration::ZERO;
    for _ in 1..attempt.min(10) {
        wait = backoff.step();
    }
    wait
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
        Ended::Killed(Reason::Stopping) => Outcome::plain(
            RunState::Cancelled,
            Some("killed: the server was stopped".to_owned()),
        ),
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
