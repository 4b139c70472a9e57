//! Settling: changes of runs go to the store first, then to whoever watches.

mod commit;
mod group;
mod pace;

pub(crate) use group::Gathering;
pub(crate) use muster_model::policy::again_or_settle;
