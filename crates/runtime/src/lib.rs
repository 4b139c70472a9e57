//! The basement of Muster: the only place that spawns tasks and reads the clock.
//!
//! Everything above asks [`Tasks`] to run something and [`clock`] for the time, so that nothing is
//! detached, everything is joined at the end, and a panic ends one task and not the process.

pub mod backoff;
pub mod clock;
#[cfg(feature = "crash-points")]
pub mod crash;
pub mod meter;
pub mod tasks;
pub mod trace;

pub use backoff::Backoff;
pub use clock::now;
pub use meter::Meters;
pub use tasks::Tasks;
pub use tokio_util::sync::CancellationToken;

/// Names a place where a test may end this process: see the module `crash`. Here it is nothing, since this build
/// does not have the feature `crash-points`.
#[cfg(not(feature = "crash-points"))]
#[macro_export]
macro_rules! crash_point {
    ($point:ident) => {};
    ($point:ident if $condition:expr) => {};
}
