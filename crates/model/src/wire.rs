//! The types that cross the HTTP API: requests, answers and live events. JSON, field names as they
//! stand here; what CLI users see with `--json` is [`TaskReport`].

pub mod cluster;
pub mod credentials;
pub mod framed;
pub mod host_keys;
mod inventory;
mod output;

pub use inventory::{
    Difference, Does, Explained, Explanations, GroupCount, GroupView, HostFacts, Import, ImportReport,
    Members, Step,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{TaskId, Timestamp};
use crate::inventory::CredentialName;
use crate::output::Stream;
use crate::quantity::Amount;
use crate::run::{PastAttempt, RunState, Unreachable};
use crate::secret::{Secret, expose_on_the_wire};
use crate::task::{Counts, Priority, TaskState};

/// The version of the API's contract. A client and a server of different numbers do not work together.
pub const PROTOCOL: u32 = 1;
/// The header in which a client names the protocol that it speaks.
pub const PROTOCOL_HEADER: &str = "muster-protocol";
/// The header in which a client names its version (`0.1.0`), so that an older server can hand over.
pub const VERSION_HEADER: &str = "muster-client-version";

/// `GET /api/v1/server`: who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerInfo {
    /// The version of the binary.
    pub version: String,
    /// See [`PROTOCOL`].
    pub protocol: u32,
    /// The process.
    pub pid: u32,
    /// Since when it runs.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub started_at: Timestamp,
    /// Runs that are started here.
    pub active_runs: u64,
    /// Tasks that are not done.
    pub open_tasks: u64,
    /// Whether it takes no new work.
    pub draining: bool,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// The database's URL, without secrets.
    pub database: String,
    /// The queue's URL, without secrets.
    pub queue: String,
    /// The cache's URL, without secrets.
    pub cache: String,
}

/// Which hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// Host patterns; what they name is added up. May be empty where a selector is given.
    pub hosts: Vec<String>,
    /// Host patterns to leave out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// A selector ([`crate::selector`]): of these hosts, those that it fits. Without any host patterns it is asked of
    /// every host of the inventory.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Work {
    /// A command line for the host's shell.
    Command {
        /// The command line.
        command: String,
    },
    /// A script.
    Script {
        /// Its file name.
        name: String,
        /// Its arguments.
        #[serde(default)]
        args: Vec<String>,
        /// Its text, base64.
        body_base64: String,
    },
    /// Asks hosts what they are and keeps it: see [`crate::facts`].
    Facts,
}

/// Options of a task. Durations in milliseconds, sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each is described at task::Options")]
pub struct WorkOptions {
    pub timeout_ms: Option<u64>,
    pub connect_timeout_ms: Option<u64>,
    pub concurrency: Option<u32>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub batch: Option<Amount>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub max_failures: Option<Amount>,
    pub retries: u32,
    pub expires_ms: Option<u64>,
    pub priority: Priority,
    pub user: Option<String>,
    /// Run through sudo as this user.
    pub sudo: Option<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Vec<String>>))]
    pub env: Vec<(String, String)>,
    pub cwd: Option<String>,
    pub max_output: Option<u64>,
    pub kill_grace_ms: Option<u64>,
    pub accept_new: bool,
    pub ssh_config: Option<String>,
    pub identities: Vec<String>,
    pub agent_socket: Option<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub credential: Option<CredentialName>,
}

/// Secrets of a task. They are held in the server's memory while the task has runs, and nowhere else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// For password and keyboard-interactive logins.
    #[serde(
        default,
        serialize_with = "expose_on_the_wire",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, write_only))]
    pub password: Option<Secret>,
    /// For encrypted private keys.
    #[serde(
        default,
        serialize_with = "expose_on_the_wire",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, write_only))]
    pub passphrase: Option<Secret>,
    /// For sudo.
    #[serde(
        default,
        serialize_with = "expose_on_the_wire",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, write_only))]
    pub sudo_password: Option<Secret>,
}

/// `POST /api/v1/tasks`: submit a task. The answer is 201 with a [`TaskView`], or, with `dry_run`, 200
/// with a [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// A name that the client makes up for this request (16 to 64 letters, digits or `-`): the same name
    /// sent again gives the task that it gave before, never a second one.
    pub request_id: String,
    /// What to do.
    pub work: Work,
    /// Where.
    pub targets: Targets,
    /// How.
    #[serde(default)]
    pub options: WorkOptions,
    /// Standard input for the command on every host, base64.
    #[serde(default)]
    pub stdin_base64: Option<String>,
    /// Secrets.
    #[serde(default)]
    pub secrets: Secrets,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a task would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// How many hosts.
    pub total: u32,
    /// The hosts, folded to the shortest pattern.
    pub hosts: String,
    /// The waves in which they would run, folded, the first 100.
    pub waves: Vec<String>,
    /// How many waves there are.
    pub wave_count: u32,
    /// The command as it would be run.
    pub command: String,
}

/// `POST /api/v1/tasks/{id}/retry`: run again what did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// As in [`Submit`].
    pub request_id: String,
    /// Secrets, since those of the first task are gone.
    #[serde(default)]
    pub secrets: Secrets,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskView {
    /// Its number.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub id: TaskId,
    /// `command` or `script`.
    pub kind: String,
    /// The command line, or the script's name and arguments.
    pub command: String,
    /// Where it stands.
    pub state: TaskState,
    /// When it was submitted.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When its last run became terminal.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub finished_at: Option<Timestamp>,
    /// Since when its output is not kept any more; left out while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub output_removed_at: Option<Timestamp>,
    /// Its runs, counted.
    pub counts: Counts,
}

/// A task in a list: [`TaskView`] with what helps to find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskListing {
    /// The task.
    #[serde(flatten)]
    pub task: TaskView,
    /// Who asked for it.
    pub user: String,
    /// The task that it retries.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub retry_of: Option<TaskId>,
    /// Whether somebody asked to cancel it.
    pub cancelled: bool,
}

/// A page of tasks, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskListing>,
    /// What to pass as `before` for the next page; None: this is the last one.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub next_before: Option<TaskId>,
}

/// A run with its output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunView {
    /// The host's name, as it was asked for.
    pub host: String,
    /// Where it stands.
    pub state: RunState,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The exit code, where the command exited.
    pub exit_code: Option<i32>,
    /// The signal's name without `SIG`, where one ended it.
    pub signal: Option<String>,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// Standard output kept so far, U+FFFD in place of what is not UTF-8.
    pub stdout: String,
    /// Standard output, base64, only where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout_base64: Option<String>,
    /// Standard error kept so far, U+FFFD in place of what is not UTF-8.
    pub stderr: String,
    /// Standard error, base64, only where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_base64: Option<String>,
    /// Bytes written to stdout, kept or not.
    pub stdout_bytes: u64,
    /// Bytes written to stderr, kept or not.
    pub stderr_bytes: u64,
    /// Whether output past the task's limit was not kept.
    pub truncated: bool,
    /// When the task was submitted.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub queued_at: Timestamp,
    /// When the command was started.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub started_at: Option<Timestamp>,
    /// When the run became terminal.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub finished_at: Option<Timestamp>,
}

/// What `--json` prints: a task and its runs, in host order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskReport {
    /// The task.
    pub task: TaskView,
    /// Its runs.
    pub runs: Vec<RunView>,
}

/// A run in the API: [`RunView`] with its place, and with its output possibly left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunEntry {
    /// The host's place in the task's targets, from 0.
    pub index: u32,
    /// The run; `stdout` and `stderr` are empty where `output_omitted`.
    #[serde(flatten)]
    pub run: RunView,
    /// The output was larger than `output_limit`: read it from `/runs/{index}/stdout` and `/stderr`.
    pub output_omitted: bool,
    /// Why the host could not be reached.
    pub reason: Option<Unreachable>,
    /// Earlier attempts.
    pub history: Vec<PastAttempt>,
}

/// A page of runs, in host order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunEntry>,
    /// What to pass as `from` for the next page; None: this is the last one.
    pub next_from: Option<u32>,
}

/// A live event. Over HTTP it is a server-sent event whose `event` is the value of `event` here, whose
/// `id` is the place to resume from, and whose `data` is this object; `--output jsonl` prints it as is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The first event of a stream that cannot go on where the client left it: what follows begins anew.
    /// Output events carry their `offset`, so that a client can skip what it has.
    Reset,
    /// The task as it stands: the first event of a fresh stream, and the last one of every stream.
    Task(TaskView),
    /// A run changed its state.
    Run(RunEvent),
    /// A run wrote output.
    Output(OutputEvent),
}

/// See [`Event::Run`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunEvent {
    /// The task.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub task: TaskId,
    /// The host's place in the task's targets.
    pub index: u32,
    /// The host's name.
    pub host: String,
    /// The state that it is in now.
    pub state: RunState,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The exit code, where the command exited.
    pub exit_code: Option<i32>,
    /// The signal's name without `SIG`, where one ended it.
    pub signal: Option<String>,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// Bytes written to stdout so far.
    pub stdout_bytes: u64,
    /// Bytes written to stderr so far.
    pub stderr_bytes: u64,
    /// Whether output past the task's limit was not kept.
    pub truncated: bool,
}

/// See [`Event::Output`]. In JSON the bytes are `data` where they are text (UTF-8, at most an eighth of it
/// control characters), else `data_base64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputEvent {
    /// The task.
    pub task: TaskId,
    /// The host's place in the task's targets.
    pub index: u32,
    /// The host's name.
    pub host: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Which stream.
    pub stream: Stream,
    /// Where these bytes begin in the run's output log. It grows within an attempt; it is a place to
    /// compare, not a count of bytes.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// `POST /api/v1/patterns/expand`: the hosts that a pattern names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hosts {
    /// The hosts, in the order of the pattern language.
    pub hosts: Vec<String>,
    /// The same, folded.
    pub folded: String,
}

/// `GET /api/v1/doctor`: one line for each back end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// How to mend it, where it does not work.
    pub hint: Option<String>,
}

/// `GET /readyz`: whether the server takes work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Readiness {
    /// Whether it does. A server that takes tasks does so without the queue: they wait until that is back.
    pub ready: bool,
    /// What does not work; empty where everything does.
    pub failing: Vec<NotReady>,
}

/// A part of the server that does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotReady {
    /// `server` (it is leaving), `database` or `queue`.
    pub part: String,
    /// Since when, as far as was seen.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: Timestamp,
    /// What is wrong with it.
    pub why: String,
}

impl From<&crate::task::TaskRecord> for TaskView {
    fn from(task: &crate::task::TaskRecord) -> Self {
        Self {
            id: task.id,
            kind: task.kind.name().to_owned(),
            command: task.title(),
            state: task.state(),
            created_at: task.created_at,
            finished_at: task.finished_at,
            output_removed_at: task.outputs_removed_at,
            counts: task.counts,
        }
    }
}

impl From<&crate::task::TaskRecord> for TaskListing {
    fn from(task: &crate::task::TaskRecord) -> Self {
        Self {
            task: task.into(),
            user: task.owner.clone(),
            retry_of: task.retry_of,
            cancelled: task.cancelled_at.is_some(),
        }
    }
}
