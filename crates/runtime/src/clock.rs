//! The wall clock and waiting. Tests with paused time move tokio's clock; the wall clock moves with it.

use std::sync::OnceLock;
use std::time::Duration;

use muster_model::Timestamp;
use tokio::time::Instant;

/// Returns the time now.
///
/// It is the wall clock, except that two calls in one process never go backwards by more than what the
/// machine's clock was set back.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_microsecond())
}

/// Waits. Cancel-safe.
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Waits until a point in time; returns at once where it has passed.
pub async fn sleep_until(at: Timestamp) {
    tokio::time::sleep(at.since(now())).await;
}

/// The work did not end in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// Runs `work` for at most `limit`; the future is dropped when the time is over.
///
/// # Errors
///
/// [`Elapsed`] where the time was over first.
pub async fn deadline<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    tokio::time::timeout(limit, work).await.map_err(|_| Elapsed)
}

/// Returns the time since this process first asked: for intervals, which wall clocks are wrong for.
#[must_use]
pub fn monotonic() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
