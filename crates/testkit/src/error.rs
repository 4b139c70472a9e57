//! What can go wrong while preparing a test. `Missing` and `NotAllowed` are apart from the rest: they can
//! excuse a test, the others never do.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The result of preparing something for a test.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Something that the test needs is not on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// What to do to have it.
    pub install: String,
}

/// A server or a tool could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not on this machine.
    #[error("{} is missing: {}", .0.what, .0.install)]
    Missing(Missing),
    /// The test may not do what it needs, as the user who runs it.
    #[error("{} is missing: {}", .0.what, .0.install)]
    NotAllowed(Missing),
    /// A program ended with an error.
    #[error("{what} failed: {output}")]
    Failed {
        /// What was run.
        what: String,
        /// What it said.
        output: String,
    },
    /// A condition did not come true in time.
    #[error("waited {after:?} for {what}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        after: Duration,
    },
    /// A file or a process could not be handled.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn missing(what: impl Into<String>, install: impl Into<String>) -> Self {
        Self::Missing(Missing {
            what: what.into(),
            install: install.into(),
        })
    }

    pub(crate) fn not_allowed(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self::NotAllowed(Missing {
            what: what.into(),
            install: instead.into(),
        })
    }

    pub(crate) fn failed(what: impl Into<String>, output: impl Into<String>) -> Self {
        Self::Failed {
            what: what.into(),
            output: output.into(),
        }
    }

    /// Names the path that an input/output error is about.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
