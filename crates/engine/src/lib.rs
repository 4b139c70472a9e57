#![doc = include_str!("../README.md")]

mod cluster;
mod core;
mod dispatch;
mod doctor;
pub mod engine;
mod execute;
mod fault;
mod follow;
mod host_keys;
mod inventory;
mod keep;
mod listen;
mod meter;
mod outage;
mod plan;
mod ready;
mod report;
mod settle;
mod steps;
mod submit;
mod sweep;
mod together;
mod vault;

pub use engine::{Accepted, Engine, LEASE, Load, Rooms, Settings};
pub use follow::{OutputReader, Watcher};
pub use host_keys::HostKeys;
pub use keep::Keep;
pub use muster_store::retention::Removed;
pub use muster_store::{Opened as Database, TaskFilter};
pub use vault::KeySource;
