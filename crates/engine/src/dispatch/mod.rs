//! Dispatch: hands the runs of a task to the queue, no more at a time than the task allows, and settles
//! those that will not start.

mod lost;
mod publish;
mod release;
mod stop;

pub(crate) use lost::Others;
pub(crate) use publish::Work;
