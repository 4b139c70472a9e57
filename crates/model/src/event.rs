//! What happens to tasks and runs, as watchers are told.

use serde::{Deserialize, Serialize};

use crate::id::{RunKey, TaskId};
use crate::run::{Outcome, RunState};

/// A notice on the queue's topic exchange, routed by `task.<id>.<index>.<what>`. It is small and carries
/// no output: a watcher reads the output itself, at its own pace, from `from` to `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Notice {
    /// A run changed its state.
    Run {
        /// The run.
        run: RunKey,
        /// The attempt that it is in now.
        attempt: u32,
        /// The state that it is in now.
        state: RunState,
        /// How it ended, where it did.
        ending: Option<Box<Ending>>,
    },
    /// A run's output log has grown.
    Output {
        /// The run.
        run: RunKey,
        /// The attempt that wrote it.
        attempt: u32,
        /// Where in the log the new frames begin.
        from: u64,
        /// Where they end.
        to: u64,
    },
    /// The last run of a task has become terminal.
    Done {
        /// The task.
        task: TaskId,
    },
}

/// How a run ended, as far as watchers are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The exit code, where the command exited.
    pub exit_code: Option<i32>,
    /// The signal's name without `SIG`, where one ended it.
    pub signal: Option<String>,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// Bytes written to stdout.
    pub stdout_bytes: u64,
    /// Bytes written to stderr.
    pub stderr_bytes: u64,
    /// Whether output past the limit was not kept.
    pub truncated: bool,
}

impl From<&Outcome> for Ending {
    fn from(outcome: &Outcome) -> Self {
        Self {
            exit_code: outcome.exit_code,
            signal: outcome.signal.clone(),
            error: outcome.error.clone(),
            stdout_bytes: outcome.stdout_bytes,
            stderr_bytes: outcome.stderr_bytes,
            truncated: outcome.truncated,
        }
    }
}

impl Notice {
    /// Returns the task that the notice speaks of.
    #[must_use]
    pub fn task(&self) -> TaskId {
        match self {
            Self::Run { run, .. } | Self::Output { run, .. } => run.task,
            Self::Done { task } => *task,
        }
    }

    /// Returns the routing key.
    #[must_use]
    pub fn routing_key(&self) -> String {
        match self {
            Self::Run { run, state, .. } => format!("task.{}.{}.{state}", run.task, run.index),
            Self::Output { run, .. } => format!("task.{}.{}.output", run.task, run.index),
            Self::Done { task } => format!("task.{task}.all.done"),
        }
    }
}
