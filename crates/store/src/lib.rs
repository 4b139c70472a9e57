#![doc = include_str!("../README.md")]

mod adapters;
pub mod capabilities;
#[cfg(feature = "contract")]
pub mod contract;
pub mod error;
pub mod open;
pub mod port;
pub mod retention;
pub mod schema;
pub mod transfer;
pub mod types;

pub use capabilities::Capabilities;
pub use error::Error;
pub use muster_model::run::Applied;
pub use open::{Opened, open};
pub use port::{HostKeys, Inventory, Members, Outputs, Retention, Store, Vault};
pub use schema::{Schema, migrate, schema};
pub use types::vault::{Put, Removed, SealedCredential, SealedSecrets, TaskSecrets, VaultKey};
pub use types::{
    Beat, Changed, Edit, ExecutorRecord, GroupRecord, HostChanges, HostFacts, HostKeyRecord, KeysRevision,
    KnownFacts, Leadership, Member, NewTask, OpenRun, Revision, RunFilter, ShownKey, Submitted, TaskFilter,
    TaskInput,
};
