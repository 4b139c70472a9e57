//! Waiting for a condition with a deadline: the only way in which tests wait.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

const STEP: Duration = Duration::from_millis(5);

/// Waits until `condition` holds, for at most `limit`.
///
/// # Errors
///
/// [`Error::TimedOut`], which names `what`.
pub async fn until(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    until_some(limit, what, || std::future::ready(condition().then_some(()))).await
}

/// Waits until `attempt` gives a value, for at most `limit`; an attempt that hangs is part of the limit.
///
/// # Errors
///
/// [`Error::TimedOut`], which names `what`.
pub async fn until_some<T, F>(limit: Duration, what: &str, mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Option<T>>,
{
    let all = async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(STEP).await;
        }
    };
    tokio::time::timeout(limit, all)
        .await
        .map_err(|_| timed_out(limit, what))
}

/// The same as [`until_some`] for tests without a runtime: blocks the thread.
///
/// # Errors
///
/// [`Error::TimedOut`], which names `what`.
pub fn blocking<T>(limit: Duration, what: &str, mut attempt: impl FnMut() -> Option<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return Ok(value);
        }
        if started.elapsed() >= limit {
            return Err(timed_out(limit, what));
        }
        std::thread::sleep(STEP);
    }
}

fn timed_out(after: Duration, what: &str) -> Error {
    Error::TimedOut {
        what: what.to_owned(),
        after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_never_holds_is_named_in_the_error() {
        let error = until(Duration::from_millis(20), "rain", || false)
            .await
            .expect_err("it never rains");
        assert_eq!(error.to_string(), "waited 20ms for rain");
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_is_cut_off() {
        let result = until_some::<(), _>(Duration::from_millis(20), "nothing", std::future::pending).await;
        assert!(matches!(result, Err(Error::TimedOut { .. })));
    }

    #[test]
    fn blocking_returns_the_first_value() {
        let mut left = 3;
        let value = blocking(Duration::from_secs(5), "a countdown", || {
            left -= 1;
            (left == 0).then_some("done")
        });
        assert_eq!(value.expect("counts down"), "done");
    }
}
