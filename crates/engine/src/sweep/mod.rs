//! Sweeping: who is alive, and what the dead have left behind.

mod lease;
mod take_over;

pub(crate) use lease::{LEASE, Lease};
