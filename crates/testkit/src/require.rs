//! What to do where something that a test needs is not on this machine: say so, or fail where everything is
//! required. Never silently nothing.

use crate::error::{Error, Result};

/// Returns the value, or None after saying on standard error that the test is ignored and why.
///
/// With `MUSTER_TEST_REQUIRE=all` in the environment, and for errors that are not [`Error::Missing`], the test
/// fails here.
#[track_caller]
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn or_ignored<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Missing(missing)) if !everything_is_required() => {
            eprintln!("ignored: {} is missing: {}", missing.what, missing.install);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Returns whether a missing server is a failure: `MUSTER_TEST_REQUIRE=all`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a setting of the tests alone")]
pub fn everything_is_required() -> bool {
    std::env::var_os("MUSTER_TEST_REQUIRE").is_some_and(|value| value == "all")
}

/// Gives the value of a `muster_testkit::Result`, or leaves the test: ignored where something is missing on
/// this machine (failed with `MUSTER_TEST_REQUIRE=all`), failed for every other error.
///
/// For tests that return `()`; `require!(result, value)` leaves with `value`.
#[macro_export]
macro_rules! require {
    ($result:expr) => {
        match $crate::require::or_ignored($result) {
            Some(value) => value,
            None => return,
        }
    };
    ($result:expr, $otherwise:expr) => {
        match $crate::require::or_ignored($result) {
            Some(value) => value,
            None => return $otherwise,
        }
    };
}
