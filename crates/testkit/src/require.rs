//! What to do where something that a test needs is not on this machine: say so, or fail where everything is
//! required. Never silently nothing.

use crate::error::{Error, Result};

/// Returns the value, or None after saying on standard error that the test is ignored and why.
///
/// With `MUSTER_TEST_REQUIRE=all` in the environment what is missing fails the test here. What the user who runs
/// the tests may not do ([`Error::NotAllowed`]) excuses it still: nobody has to be root to pass the tests. Every
/// other error fails it always.
#[track_caller]
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn or_ignored<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let Some(why) = excuse(&error) else {
                panic!("{error}")
            };
            eprintln!("ignored: {why}");
            None
        }
    }
}

/// Returns why a test that met this error is ignored; None where it fails. For harnesses that have a way of their
/// own to say so.
#[must_use]
pub fn excuse(error: &Error) -> Option<String> {
    is_excused(error, everything_is_required()).then(|| error.to_string())
}

fn is_excused(error: &Error, everything_is_required: bool) -> bool {
    match error {
        Error::Missing(_) => !everything_is_required,
        Error::NotAllowed(_) => true,
        _ => false,
    }
}

/// Returns an error where the user who runs the tests is not root, whom a test needs to do `what`.
///
/// # Errors
///
/// [`Error::NotAllowed`], which excuses a test.
pub fn root(what: &str) -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Error::not_allowed(
        format!("the right to {what}"),
        "run the tests as root",
    ))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_excuses_unless_everything_is_required_and_failures_never_do() {
        let missing = Error::missing("sshd", "install it");
        assert!(is_excused(&missing, false) && !is_excused(&missing, true));
        let not_allowed = Error::not_allowed("root", "be root");
        assert!(is_excused(&not_allowed, false) && is_excused(&not_allowed, true));
        let failed = Error::failed("sshd", "crashed");
        assert!(!is_excused(&failed, false) && !is_excused(&failed, true));
    }
}
