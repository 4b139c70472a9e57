//! What happens to tasks and runs, as watchers are told.

use serde::{Deserialize, Serialize};

use crate::id::{RunKey, TaskId};
use crate::run::RunState;

/// A notice on the queue's topic exchange, routed by `task.<id>.<index>.<what>`. It is small and carries
/// no output: a watcher reads the output itself, at its own pace, from `from` to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
