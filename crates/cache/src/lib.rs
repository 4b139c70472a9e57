#![doc = include_str!("../README.md")]

mod adapters;
#[cfg(feature = "contract")]
pub mod contract;
pub mod error;
pub mod open;
pub mod port;

pub use error::Error;
pub use open::open;
pub use port::Cache;
