#![doc = include_str!("../README.md")]

mod adapters;
pub mod capabilities;
#[cfg(feature = "contract")]
pub mod contract;
pub mod error;
pub mod open;
pub mod port;
pub mod schema;
pub mod transfer;
pub mod types;

pub use capabilities::Capabilities;
pub use error::Error;
pub use muster_model::run::Applied;
pub use open::{Opened, open};
pub use port::{Inventory, Outputs, Store};
pub use schema::{Schema, migrate, schema};
pub use types::{
    Changed, Edit, ExecutorRecord, GroupRecord, HostChanges, HostFacts, NewTask, OpenRun, Revision,
    RunFilter, Submitted, TaskFilter, TaskInput,
};
