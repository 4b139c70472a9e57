//! `GET /api/v1/cluster`: the servers that share a database, and what each has in hand.

use serde::{Deserialize, Serialize};

use crate::{Role, Timestamp};

/// The servers that share a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterView {
    /// Those that are there, then those that were there lately.
    pub servers: Vec<ServerView>,
    /// The id of the one that takes over what others leave; None where none does, and where all servers are on one
    /// machine: then each looks for itself.
    pub leader: Option<String>,
    /// The term in which it leads: grows with each leader.
    pub term: i64,
    /// Runs that wait in the queue; None where the queue does not answer.
    pub queued: Option<u64>,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerView {
    /// Its id.
    pub id: String,
    /// Its machine.
    pub machine: String,
    /// Its process.
    pub pid: u32,
    /// What it does; empty where an older release does not say.
    pub roles: Vec<Role>,
    /// The version of its program; empty where an older release does not say.
    pub version: String,
    /// Whether it is there.
    pub state: ServerState,
    /// Whether it is the one that answers.
    pub answers: bool,
    /// When it came; None where that is not known.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub since: Option<Timestamp>,
    /// How long ago it gave a sign of life, in milliseconds, as far as the one that answers has seen; None where it is
    /// not looked at.
    pub silent_ms: Option<u64>,
    /// At most so many runs at a time.
    pub slots: u32,
    /// Runs in its hands.
    pub active_runs: u32,
    /// Open tasks that it hands out.
    pub open_tasks: u32,
    /// Notices that wait for it in the queue; None where that is not known.
    pub notices: Option<u64>,
    /// When it left or was given up.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub gone_at: Option<Timestamp>,
}

/// Whether a server is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// It is.
    Here,
    /// It finishes what it has started, and takes nothing new.
    Leaving,
    /// It has missed signs of life, and is not given up yet.
    Silent,
    /// It has left, or was given up.
    Gone,
}

impl ServerState {
    /// Returns the name used in JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Leaving => "leaving",
            Self::Silent => "silent",
            Self::Gone => "gone",
        }
    }
}
