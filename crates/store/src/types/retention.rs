//! The plain types of what is kept, and for how long.

use std::time::Duration;

use muster_model::{TaskId, Timestamp};

/// What ended so lately is never removed: whoever was told of the end has the time to read.
pub const FRESH: Duration = Duration::from_secs(3600);

/// What is kept. None: without a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Tasks that ended before this are removed, with all that they have.
    pub tasks_before: Option<Timestamp>,
    /// The output of tasks that ended before this is removed.
    pub outputs_before: Option<Timestamp>,
    /// Where all output takes more bytes, the oldest is removed.
    pub outputs_bytes: Option<u64>,
}

/// What is removed of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Task,
    /// Its output.
    Output,
}

/// Something that is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The task.
    pub task: TaskId,
    /// What of it.
    pub part: Part,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How many runs it has.
    pub runs: u32,
    /// What its output takes, in bytes; what it shares with earlier output is left out.
    pub bytes: u64,
}
