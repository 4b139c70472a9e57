//! The adapters. Private: [`crate::open`] is the only door.

mod calls;
mod checks;
pub(crate) mod embedded;
#[cfg(feature = "rabbitmq")]
pub(crate) mod rabbitmq;
