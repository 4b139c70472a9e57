//! The adapters. Private: [`crate::open`] is the only door.

pub(crate) mod embedded;
