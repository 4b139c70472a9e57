#![doc = include_str!("../README.md")]

pub mod engine;

pub use engine::{Accepted, Engine, Load, OutputReader, Rooms, Settings, Watcher};
pub use muster_store::{Opened as Database, TaskFilter};
