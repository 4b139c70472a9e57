//! Private keys, certificates and the SSH agent: what there is to show a host. Keys are loaded once,
//! however many hosts they are for, and never leave this module but as signatures.

mod agent;
mod kept;
mod key_file;
mod offer;
mod open;
mod stack;

pub use kept::prepare_key;
pub(crate) use offer::{Kept, Offers, SignError, Signing, collect};

#[cfg(test)]
mod tests;
