//! Sweeping: who is alive, who leads, and what the dead have left behind.

mod lease;
mod locks;
mod members;
mod silence;
mod take_over;

pub(crate) use lease::{Lease, Standing, process_of};
pub(crate) use locks::Duty;
pub(crate) use members::SWEEP;
