#![doc = include_str!("../README.md")]

mod adapters;
#[cfg(feature = "contract")]
pub mod contract;
pub mod demo;
pub mod error;
pub mod open;
pub mod port;
pub mod types;

pub use error::{ConnectError, Error};
pub use open::{Settings, open};
pub use port::{Killer, Running, Session, Transport};
pub use types::{Access, Exec, ExecEvent, Exit, KillReport, Sudo, What};
