//! The adapters. Private: [`crate::open`] is the only door.

mod ssh;
