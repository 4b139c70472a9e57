#![doc = include_str!("../README.md")]

mod adapters;
#[cfg(feature = "contract")]
pub mod contract;
pub mod error;
pub mod open;
pub mod port;
pub mod types;

pub use error::Error;
pub use open::open;
pub use port::{Consumer, Queue, Settler};
pub use types::{Capabilities, Delivery, ExchangeKind, Message, QueueOptions};
