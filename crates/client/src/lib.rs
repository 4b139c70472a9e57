#![doc = include_str!("../README.md")]

pub mod address;
mod body;
mod client;
mod connection;
mod credentials;
mod events;
pub mod exit;
mod follow;
mod host_keys;
mod inventory;
mod request;
mod seen;
mod send;
pub mod sse;
pub mod trust;

pub use address::Address;
pub use body::Download;
pub use client::{Client, Revive};
pub use follow::Events;
pub use request::{RunsQuery, TasksQuery, request_id};
