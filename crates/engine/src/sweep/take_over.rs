//! Takes over what a dead process has left: its tasks are dispatched here, and what it had started is
//! lost, or tried again where the task allows it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use muster_model::{
    ExecutorId, Outcome, Problem, RunKey, RunState, TaskId, TaskRecord, Timestamp, Transition,
};
use muster_runtime::{clock, crash_point};
use muster_store::{ExecutorRecord, OpenRun};

use super::lease::Duty;
use crate::core::Core;
use crate::fault;
use crate::settle::again_or_settle;

/// How often the folder of locks is looked at while others are about.
const WHILE_OTHERS: Duration = Duration::from_secs(2);
/// How often it is looked at otherwise: one listing of one small folder.
const ALONE: Duration = Duration::from_secs(30);

impl Core {
    /// Sweeps once now; returns what went wrong, if the database cannot be read.
    pub(crate) async fn sweep(self: &Arc<Self>) -> Result<(), Problem> {
        crash_point!(SweepBegun);
        let store = &self.rooms.database.store;
        let executors = store.executors().await.map_err(|error| fault::of_store(&error))?;
        let known: HashMap<ExecutorId, ExecutorRecord> = executors
            .into_iter()
            .map(|executor| (executor.id.clone(), executor))
            .collect();
        let now = clock::now();
        for (task, dispatcher) in store
            .open_tasks()
            .await
            .map_err(|error| fault::of_store(&error))?
        {
            // One task that cannot be read does not hold the others up.
            if let Err(problem) = self.sweep_task(task, &dispatcher, &known, now).await {
                if !self.met_away(&problem) {
                    tracing::warn!(%task, %problem, "a task could not be taken over yet");
                }
                self.lease.sweep_again();
            }
        }
        for id in known.keys() {
            if *id != self.me && self.is_dead(id, Duty::Execute, &known, now) {
                store
                    .forget_executor(id)
                    .await
                    .map_err(|error| fault::of_store(&error))?;
                crash_point!(DeadForgotten);
            }
        }
        Ok(())
    }

    async fn sweep_task(
        self: &Arc<Self>,
        task: TaskId,
        dispatcher: &ExecutorId,
        known: &HashMap<ExecutorId, ExecutorRecord>,
        now: Timestamp,
    ) -> Result<(), Problem> {
        if *dispatcher != self.me {
            if !self.is_dead(dispatcher, Duty::Dispatch, known, now) {
                return Ok(());
            }
            let adopted = self.rooms.database.store.adopt(task, dispatcher, &self.me).await;
            if !adopted.map_err(|error| fault::of_store(&error))? {
                return Ok(());
            }
            crash_point!(TaskAdopted);
            self.lease.note_adoption(task);
        }
        self.bury(task, known, now).await?;
        if self.lease.is_adopting(task) {
            self.lease.hold(self).await?;
            let record = self.task(task).await?;
            let live = self.load(record).await?;
            // It may have been known here before, as somebody watched it.
            self.reconcile(&live).await?;
            tracing::info!(%task, "took a task over");
            self.dispatch(live);
            crash_point!(TaskTakenOver);
            self.lease.end_adoption(task);
        }
        Ok(())
    }

    /// Sweeps again whenever another process has come or gone. `seen` are the others that there were
    /// before the first sweep.
    pub(crate) async fn keep_sweeping(self: Arc<Self>, mut seen: Vec<ExecutorId>) {
        loop {
            let wait = if self.lease.others().is_empty() {
                ALONE
            } else {
                WHILE_OTHERS
            };
            tokio::select! {
                () = clock::sleep(wait) => {}
                () = self.tasks.intake().cancelled() => return,
            }
            let others = self.lease.others();
            let died = others.iter().any(|other| {
                self.lease.is_dead(other, Duty::Execute) || self.lease.is_dead(other, Duty::Dispatch)
            });
            if (others != seen || died || self.lease.must_sweep())
                && let Err(problem) = self.sweep().await
            {
                if !self.met_away(&problem) {
                    tracing::warn!(%problem, "the sweep has to be tried again");
                }
                self.lease.sweep_again();
                continue;
            }
            if others.is_empty() && !self.lease.alone() {
                // What the others did last is read before nobody looks for it any more.
                for live in self.hub.open() {
                    if let Err(problem) = self.reconcile(&live).await
                        && !self.met_away(&problem)
                    {
                        tracing::warn!(task = %live.id(), %problem, "the task could not be read");
                    }
                }
            }
            self.lease.set_alone(others.is_empty());
            // Not a newer list: who left during the sweep was taken for alive by it.
            seen = others;
        }
    }

    fn is_dead(
        &self,
        id: &ExecutorId,
        duty: Duty,
        known: &HashMap<ExecutorId, ExecutorRecord>,
        now: Timestamp,
    ) -> bool {
        match known.get(id) {
            Some(other) if other.home != self.lease.home() => {
                other.until < now && self.lease.has_run_out(id, other.until, self.outage.times())
            }
            _ => self.lease.is_dead(id, duty),
        }
    }

    /// Settles the runs of a task that dead executors had started.
    async fn bury(
        self: &Arc<Self>,
        task: TaskId,
        known: &HashMap<ExecutorId, ExecutorRecord>,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let store = &self.rooms.database.store;
        let record = self.task(task).await?;
        let mut from = 0;
        loop {
            let open = store
                .open_runs(task, from, 5_000)
                .await
                .map_err(|error| fault::of_store(&error))?;
            let Some(last) = open.last() else { return Ok(()) };
            from = last.key.index + 1;
            let lost: Vec<&OpenRun> = open
                .iter()
                .filter(|run| run.state == RunState::Started && self.has_lost(run, known, now))
                .collect();
            let mut changes = Vec::with_capacity(lost.len());
            for run in &lost {
                changes.push(self.loss_of(run, &record).await);
            }
            if changes.is_empty() {
                continue;
            }
            let applied = self
                .commit(&changes)
                .await
                .map_err(|error| fault::of_store(&error))?;
            crash_point!(LossWritten);
            tracing::info!(%task, runs = applied.len(), "a process died while it ran commands");
        }
    }

    fn has_lost(&self, run: &OpenRun, known: &HashMap<ExecutorId, ExecutorRecord>, now: Timestamp) -> bool {
        run.executor
            .as_ref()
            .is_none_or(|id| *id != self.me && self.is_dead(id, Duty::Execute, known, now))
    }

    async fn loss_of(&self, run: &OpenRun, task: &TaskRecord) -> Transition {
        let why = format!(
            "the server process died while the command was running: how it ended is not known. \
             `muster retry {}` runs it again",
            run.key.task
        );
        let mut outcome = Outcome::plain(RunState::Lost, Some(why));
        let (out, err) = self.written_by(run.key, run.attempt).await;
        outcome.stdout_bytes = out;
        outcome.stderr_bytes = err;
        Transition {
            run: run.key,
            attempt: run.attempt,
            at: clock::now(),
            change: again_or_settle(
                &task.options,
                run.attempt,
                task.cancelled_at.is_some(),
                outcome,
                None,
            ),
        }
    }

    /// Counts what is kept of the output of a lost run.
    async fn written_by(&self, run: RunKey, attempt: u32) -> (u64, u64) {
        let (mut out, mut err, mut offset) = (0, 0, 0);
        while let Ok(mut log) = crate::follow::read_log(self, run, attempt, offset, 1024 * 1024).await {
            let before = log.len();
            let Ok(frames) = crate::follow::decode(&mut log, run) else {
                break;
            };
            if frames.is_empty() {
                break;
            }
            offset += (before - log.len()) as u64;
            for frame in frames {
                match frame.stream {
                    muster_model::Stream::Stdout => out += frame.bytes.len() as u64,
                    muster_model::Stream::Stderr => err += frame.bytes.len() as u64,
                }
            }
        }
        (out, err)
    }
}
