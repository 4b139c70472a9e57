//! Planning: in which waves a task's hosts are started.

mod waves;

pub(crate) use waves::{describe, waves};
