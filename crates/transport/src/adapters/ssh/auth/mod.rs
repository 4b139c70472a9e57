//! Proving who we are to a host: keys first, then what needs a password.

mod attempt;
mod failure;

pub(crate) use attempt::authenticate;
