//! The servers that share a database.

use std::time::Duration;

use muster_model::{ExecutorId, Timestamp};

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: ExecutorId,
    /// Its folder of locks on its machine: those of one home see each other's locks.
    pub home: String,
    /// Its machine, for people.
    pub machine: String,
    /// Its process.
    pub pid: u32,
    /// What it does, comma separated.
    pub roles: String,
    /// The version of its program.
    pub version: String,
    /// When it came.
    pub since: Timestamp,
    /// How long it may be silent.
    pub lease: Duration,
    /// At most so many runs at a time.
    pub slots: u32,
    /// What it last said.
    pub beat: Beat,
    /// When it left or was buried.
    pub gone_at: Option<Timestamp>,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The end of the lease by the server's own clock. Others only see whether it changes.
    pub until: Timestamp,
    /// Runs in its hands.
    pub runs: u32,
    /// Open tasks that it dispatches.
    pub tasks: u32,
    /// The id of the vault's key that it seals with; empty where it has none.
    pub vault_key: String,
    /// It finishes what it has started, and takes nothing new.
    pub leaving: bool,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The leader; None where the last one resigned.
    pub holder: Option<ExecutorId>,
    /// Grows with each leader.
    pub term: i64,
}
