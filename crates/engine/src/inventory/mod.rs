//! The inventory's verbs: hosts, what they said of themselves, groups, and taking over whole inventories.

mod ahead;
mod copy;
mod door;
mod facts;
mod import;
mod plan;
mod select;
mod verbs;

pub(crate) use copy::{InMemory, Membership};
pub(crate) use facts::Shelf;
