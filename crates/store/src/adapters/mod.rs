//! The adapters. Private: [`crate::open`] is the only door.

pub(crate) mod logs;
pub(crate) mod sql;
pub(crate) mod sqlite;
