//! The basement of Muster: the only place that spawns tasks and reads the clock.
//!
//! Everything above asks [`Tasks`] to run something and [`clock`] for the time, so that nothing is
//! detached, everything is joined at the end, and a panic ends one task and not the process.

pub mod backoff;
pub mod clock;
pub mod tasks;

pub use backoff::Backoff;
pub use clock::now;
pub use tasks::Tasks;
pub use tokio_util::sync::CancellationToken;
