//! Takes over what a dead process has left: its tasks are dispatched here, and what it had started is
//! lost, or tried again where the task allows it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use muster_model::{
    ExecutorId, Outcome, Problem, RunKey, RunState, TaskId, TaskRecord, Timestamp, Transition,
};
use muster_runtime::{clock, crash_point};
use muster_store::{ExecutorRecord, Member, OpenRun};

use super::locks::Duty;
use crate::core::Core;
use crate::fault;
use crate::settle::again_or_settle;

/// How often the folder of locks is looked at while others are about.
const WHILE_OTHERS: Duration = Duration::from_secs(2);
/// How often it is looked at otherwise: one listing of one small folder.
const ALONE: Duration = Duration::from_secs(30);

/// The executors on record, by which the living and the dead are told apart.
enum Known {
    /// Of one machine, and of others by their leases.
    Executors(HashMap<ExecutorId, ExecutorRecord>),
    /// Of servers that look at each other all the time: who is dead among them was buried before. The second tells
    /// whether one of the dead has started runs.
    Members(HashMap<ExecutorId, Member>, bool),
}

impl Core {
    /// Sweeps once now; returns what went wrong, if the database cannot be read.
    pub(crate) async fn sweep(self: &Arc<Self>) -> Result<(), Problem> {
        let store = &self.rooms.database.store;
        let executors = store.executors().await.map_err(|error| fault::of_store(&error))?;
        let known: HashMap<ExecutorId, ExecutorRecord> = executors
            .into_iter()
            .map(|executor| (executor.id.clone(), executor))
            .collect();
        let ids: Vec<ExecutorId> = known.keys().cloned().collect();
        let known = Known::Executors(known);
        self.sweep_tasks(&known).await?;
        for id in ids {
            if self.is_dead(&id, Duty::Execute, &known) {
                store
                    .forget_executor(&id)
                    .await
                    .map_err(|error| fault::of_store(&error))?;
                crash_point!(DeadForgotten);
            }
        }
        Ok(())
    }

    /// Sweeps once, going by what is known of the servers that share the database.
    pub(super) async fn sweep_members(self: &Arc<Self>, members: &[Member]) -> Result<(), Problem> {
        let owners = self.rooms.database.store.executors().await;
        let owners = owners.map_err(|error| fault::of_store(&error))?;
        let known: HashMap<ExecutorId, Member> = members
            .iter()
            .map(|member| (member.id.clone(), member.clone()))
            .collect();
        let known = Known::Members(known, false);
        let lost = owners
            .iter()
            .any(|owner| self.is_dead(&owner.id, Duty::Execute, &known));
        let known = match known {
            Known::Members(members, _) => Known::Members(members, lost),
            known => known,
        };
        self.sweep_tasks(&known).await
    }

    async fn sweep_tasks(self: &Arc<Self>, known: &Known) -> Result<(), Problem> {
        crash_point!(SweepBegun);
        let open = self.rooms.database.store.open_tasks().await;
        for (task, dispatcher) in open.map_err(|error| fault::of_store(&error))? {
            // One task that cannot be read does not hold the others up.
            if let Err(problem) = self.sweep_task(task, &dispatcher, known).await {
                if !self.met_away(&problem) {
                    tracing::warn!(%task, %problem, "a task could not be taken over yet");
                }
                self.lease.sweep_again();
            }
        }
        Ok(())
    }

    async fn sweep_task(
        self: &Arc<Self>,
        task: TaskId,
        dispatcher: &ExecutorId,
        known: &Known,
    ) -> Result<(), Problem> {
        let me = self.lease.executor();
        if *dispatcher != me {
            if !self.is_dead(dispatcher, Duty::Dispatch, known) {
                // What it dispatches may have been started by one that is dead.
                if matches!(known, Known::Members(_, true)) {
                    self.bury(task, known).await?;
                }
                return Ok(());
            }
            // Noted first: where the answer is lost, the next sweep finds the task as ours, and goes on from here.
            self.lease.note_adoption(task);
            let adopted = self.rooms.database.store.adopt(task, dispatcher, &me).await;
            if !adopted.map_err(|error| fault::of_store(&error))? {
                self.lease.end_adoption(task);
                return Ok(());
            }
            crash_point!(TaskAdopted);
        }
        self.bury(task, known).await?;
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
            let wait = if self.lease.standing().locks.others().is_empty() {
                ALONE
            } else {
                WHILE_OTHERS
            };
            tokio::select! {
                () = clock::sleep(wait) => {}
                () = self.tasks.intake().cancelled() => return,
            }
            let others = self.lease.standing().locks.others();
            let locks = &self.lease.standing().locks;
            let died = others
                .iter()
                .any(|other| locks.is_dead(other, Duty::Execute) || locks.is_dead(other, Duty::Dispatch));
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
                self.reconcile_all().await;
            }
            self.lease.set_alone(others.is_empty());
            // Not a newer list: who left during the sweep was taken for alive by it.
            seen = others;
        }
    }

    fn is_dead(&self, id: &ExecutorId, duty: Duty, known: &Known) -> bool {
        let standing = self.lease.standing();
        if *id == standing.id {
            return false;
        }
        match known {
            Known::Executors(executors) => match executors.get(id) {
                Some(other) if other.home != self.lease.home() => {
                    self.lease.has_run_out(id, other.until, self.outage.times())
                }
                _ => standing.locks.is_dead(id, duty),
            },
            Known::Members(members, _) => match members.get(id) {
                Some(other) => other.gone_at.is_some() || (duty == Duty::Dispatch && other.beat.leaving),
                None => self.lease.has_run_out(id, Timestamp(0), self.outage.times()),
            },
        }
    }

    /// Settles the runs of a task that dead executors had started.
    async fn bury(self: &Arc<Self>, task: TaskId, known: &Known) -> Result<(), Problem> {
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
                .filter(|run| run.state == RunState::Started && self.has_lost(run, known))
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

    fn has_lost(&self, run: &OpenRun, known: &Known) -> bool {
        run.executor
            .as_ref()
            .is_none_or(|id| self.is_dead(id, Duty::Execute, known))
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
