//! The adapters. Private: [`crate::open`] is the only door.

pub(crate) mod logs;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod server;
pub(crate) mod sql;
pub(crate) mod sqlite;
