//! The contract: what every adapter promises, as cases that run on any of them.
//!
//! A [`Fixture`] opens an adapter in a namespace of its own; [`cases`] lists what is asked of it. What an
//! adapter cannot do stands in [`UNSUPPORTED`], and [`Case::check`] compares that table with reality both
//! ways: a listed case that passes fails the suite as surely as an unlisted one that does not.

mod bench;
mod calls;
mod case;
mod delivery;
mod expiry;
mod lifecycle;
mod load;
mod outage;
mod priority;
mod routing;
mod sharing;

pub use bench::{Bench, Ending, Fixture};
pub use case::{Case, Need, Outcome, UNSUPPORTED, cases};
