//! Executing: takes work from the queue while there is a free slot, starts the command, keeps its output,
//! and settles.

mod access;
mod attend;
mod claim;
mod collect;
mod reach;
mod run;
mod spill;
mod take;

pub(crate) use run::wait_before;
pub(crate) use take::{Receipt, queue_options};
