#![doc = include_str!("../README.md")]

mod adapters;
#[cfg(any(feature = "memcached", feature = "redis"))]
mod address;
#[cfg(any(feature = "memcached", feature = "redis"))]
mod circuit;
#[cfg(feature = "contract")]
pub mod contract;
pub mod error;
pub mod open;
pub mod port;
mod rules;

pub use error::Error;
pub use open::open;
pub use port::{Bits, Cache, Channels, News, Subscription};
