#![doc = include_str!("../README.md")]

pub mod ansible;
pub mod cache;
mod collector;
pub mod database;
mod error;
mod guard;
pub mod home;
pub mod hostile;
pub mod keys;
pub mod openmetrics;
pub mod ports;
mod private;
pub mod proc;
pub mod proxy;
pub mod rabbitmq;
pub mod require;
mod scripted;
pub mod sshd;
pub mod wait;

pub use cache::{Certificates, Memcached, Redis, RedisCluster, RedisSentinel};
pub use collector::{Collector, Step};
pub use database::{Disk, MariaDb, Postgres};
pub use error::{Error, Missing, Result};
pub use home::Home;
pub use keys::KeyKind;
pub use proxy::Proxy;
pub use rabbitmq::RabbitMq;
pub use scripted::Scripted;
pub use sshd::Sshd;
