#![doc = include_str!("../README.md")]

mod cluster;
mod core;
mod dispatch;
pub mod engine;
mod execute;
mod fault;
mod follow;
mod host_keys;
mod inventory;
mod listen;
mod outage;
mod plan;
mod report;
mod settle;
mod submit;
mod sweep;
mod vault;

pub use engine::{Accepted, Engine, LEASE, Load, Rooms, Settings};
pub use follow::{OutputReader, Watcher};
pub use host_keys::HostKeys;
pub use muster_store::{Opened as Database, TaskFilter};
pub use vault::KeySource;
