//! SSH, on russh.
//!
//! From an endpoint to [`connect::Resolved`] (what decides the connection), from there to a [`pool::Place`] on a
//! warm or new connection, from there to a channel and the command on it ([`session`]).

mod algorithms;
mod auth;
mod config;
mod connect;
mod explain;
mod follow;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod handler;
mod host_key;
mod identity;
mod jump;
mod known_hosts;
mod pool;
mod resolve;
mod resolved;
mod scan;
mod session;
mod stamp;
mod stream;
mod trace;
mod transport;

pub use identity::prepare_key;
pub(crate) use transport::Ssh;
