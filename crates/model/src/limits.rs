//! Limits that hold everywhere. Each is stated in the documentation of what it bounds.

use std::time::Duration;

/// The most hosts that a pattern may expand to and that a task may have.
pub const HOSTS_PER_TASK: u64 = 1_000_000;
/// The longest host name, user and port included, in bytes.
pub const HOST_NAME_BYTES: usize = 512;
/// The longest host pattern text, in bytes.
pub const PATTERN_BYTES: usize = 4 * 1024 * 1024;
/// The longest command, in bytes: what an argument list on Linux takes as one argument.
pub const COMMAND_BYTES: usize = 128 * 1024 - 4096;
/// The largest script, in bytes.
pub const SCRIPT_BYTES: usize = 16 * 1024 * 1024;
/// The largest standard input of a task, in bytes.
pub const STDIN_BYTES: usize = 16 * 1024 * 1024;
/// How much output a run keeps unless the task says otherwise, in bytes, both streams together.
pub const OUTPUT_BYTES: u64 = 64 * 1024 * 1024;
/// Output up to this size is kept with the run's row; beyond it, in a file of its own.
pub const INLINE_OUTPUT_BYTES: usize = 64 * 1024;
/// The largest request body that the API reads, in bytes (script and standard input, encoded).
pub const REQUEST_BYTES: usize = 64 * 1024 * 1024;
/// How long connecting and logging in may take unless the task says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a host that has let us in may take to say whether it starts a command, and whether it is still there.
pub const ANSWER: Duration = Duration::from_secs(30);
/// How long a command has between TERM and KILL.
pub const KILL_GRACE: Duration = Duration::from_secs(5);
/// The longest duration that an option takes: 366 days.
pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
