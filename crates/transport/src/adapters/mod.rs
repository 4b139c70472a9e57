//! The adapters. Private: [`crate::open`] is the only door.

mod command;
pub(crate) mod local;
mod shell;
pub(crate) mod ssh;
