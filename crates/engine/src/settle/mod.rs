//! Settling: changes of runs go to the store first, then to whoever watches.

mod commit;
mod group;

pub(crate) use commit::again_or_settle;
pub(crate) use group::Gathering;
