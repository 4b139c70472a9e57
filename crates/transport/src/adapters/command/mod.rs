//! A running command, whatever started it: its output on the way to the caller, its input on the way to the
//! command, and how it is ended with everything that it started.

pub(crate) mod feed;
pub(crate) mod killer;
pub(crate) mod pipe;
pub(crate) mod running;

pub(crate) use feed::Gate;
pub(crate) use killer::{Side, TreeKiller};
pub(crate) use running::{Delivery, End, Running};
