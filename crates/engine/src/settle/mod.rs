//! Settling: changes of runs go to the store first, then to whoever watches.

mod commit;

pub(crate) use commit::again_or_settle;
