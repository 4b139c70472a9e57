//! Running again what did not succeed: a new task for those hosts, linked to the first.

use std::sync::Arc;

use muster_model::problem::Code;
use muster_model::wire::Retry;
use muster_model::{Problem, RunState, TaskId, TaskRecord};
use muster_store::{NewTask, RunFilter};

use super::validate;
use crate::core::Core;
use crate::fault;

impl Core {
    /// Submits a new task for the hosts of a done task that did not succeed.
    pub(crate) async fn retry(
        self: &Arc<Self>,
        owner: &str,
        id: TaskId,
        retry: Retry,
    ) -> Result<TaskRecord, Problem> {
        validate::request_id(&retry.request_id)?;
        let task = self.task(id).await?;
        if task.finished_at.is_none() {
            let open = match task.counts.open() {
                1 => "1 run is".to_owned(),
                open => format!("{open} runs are"),
            };
            return Err(
                Problem::new(Code::Conflict, format!("task {id} is not done: {open} open")).hint(format!(
                    "wait with `muster follow {id}`, or end it with `muster cancel {id}`"
                )),
            );
        }
        if task.counts.succeeded == task.counts.total {
            return Err(
                Problem::new(Code::Conflict, format!("task {id} succeeded on every host"))
                    .hint("there is nothing to run again; `muster run` runs it anew"),
            );
        }
        let mut hosts = Vec::new();
        let mut from = 0;
        let states: Vec<RunState> = RunState::ALL
            .into_iter()
            .filter(|state| *state != RunState::Succeeded)
            .collect();
        loop {
            let filter = RunFilter {
                from,
                limit: 5_000,
                states: states.clone(),
            };
            let runs = self.rooms.database.store.runs(id, filter).await;
            let runs = runs.map_err(|error| fault::of_store(&error))?;
            let Some(last) = runs.last() else { break };
            from = last.key.index + 1;
            hosts.extend(runs.into_iter().map(|run| (run.host, run.endpoint)));
        }
        let input = self
            .rooms
            .database
            .store
            .input(id)
            .await
            .map_err(|error| fault::of_store(&error))?;
        let now = muster_runtime::now();
        let mut options = task.options;
        options.expires_at = options.expires_at.map(|at| now.after(at.since(task.created_at)));
        options.login_secret = retry.secrets.password.is_some() || retry.secrets.passphrase.is_some();
        if options.sudo_password && retry.secrets.sudo_password.is_none() {
            return Err(Problem::new(
                Code::InvalidRequest,
                format!("task {id} used a password for sudo, which is kept nowhere"),
            )
            .hint(format!(
                "`muster retry {id} --ask-sudo-password` asks for it again"
            )));
        }
        options.sudo_password = retry.secrets.sudo_password.is_some();
        let task = NewTask {
            request_id: retry.request_id,
            kind: task.kind,
            options,
            input,
            secrets: None,
            owner: owner.to_owned(),
            retry_of: Some(id),
            created_at: now,
            dispatcher: self.lease.executor(),
            hosts,
        };
        self.write(task, retry.secrets).await
    }
}
