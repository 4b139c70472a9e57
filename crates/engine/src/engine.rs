//! The engine's door: what the server may ask of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_cache::Cache;
use muster_model::host::HostRecord;
use muster_model::wire::{Check, Event, GroupView, Hosts, Plan, Retry, RunPage, Submit, Targets};
use muster_model::{Problem, RunState, Stream, TaskId, TaskRecord};
use muster_queue::Queue;
use muster_runtime::Tasks;
use muster_store::TaskFilter;
use muster_transport::Transport;

/// The four rooms, opened.
#[derive(Clone)]
pub struct Rooms {
    /// Transport.
    pub transport: Arc<dyn Transport>,
    /// Database.
    pub database: muster_store::Opened,
    /// Queue.
    pub queue: Arc<dyn Queue>,
    /// Cache.
    pub cache: Arc<dyn Cache>,
}

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// At most so many runs at a time in this process.
    pub slots: usize,
    /// Names this machine among those that share the database.
    pub home: String,
    /// The folder where live executors of this machine hold their locks.
    pub executors: PathBuf,
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    _rooms: Rooms,
}

/// The answer to a submit.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// The task, written down.
    Task(TaskRecord),
    /// With `dry_run`: what would be done.
    Planned(Plan),
}

/// What the engine has in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Runs that are started or connecting in this process.
    pub active_runs: u64,
    /// Tasks that are not done.
    pub open_tasks: u64,
    /// Whether it takes no new work.
    pub draining: bool,
}

/// Reads the output of one stream of a run, as far as it is there.
pub struct OutputReader {}

impl OutputReader {
    /// Returns the next bytes, at most 256 KiB; None at the end of what is there.
    ///
    /// # Errors
    ///
    /// Where the output cannot be read.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        unimplemented!()
    }
}

/// Follows a task: events in order, each with the id to resume from, until the task is done.
pub struct Watcher {}

impl Watcher {
    /// Returns the next event with its id; None after the last one (an [`Event::Task`] with state `done`).
    /// Cancel-safe. Holds no more than 256 KiB whatever the reader's pace.
    ///
    /// # Errors
    ///
    /// Where the task or its output cannot be read.
    pub async fn next(&mut self) -> Result<Option<(String, Event)>, Problem> {
        unimplemented!()
    }
}

#[expect(clippy::unused_async, unused_variables, reason = "being built")]
impl Engine {
    /// Starts the engine in this process: takes up what an earlier one left.
    ///
    /// # Errors
    ///
    /// Where a room cannot be used.
    pub async fn start(rooms: Rooms, settings: Settings, tasks: Tasks) -> Result<Self, Problem> {
        unimplemented!()
    }

    /// Submits a task: when it returns, the task is durable. The same `request_id` gives the same task.
    ///
    /// # Errors
    ///
    /// Where the request is wrong; nothing was written then.
    pub async fn submit(&self, owner: &str, submit: Submit) -> Result<Accepted, Problem> {
        unimplemented!()
    }

    /// Returns a task.
    ///
    /// # Errors
    ///
    /// `unknown-task`.
    pub async fn task(&self, id: TaskId) -> Result<TaskRecord, Problem> {
        unimplemented!()
    }

    /// Returns tasks, newest first.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskRecord>, Problem> {
        unimplemented!()
    }

    /// Returns runs with their output, where both streams together are at most `output_limit` bytes.
    ///
    /// # Errors
    ///
    /// `unknown-task`.
    pub async fn runs(
        &self,
        id: TaskId,
        from: u32,
        limit: u32,
        states: Vec<RunState>,
        output_limit: u64,
    ) -> Result<RunPage, Problem> {
        unimplemented!()
    }

    /// Reads one stream of a run's output in its last attempt.
    ///
    /// # Errors
    ///
    /// `unknown-task`, `unknown-run`.
    pub async fn output(&self, id: TaskId, index: u32, stream: Stream) -> Result<OutputReader, Problem> {
        unimplemented!()
    }

    /// Follows a task from its beginning, or from the event after `resume`.
    ///
    /// # Errors
    ///
    /// `unknown-task`; `invalid-request` where `resume` is no event id.
    pub async fn watch(&self, id: TaskId, resume: Option<&str>) -> Result<Watcher, Problem> {
        unimplemented!()
    }

    /// Cancels a task; returns at once, the runs end as their hosts answer. Idempotent.
    ///
    /// # Errors
    ///
    /// `unknown-task`; `conflict` where it is done.
    pub async fn cancel(&self, id: TaskId) -> Result<TaskRecord, Problem> {
        unimplemented!()
    }

    /// Submits a new task for the hosts of a task that did not succeed.
    ///
    /// # Errors
    ///
    /// `unknown-task`; `conflict` where it is not done or everything succeeded.
    pub async fn retry(&self, owner: &str, id: TaskId, retry: Retry) -> Result<TaskRecord, Problem> {
        unimplemented!()
    }

    /// Returns the hosts that targets name.
    ///
    /// # Errors
    ///
    /// `invalid-pattern`, `unknown-group`, `target-too-large`.
    pub async fn expand(&self, targets: &Targets) -> Result<Hosts, Problem> {
        unimplemented!()
    }

    /// Returns the hosts of the inventory that a pattern names; all of them without one.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::expand`].
    pub async fn hosts(&self, pattern: Option<&str>) -> Result<Vec<HostRecord>, Problem> {
        unimplemented!()
    }

    /// Adds hosts; with `replace` those that exist are replaced, else the request is refused whole.
    ///
    /// # Errors
    ///
    /// `already-exists` naming the host.
    pub async fn put_hosts(&self, hosts: Vec<HostRecord>, replace: bool) -> Result<(), Problem> {
        unimplemented!()
    }

    /// Removes the hosts that a pattern names; returns how many.
    ///
    /// # Errors
    ///
    /// `unknown-host` naming one that does not exist; nothing is removed then.
    pub async fn remove_hosts(&self, pattern: &str) -> Result<u64, Problem> {
        unimplemented!()
    }

    /// Returns all groups.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn groups(&self) -> Result<Vec<GroupView>, Problem> {
        unimplemented!()
    }

    /// Returns one group.
    ///
    /// # Errors
    ///
    /// `unknown-group`.
    pub async fn group(&self, name: &str) -> Result<GroupView, Problem> {
        unimplemented!()
    }

    /// Adds the hosts that patterns name to a group, making it where it is missing.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::expand`]; `invalid-request` for a name that is none.
    pub async fn add_to_group(&self, name: &str, patterns: &[String]) -> Result<GroupView, Problem> {
        unimplemented!()
    }

    /// Removes the hosts that patterns name from a group; without patterns the whole group.
    ///
    /// # Errors
    ///
    /// `unknown-group`.
    pub async fn remove_from_group(&self, name: &str, patterns: &[String]) -> Result<u64, Problem> {
        unimplemented!()
    }

    /// Checks every back end.
    pub async fn doctor(&self) -> Vec<Check> {
        unimplemented!()
    }

    /// Returns what the engine has in hand.
    pub async fn load(&self) -> Load {
        unimplemented!()
    }

    /// Takes no new work from now on, and returns when what was started has ended, at the latest after
    /// `limit`. Queued runs stay in the database for the next engine.
    pub async fn drain(&self, limit: Duration) {
        unimplemented!()
    }
}
