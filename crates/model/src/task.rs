//! A task: what was asked for, with which options, and how many of its runs stand where.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{TaskId, Timestamp};
use crate::quantity::Amount;
use crate::run::RunState;

/// What a task does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A command line for the host's shell.
    Command {
        /// The command line.
        command: String,
    },
    /// A script that is sent and run with its interpreter (its `#!` line, else `/bin/sh`).
    Script {
        /// The script's file name, for people and for `$0`.
        name: String,
        /// Its arguments.
        args: Vec<String>,
    },
    /// Asks hosts what they are, and keeps what they say ([`crate::facts`]).
    Facts,
}

impl Kind {
    /// Returns the kind's name in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Command { .. } => "command",
            Self::Script { .. } => "script",
            Self::Facts => "facts",
        }
    }
}

/// Whose turn comes first where executors are short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After all others.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Before all others.
    High,
}

impl Priority {
    /// Returns the AMQP priority of messages with this priority.
    #[must_use]
    pub fn level(self) -> u8 {
        match self {
            Self::Low => 1,
            Self::Normal => 4,
            Self::High => 8,
        }
    }
}

/// Options of a task that are kept with it. Secrets are not among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// How long the command may run on a host; None: as long as it takes.
    pub timeout: Option<Duration>,
    /// How long connecting and logging in may take.
    pub connect_timeout: Duration,
    /// At most so many hosts at a time; None: as many as the server has room for.
    pub concurrency: Option<u32>,
    /// Hosts in waves of this size; the next wave begins when the last one has ended.
    pub batch: Option<Amount>,
    /// Start no more once more than this many hosts have failed; None: go on.
    pub max_failures: Option<Amount>,
    /// How many more times a host is tried that did not succeed.
    pub retries: u32,
    /// Hosts that cannot be reached are tried again until then; what has not started by then expires.
    pub expires_at: Option<Timestamp>,
    /// Whose turn comes first.
    pub priority: Priority,
    /// The user to log in as, where the target names none.
    pub user: Option<String>,
    /// Run through `sudo` as this user.
    pub sudo: Option<String>,
    /// Whether a password for sudo was given (it is held in memory alone).
    pub sudo_password: bool,
    /// Whether a secret for the login was given (it is held in memory alone).
    pub login_secret: bool,
    /// Environment variables of the command.
    pub env: Vec<(String, String)>,
    /// The folder to run it in.
    pub cwd: Option<String>,
    /// How much output is kept for each host, in bytes, both streams together.
    pub max_output: u64,
    /// How long the command has between TERM and KILL on cancel and timeout.
    pub kill_grace: Duration,
    /// Take the key of a host that is not in `known_hosts`, and write it there.
    pub accept_new: bool,
    /// The ssh_config file to use instead of the user's.
    pub ssh_config: Option<String>,
    /// Private keys to offer first.
    pub identities: Vec<String>,
    /// The socket of the submitter's SSH agent.
    pub agent_socket: Option<String>,
    /// The credential to log in with, in the place of those that hosts have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<crate::inventory::CredentialName>,
    /// The step of a trace that asked for it, where traces are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<crate::trace::TraceParent>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: None,
            connect_timeout: crate::limits::CONNECT_TIMEOUT,
            concurrency: None,
            batch: None,
            max_failures: None,
            retries: 0,
            expires_at: None,
            priority: Priority::Normal,
            user: None,
            sudo: None,
            sudo_password: false,
            login_secret: false,
            env: Vec::new(),
            cwd: None,
            max_output: crate::limits::OUTPUT_BYTES,
            kill_grace: crate::limits::KILL_GRACE,
            accept_new: false,
            ssh_config: None,
            identities: Vec::new(),
            agent_socket: None,
            credential: None,
            trace: None,
        }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// At least one run is not terminal.
    Running,
    /// Every run is terminal.
    Done,
}

/// How many runs of a task stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "one field for each state, described at RunState")]
pub struct Counts {
    pub total: u32,
    pub queued: u32,
    pub started: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub timed_out: u32,
    pub unreachable: u32,
    pub cancelled: u32,
    pub expired: u32,
    pub lost: u32,
    pub skipped: u32,
}

impl Counts {
    /// Returns the count of one state.
    #[must_use]
    pub fn of(&self, state: RunState) -> u32 {
        match state {
            RunState::Queued => self.queued,
            RunState::Started => self.started,
            RunState::Succeeded => self.succeeded,
            RunState::Failed => self.failed,
            RunState::TimedOut => self.timed_out,
            RunState::Unreachable => self.unreachable,
            RunState::Cancelled => self.cancelled,
            RunState::Expired => self.expired,
            RunState::Lost => self.lost,
            RunState::Skipped => self.skipped,
        }
    }

    /// Returns the place of one state's count.
    pub fn of_mut(&mut self, state: RunState) -> &mut u32 {
        match state {
            RunState::Queued => &mut self.queued,
            RunState::Started => &mut self.started,
            RunState::Succeeded => &mut self.succeeded,
            RunState::Failed => &mut self.failed,
            RunState::TimedOut => &mut self.timed_out,
            RunState::Unreachable => &mut self.unreachable,
            RunState::Cancelled => &mut self.cancelled,
            RunState::Expired => &mut self.expired,
            RunState::Lost => &mut self.lost,
            RunState::Skipped => &mut self.skipped,
        }
    }

    /// Returns how many runs are not terminal.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.queued + self.started
    }

    /// Returns how many runs ended otherwise than asked for: failed, timed out, unreachable, expired, lost.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failed + self.timed_out + self.unreachable + self.expired + self.lost
    }
}

/// A task as the store knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// Its number.
    pub id: TaskId,
    /// What it does.
    pub kind: Kind,
    /// How.
    pub options: Options,
    /// The user of the machine who asked for it.
    pub owner: String,
    /// The task that this one retries.
    pub retry_of: Option<TaskId>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When its last run became terminal.
    pub finished_at: Option<Timestamp>,
    /// When somebody asked to cancel it.
    pub cancelled_at: Option<Timestamp>,
    /// Since when its output is not kept any more.
    pub outputs_removed_at: Option<Timestamp>,
    /// Its runs, counted.
    pub counts: Counts,
}

impl TaskRecord {
    /// Returns where the task stands.
    #[must_use]
    pub fn state(&self) -> TaskState {
        if self.finished_at.is_some() {
            TaskState::Done
        } else {
            TaskState::Running
        }
    }

    /// Returns the command as one line for people: the command, or the script with its arguments.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.kind {
            Kind::Command { command } => command.clone(),
            Kind::Script { name, args } => {
                let mut line = name.clone();
                for arg in args {
                    line.push(' ');
                    line.push_str(arg);
                }
                line
            }
            Kind::Facts => self.kind.name().to_owned(),
        }
    }
}
