//! The words of Muster: hosts, host patterns, tasks, runs and their state machine, events, ids, limits
//! and the types that cross the HTTP API. Pure: no I/O, no async, no clock.

pub mod compact;
pub mod error_kind;
pub mod event;
pub mod facts;
pub mod host;
pub mod host_key;
pub mod id;
pub mod inventory;
pub mod limits;
pub mod output;
pub mod pattern;
pub mod policy;
pub mod problem;
pub mod quantity;
pub mod role;
pub mod run;
pub mod sanitise;
pub mod secret;
pub mod selector;
#[cfg(feature = "stories")]
pub mod stories;
pub mod task;
pub mod trace;
pub mod wire;

pub use error_kind::ErrorKind;
pub use host::{Endpoint, HostName, Reach, Target};
pub use host_key::HostKey;
pub use id::{ExecutorId, RunKey, TaskId, Timestamp};
pub use output::{Frame, Stream};
pub use problem::Problem;
pub use role::{Role, Roles};
pub use run::{Outcome, RunRecord, RunState, Transition, Unreachable};
pub use secret::Secret;
pub use task::{Counts, Kind, Options, TaskRecord, TaskState};
pub use trace::TraceParent;
