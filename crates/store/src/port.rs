//! The ports of the database: tasks and runs, the inventory, the output of runs, and sealed credentials.

mod host_keys;
mod members;
mod vault;

mod retention;

use async_trait::async_trait;
use bytes::Bytes;
use muster_model::host::HostRecord;
use muster_model::inventory::Group;
use muster_model::{ExecutorId, RunKey, RunRecord, TaskId, TaskRecord, Timestamp, Transition};

pub use host_keys::HostKeys;
pub use members::Members;
pub use retention::Retention;

use crate::error::Error;
use crate::types::{
    Changed, Edit, GroupRecord, HostChanges, HostFacts, NewTask, OpenRun, Revision, RunFilter, Submitted,
    TaskFilter, TaskInput,
};
use muster_model::run::Applied;
pub use vault::Vault;

/// Tasks and runs. Cheap to share: `Arc<dyn Store>`.
///
/// Every method that changes something is durable when it returns `Ok`. A future that is dropped half-way
/// has either done everything or nothing; the caller reads back.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes a task with all its runs, queued in attempt 1, in one transaction. A `request_id` that is
    /// there already gives back the task that it made before (`Submitted::Before`) and writes nothing.
    async fn submit(&self, task: NewTask) -> Result<Submitted, Error>;

    /// Returns a task.
    async fn task(&self, id: TaskId) -> Result<Option<TaskRecord>, Error>;

    /// Returns what was submitted with a task: the script's body and the standard input; `NotFound` where
    /// there is no such task.
    async fn input(&self, id: TaskId) -> Result<TaskInput, Error>;

    /// Returns tasks, newest first.
    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskRecord>, Error>;

    /// Returns runs of a task in host order.
    async fn runs(&self, task: TaskId, filter: RunFilter) -> Result<Vec<RunRecord>, Error>;

    /// Returns one run.
    async fn run(&self, run: RunKey) -> Result<Option<RunRecord>, Error>;

    /// Applies changes, each by compare-and-set on the run's state and attempt as
    /// [`muster_model::run::decide`] rules; a refused change changes nothing and is no error. Concurrent
    /// calls are committed in groups. When the last run of a task becomes terminal, the task's
    /// `finished_at` is set in the same transaction and that change's `Applied` says so. The answers stand
    /// in the order of the changes.
    async fn apply(&self, changes: Vec<Transition>) -> Result<Vec<Applied>, Error>;

    /// Notes that somebody wants the task cancelled; false where it is done or was cancelled before, and
    /// `NotFound` where there is no such task.
    async fn request_cancel(&self, task: TaskId, at: Timestamp) -> Result<bool, Error>;

    /// Returns the tasks that are not done, oldest first, each with the executor that dispatches it.
    async fn open_tasks(&self) -> Result<Vec<(TaskId, ExecutorId)>, Error>;

    /// Makes `to` the executor that dispatches a task, if that is `from` still and the task is not done;
    /// tells whether it did. Compare-and-set: of several, one gets it.
    async fn adopt(&self, task: TaskId, from: &ExecutorId, to: &ExecutorId) -> Result<bool, Error>;

    /// Returns the runs of a task that are not terminal, in host order, with just what dispatch needs, at
    /// most `limit` from index `from`.
    async fn open_runs(&self, task: TaskId, from: u32, limit: u32) -> Result<Vec<OpenRun>, Error>;

    /// Notes that an executor is alive until `until`. `home` names its machine, `pid` its process.
    async fn heartbeat(
        &self,
        executor: &ExecutorId,
        home: &str,
        pid: u32,
        until: Timestamp,
    ) -> Result<(), Error>;

    /// Returns the executors that gave a sign of life and were neither buried nor forgotten, and those that own started runs,
    /// with the end of their lease, their home and pid (of one that never gave a sign: 0, "" and 0).
    async fn executors(&self) -> Result<Vec<crate::types::ExecutorRecord>, Error>;

    /// Forgets an executor.
    async fn forget_executor(&self, executor: &ExecutorId) -> Result<(), Error>;

    /// Checks that the database answers and its schema is current. For `muster doctor`.
    async fn ping(&self) -> Result<String, Error>;

    /// Returns the time that the database server has; None where the database is a file. For `muster doctor`.
    async fn clock(&self) -> Result<Option<Timestamp>, Error>;

    /// Flushes and closes. Later calls are `Cancelled`.
    async fn close(&self);
}

/// The inventory: hosts with their facts, and groups, many to many.
///
/// Names are exact: `Web1` and `web1` are two hosts.
#[async_trait]
pub trait Inventory: Send + Sync + 'static {
    /// Makes changes, in their order and in one transaction: all of them or none. Where `seen` is given and the
    /// inventory has changed since, nothing is done: `Conflict`. Returns the counter after it.
    ///
    /// `AlreadyExists` for a host to be added whose name is taken, `NotFound` for a group that is not there,
    /// `Invalid` for a group that would hold itself; each names it.
    async fn change(&self, edits: Vec<Edit>, seen: Option<Revision>) -> Result<Changed, Error>;

    /// Returns the counters that grow with every change.
    async fn revision(&self) -> Result<Revision, Error>;

    /// Returns a host.
    async fn host(&self, name: &str) -> Result<Option<HostRecord>, Error>;

    /// Returns the hosts of these names that exist, in no order.
    async fn hosts_named(&self, names: &[String]) -> Result<Vec<HostRecord>, Error>;

    /// Returns all hosts, by name.
    async fn hosts(&self) -> Result<Vec<HostRecord>, Error>;

    /// Returns the names of at most `limit` hosts that begin with `prefix`, by name. For completion: what it costs does
    /// not grow with the inventory.
    async fn host_names(&self, prefix: &str, limit: u32) -> Result<Vec<String>, Error>;

    /// Returns what has changed since `seen`: hosts and facts that are new or other. Where hosts were removed since,
    /// it is the whole inventory and says so. Changes that are made meanwhile may be in it, and come again the next
    /// time.
    async fn changed_since(&self, seen: Option<Revision>) -> Result<HostChanges, Error>;

    /// Keeps what hosts said of themselves, replacing what was kept; returns how many of them are hosts of the
    /// inventory. Facts of others are left out.
    async fn put_facts(&self, facts: Vec<HostFacts>) -> Result<u64, Error>;

    /// Returns the facts of these hosts, where there are any, in no order.
    async fn facts_named(&self, names: &[String]) -> Result<Vec<HostFacts>, Error>;

    /// Returns a group with what is directly in it, each by name; None where there is no such group.
    async fn group(&self, name: &str) -> Result<Option<Group>, Error>;

    /// Returns all groups with what is directly in them, by name.
    async fn groups(&self) -> Result<Vec<Group>, Error>;

    /// Returns all groups, by name, each with how many different hosts are in it and in the groups that it holds.
    async fn groups_counted(&self) -> Result<Vec<GroupRecord>, Error>;
}

/// The output of runs: one log of frames ([`muster_model::output`]) for each attempt of a run.
///
/// Small output is kept with the run by [`Store::apply`]; this port is for what is larger.
#[async_trait]
pub trait Outputs: Send + Sync + 'static {
    /// Appends whole frames to the log of a run's attempt at `at`, which must be its end: `Conflict`
    /// where it is not, `TooLarge` for more than 8 MiB at once. Survives the death of the process when it returns.
    /// Returns the new end. Where the answer of a database server is lost, the outcome is unknown: an append at the
    /// same place tells, which is a conflict where the first one was done.
    async fn append(&self, run: RunKey, attempt: u32, at: u64, frames: Bytes) -> Result<u64, Error>;

    /// Returns at most `most` bytes of the log from `from` (a frame's start), whole frames only, at least
    /// one frame where there is one. Reads what [`Store::apply`] kept with the run as well. Empty at or
    /// past the end, and where there is no log.
    async fn read(&self, run: RunKey, attempt: u32, from: u64, most: usize) -> Result<Bytes, Error>;

    /// Returns the logs that are kept with the runs of a task, of indexes `from` up to but not `to`, with
    /// their indexes, of the runs' last attempts. A run whose log is not kept with it is left out: use
    /// [`Outputs::read`].
    async fn read_inline(&self, task: TaskId, from: u32, to: u32) -> Result<Vec<(u32, Bytes)>, Error>;

    /// Says that nothing more is appended to the log of a run's attempt, once the run's end is durable. A log that is
    /// kept with the run as well then goes from where it lies by itself. Of a log that is kept nowhere else, an
    /// adapter may keep one copy for all that are equal: to such a log, an append is a `Conflict`. Nothing that is
    /// read changes. Idempotent.
    async fn finish(&self, run: RunKey, attempt: u32) -> Result<(), Error>;

    /// Deletes the log of a run's attempt. Idempotent.
    async fn discard(&self, run: RunKey, attempt: u32) -> Result<(), Error>;
}
