//! Submitting: a request is checked whole, its targets are resolved, and task and runs are written down
//! in one transaction before anybody hears its number.

mod retry;
mod targets;
mod validate;
mod write;

pub(crate) use validate::user;
