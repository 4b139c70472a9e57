//! One attempt of one run, from the delivery to the settled result.
//!
//! Until the start is durable, nothing runs on the host and the work can be put back. From then on the
//! run ends in this process, or is lost with it.

use std::sync::Arc;
use std::time::Duration;

use muster_model::run::Change;
use muster_model::{Outcome, Problem, RunState, TaskId, Transition};
use muster_runtime::{Backoff, clock, crash_point};
use muster_store::Applied;
use tracing::Instrument;

use super::claim::Claim;
use super::reach::Reached;
use super::take::Receipt;
use crate::core::Core;
use crate::dispatch::Work;
use crate::follow::LiveTask;
use crate::settle::again_or_settle;
use crate::steps;
use crate::sweep::Standing;

impl Core {
    /// Carries out one attempt of one run.
    pub(super) async fn execute(self: &Arc<Self>, work: Work, receipt: Receipt) {
        let mut claim = match Claim::take(self, work) {
            Ok(claim) => claim,
            Err(true) => return receipt.ack().await,
            // The one in hand may still be put back, and its delivery may be void by then: this one is kept for that.
            Err(false) => {
                self.before_another_try().await;
                return receipt.put_back().await;
            }
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
        let standing = self.lease.standing();
        if !standing.holds() {
            // Others may be burying this server: what it started now would be lost.
            drop(session);
            self.before_another_try().await;
            return receipt.put_back().await;
        }
        crash_point!(Connected);
        let starting = self.mark_started(&standing, work, receipt);
        let started = starting.instrument(steps::start()).await;
        claim.set_started(started);
        if started {
            crash_point!(StartAcknowledged);
            // The write may have taken long. A lease that was renewed since proves that the run is ours still.
            let (change, has_log) = if standing.secured(self.tasks.work()).await {
                let since = clock::monotonic();
                let carried =
                    Box::pin(self.carry_out(&standing, &live, work, session.as_mut(), sudo_password))
                        .instrument(steps::exec())
                        .await;
                self.meter
                    .run_seconds
                    .took(clock::monotonic().saturating_sub(since));
                carried
            } else {
                // Nothing of it has reached the host: whoever is there carries out the next attempt.
                let why = "not started: the server was stopped, or others had taken over what it had in hand";
                let cancelled = live.cancel.is_cancelled();
                let state = if cancelled {
                    RunState::Cancelled
                } else {
                    RunState::Unreachable
                };
                let outcome = Outcome::plain(state, Some(why.to_owned()));
                let change = match cancelled {
                    true => Change::Settle {
                        outcome,
                        output: None,
                    },
                    false => Change::Again { outcome },
                };
                (change, false)
            };
            let is_last = matches!(change, Change::Settle { .. });
            self.settle(work, change, None).await;
            claim.set_started(false);
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

    /// Returns the task of a run. One that is dispatched elsewhere is read here with all its runs: once, for all those of
    /// them that come at the same moment.
    async fn live(&self, id: TaskId) -> Result<Option<Arc<LiveTask>>, Problem> {
        match self.hub.find(id) {
            Some(live) => Ok(Some(live)),
            None => self.loading.ask(&id, self.read_live(id)).await,
        }
    }

    async fn read_live(&self, id: TaskId) -> Result<Option<Arc<LiveTask>>, Problem> {
        if let Some(live) = self.hub.find(id) {
            return Ok(Some(live));
        }
        let task = self.task(id).await?;
        if task.finished_at.is_some() {
            return Ok(None);
        }
        self.load(task).await.map(Some)
    }

    /// Writes the start down, then acknowledges the delivery; false where the start was refused (another has
    /// it, or the task stopped).
    async fn mark_started(self: &Arc<Self>, standing: &Standing, work: Work, receipt: Receipt) -> bool {
        let change = Change::Start {
            executor: standing.id.clone(),
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
                self.is_started_here(standing, work).await
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
    async fn is_started_here(self: &Arc<Self>, standing: &Standing, work: Work) -> bool {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match self.rooms.database.store.run(work.run).await {
                Ok(run) => {
                    return run.is_some_and(|run| {
                        run.state == RunState::Started
                            && run.attempt == work.attempt
                            && run.executor.as_ref() == Some(&standing.id)
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

    /// Commits how an attempt ended, and acknowledges the delivery where that is still to be done.
    async fn settle(self: &Arc<Self>, work: Work, change: Change, receipt: Option<Receipt>) {
        let again = match &change {
            Change::Again { outcome } => Some(outcome.state),
            _ => None,
        };
        steps::note_end(&change);
        let transition = Transition {
            run: work.run,
            attempt: work.attempt,
            at: clock::now(),
            change,
        };
        let committing = self.commit_one(transition, receipt);
        match committing.instrument(steps::settle()).await {
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

/// Returns how long to wait before an attempt: doubling from a second to a minute.
pub(crate) fn wait_before(attempt: u32) -> Duration {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    let mut wait = Duration::ZERO;
    for _ in 1..attempt.min(10) {
        wait = backoff.step();
    }
    wait
}
