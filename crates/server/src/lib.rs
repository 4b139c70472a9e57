#![doc = include_str!("../README.md")]

mod accept;
mod api;
mod connection;
mod events;
mod extract;
mod guard;
mod listener;
mod memory;
mod meter;
mod problem;
mod serve;
mod step;
#[cfg(test)]
mod tests;
mod tls;

pub use accept::Handle;
pub use api::openapi;
pub use listener::Listener;
pub use serve::{Asked, ServerSettings, Wish, serve};
pub use tls::Certificate;
