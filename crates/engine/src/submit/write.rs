//! Writes a task down and hands it to dispatch.

use std::sync::Arc;
use std::time::Duration;

use muster_model::wire::{Plan, Secrets, Submit};
use muster_model::{Endpoint, ErrorKind, Problem, RunState, TaskRecord};
use muster_runtime::{Backoff, crash_point, trace};
use muster_store::{NewTask, Submitted};
use tracing::Instrument;

use super::validate;
use crate::core::Core;
use crate::engine::Accepted;
use crate::fault;
use crate::follow::{Host, LiveTask};
use crate::meter::Submission;
use crate::steps;

impl Core {
    /// Submits a request: when it returns, the task is durable.
    pub(crate) async fn submit(self: &Arc<Self>, owner: &str, submit: Submit) -> Result<Accepted, Problem> {
        crash_point!(SubmitReceived);
        validate::request_id(&submit.request_id)?;
        let now = muster_runtime::now();
        let (kind, input) = validate::work(&submit)?;
        let options = validate::options(&submit.options, &submit.secrets, now)?;
        let hosts = self.targets(&submit.targets).await?;
        if submit.dry_run {
            let plan: Plan = crate::plan::describe(&kind, &options, &hosts);
            return Ok(Accepted::Planned(plan));
        }
        let task = NewTask {
            request_id: submit.request_id,
            kind,
            options,
            input,
            secrets: None,
            owner: owner.to_owned(),
            retry_of: None,
            created_at: now,
            dispatcher: self.lease.executor(),
            hosts,
        };
        self.write(task, submit.secrets).await.map(Accepted::Task)
    }

    /// Writes a task down, and starts to dispatch it.
    pub(crate) async fn write(
        self: &Arc<Self>,
        mut task: NewTask,
        secrets: Secrets,
    ) -> Result<TaskRecord, Problem> {
        if self.tasks.intake().is_cancelled() {
            return Err(Problem::new(
                muster_model::problem::Code::Draining,
                "the server is stopping and takes no new task",
            )
            .hint("run the command again: a new server is started for it"));
        }
        task.options.trace = trace::here();
        self.lease.hold(self).await?;
        task.secrets = self.seal_for_others(&task, &secrets).await?;
        // A caller that goes away while the task is being written leaves it neither lost nor lying about.
        let (tx, rx) = tokio::sync::oneshot::channel();
        let core = Arc::clone(self);
        let step = steps::write(task.hosts.len());
        self.tasks.spawn("write a task", async move {
            let written = core.write_down(task, secrets).instrument(step).await;
            let _ = tx.send(written);
        });
        rx.await.unwrap_or_else(|_| {
            Err(Problem::new(
                muster_model::problem::Code::Internal,
                "the task could not be written: see the log",
            ))
        })
    }

    async fn write_down(
        self: &Arc<Self>,
        mut task: NewTask,
        secrets: Secrets,
    ) -> Result<TaskRecord, Problem> {
        let hosts = std::mem::take(&mut task.hosts);
        let input = task.input.clone();
        let record = match self.submit_surely(task, &hosts).await? {
            Submitted::Before(record) => {
                crash_point!(SubmitSeenBefore);
                self.meter.submit(Submission::Repeated);
                self.take_up(&record, secrets).await?;
                return Ok(record);
            }
            Submitted::Now(record) => record,
        };
        crash_point!(SubmitWritten);
        self.meter.submit(Submission::Accepted);
        self.keep_secrets(record.id, secrets);
        let runs = hosts.iter().map(|_| (RunState::Queued, 1)).collect();
        let hosts = hosts
            .into_iter()
            .map(|(name, endpoint)| Host { name, endpoint })
            .collect();
        let live = self.hub.insert(LiveTask::new(record.clone(), input, hosts, runs));
        self.dispatch(Arc::clone(&live));
        // A cancel that came between the two found nobody to tell.
        if self
            .task(record.id)
            .await
            .is_ok_and(|task| task.cancelled_at.is_some())
        {
            live.cancel.cancel();
        }
        crash_point!(SubmitDispatched);
        Ok(record)
    }

    /// Submits until it is known whether the task is in the database: the request's name keeps a second try from
    /// being a second task, and a task that is in must be dispatched.
    async fn submit_surely(
        self: &Arc<Self>,
        task: NewTask,
        hosts: &[(String, Endpoint)],
    ) -> Result<Submitted, Problem> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let mut may_be_in = false;
        loop {
            let again = NewTask {
                hosts: hosts.to_vec(),
                ..task.clone()
            };
            let error = match self.rooms.database.store.submit(again).await {
                Ok(submitted) => return Ok(submitted),
                Err(error) => error,
            };
            may_be_in |= error.kind == ErrorKind::OutcomeUnknown;
            if !may_be_in || !error.kind.may_pass() {
                return Err(fault::of_store(&error));
            }
            // It is not known whether the task was written: the database is asked again.
            self.found_away(&error);
            tokio::select! {
                () = self.pause(&mut backoff) => {}
                () = self.tasks.work().cancelled() => return Err(fault::of_store(&error)),
            }
        }
    }

    /// Dispatches a task of this process whose first answer was lost on the way from the database.
    async fn take_up(self: &Arc<Self>, record: &TaskRecord, secrets: Secrets) -> Result<(), Problem> {
        // One who only watches has it live as well.
        let live = self.hub.find(record.id);
        if record.finished_at.is_some() || live.is_some_and(|live| live.is_dispatched()) {
            return Ok(());
        }
        let open = self
            .rooms
            .database
            .store
            .open_tasks()
            .await
            .map_err(|error| fault::of_store(&error))?;
        if open.contains(&(record.id, self.lease.executor())) {
            self.keep_secrets(record.id, secrets);
            let live = self.load(record.clone()).await?;
            self.dispatch(live);
        }
        Ok(())
    }
}
