//! Keeping: what of finished tasks is kept, for how long, and never taken from under somebody who reads it.

mod hold;
mod prune;

pub(crate) use hold::{Held, Holds};
pub use prune::Keep;
