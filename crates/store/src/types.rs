//! The plain types of the store's ports.

mod member;
pub mod retention;
pub mod vault;

use bytes::Bytes;
use muster_model::compact;
use muster_model::facts::Facts;
use muster_model::host::HostRecord;
use muster_model::host_key::{HostKey, SeenKey};
use muster_model::inventory::GroupName;
use muster_model::{
    Endpoint, ExecutorId, HostName, Kind, Options, RunKey, RunState, TaskId, TaskRecord, TaskState, Timestamp,
};

pub use member::{Beat, Leadership, Member};

/// A task to be written.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// The name of the request: unique, the guard against a second submit.
    pub request_id: String,
    /// What it does.
    pub kind: Kind,
    /// How.
    pub options: Options,
    /// The script's body and the standard input.
    pub input: TaskInput,
    /// Secrets for its hosts, sealed; wiped when it is done.
    pub secrets: Option<vault::TaskSecrets>,
    /// Who asked for it.
    pub owner: String,
    /// The task that it retries.
    pub retry_of: Option<TaskId>,
    /// When.
    pub created_at: Timestamp,
    /// The executor that dispatches it (see [`crate::Store::adopt`]).
    pub dispatcher: ExecutorId,
    /// Its hosts in order: the name as it was asked for, and how it is reached.
    pub hosts: Vec<(String, Endpoint)>,
}

/// What was submitted with a task, beside its options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskInput {
    /// The script's body.
    pub script: Option<Bytes>,
    /// Standard input for the command.
    pub stdin: Option<Bytes>,
}

/// The answer to a submit.
#[derive(Clone, Debug, PartialEq)]
pub enum Submitted {
    /// The task was written.
    Now(TaskRecord),
    /// The request was known: this is the task that it made.
    Before(TaskRecord),
}

impl Submitted {
    /// Returns the task.
    #[must_use]
    pub fn into_task(self) -> TaskRecord {
        match self {
            Self::Now(task) | Self::Before(task) => task,
        }
    }
}

/// A run that is not terminal, with just what dispatch needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRun {
    /// Which run.
    pub key: RunKey,
    /// The state.
    pub state: RunState,
    /// The attempt.
    pub attempt: u32,
    /// Who started it.
    pub executor: Option<ExecutorId>,
}

/// An executor and its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorRecord {
    /// Its id.
    pub id: ExecutorId,
    /// Its machine.
    pub home: String,
    /// Its process.
    pub pid: u32,
    /// The end of its lease.
    pub until: Timestamp,
}

/// Which tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only tasks that stand there.
    pub state: Option<TaskState>,
    /// Only tasks of which at least one run is in this state.
    pub with_run_state: Option<RunState>,
    /// Only tasks submitted at or after this time.
    pub since: Option<Timestamp>,
    /// Only tasks of this owner.
    pub owner: Option<String>,
    /// Only tasks whose title contains this text, letters' case aside; taken literally.
    pub text: Option<String>,
    /// Only tasks with a smaller number.
    pub before: Option<TaskId>,
    /// At most so many (0 counts as 100; at most 1000).
    pub limit: u32,
}

/// Which runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// From this index on.
    pub from: u32,
    /// At most so many (0 counts as 1000; at most 10,000).
    pub limit: u32,
    /// Only these states; empty: all.
    pub states: Vec<RunState>,
}

/// A group, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// Its name.
    pub name: GroupName,
    /// How many different hosts are in it and in the groups that it holds.
    pub count: u32,
    /// How many groups are directly in it.
    pub groups: u32,
}

/// A change of the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Adds hosts whose names are free.
    AddHosts(Vec<HostRecord>),
    /// Adds hosts or replaces them; the last one of a name counts.
    PutHosts(Vec<HostRecord>),
    /// Removes hosts, from their groups too, and their facts; names that are not there are passed over.
    RemoveHosts(Vec<String>),
    /// Makes groups where they are missing.
    AddGroups(Vec<GroupName>),
    /// Removes groups, from others too; names that are not there are passed over.
    RemoveGroups(Vec<GroupName>),
    /// Puts hosts into groups.
    AddMembers(Vec<(GroupName, HostName)>),
    /// Takes hosts out of groups. The groups stay, even when empty.
    RemoveMembers(Vec<(GroupName, HostName)>),
    /// Puts groups (the second) into groups (the first).
    AddChildren(Vec<(GroupName, GroupName)>),
    /// Takes groups (the second) out of groups (the first).
    RemoveChildren(Vec<(GroupName, GroupName)>),
}

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The counters after it.
    pub revision: Revision,
    /// For each edit, in order, how many of what it named it found (removals) or wrote (the others).
    pub counts: Vec<u64>,
}

/// The counters of the inventory. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision {
    /// Grows with every change.
    pub now: i64,
    /// What `now` was when hosts were last removed.
    pub removed: i64,
    /// What `now` was when a group or what is in one last changed.
    pub groups: i64,
}

/// What a host said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// The host.
    pub host: HostName,
    /// What it said.
    pub facts: Facts,
    /// When.
    pub gathered_at: Timestamp,
}

/// What a host said of itself, in little memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFacts {
    /// The host.
    pub host: HostName,
    /// What it said.
    pub facts: compact::Facts,
    /// When.
    pub gathered_at: Timestamp,
}

/// What is new in the inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostChanges {
    /// The counters before it was read.
    pub revision: Revision,
    /// Whether this is the whole inventory, and what is not in it is gone.
    pub whole: bool,
    /// Hosts, in no order.
    pub hosts: Vec<compact::Host>,
    /// Facts, in no order.
    pub facts: Vec<KnownFacts>,
}

/// How far the changes of host keys are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeysRevision {
    /// The last change.
    pub changed: i64,
    /// The last change that took keys away.
    pub removed: i64,
}

/// A key that is kept under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeyRecord {
    /// The name, as `known_hosts` writes it.
    pub host: String,
    /// The key.
    pub key: SeenKey,
    /// Whether the host has shown it while it was known by others; else it is pinned.
    pub offered: bool,
}

/// A key that a host has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownKey {
    /// The name, as `known_hosts` writes it.
    pub host: String,
    /// The key.
    pub key: HostKey,
    /// Whether to pin it where nothing is known of the host.
    pub pin: bool,
    /// When.
    pub at: Timestamp,
}
