#![doc = include_str!("../README.md")]

mod adapters;
pub mod capabilities;
#[cfg(feature = "contract")]
pub mod contract;
pub mod error;
pub mod open;
pub mod port;
pub mod types;

pub use capabilities::Capabilities;
pub use error::Error;
pub use muster_model::run::Applied;
pub use open::{Opened, open};
pub use port::{HostKeys, Inventory, Outputs, Store};
pub use types::{
    ExecutorRecord, GroupRecord, HostKeyRecord, KeysRevision, NewTask, OpenRun, RunFilter, ShownKey,
    Submitted, TaskFilter, TaskInput,
};
