#![doc = include_str!("../README.md")]

mod adapters;
#[cfg(feature = "contract")]
pub mod contract;
pub mod demo;
pub mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    //! What fuzz targets may call.
    pub use crate::adapters::ssh::fuzzing::*;
}
pub mod host_keys;
pub mod open;
pub mod port;
pub mod stored;
pub mod types;

pub use error::{ConnectError, Error};
pub use host_keys::HostKeys;
pub use open::{Settings, open};
pub use port::{KeyScan, Killer, Running, Session, Transport};
pub use stored::{Prepared, Stored, Unseal, Unsealed, prepare_key};
pub use types::{Access, Exec, ExecEvent, Exit, KillReport, Sudo, What};
