//! The errors of the transport's port.

use muster_model::{ErrorKind, Unreachable};

/// A failed call on a session or a command.
#[derive(Debug, thiserror::Error)]
#[error("transport: {operation}: {kind}")]
pub struct Error {
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// What was being done, with its object named.
    pub operation: String,
    /// The engine's own error.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Returns an error without a source.
    #[must_use]
    pub fn new(kind: ErrorKind, operation: impl Into<String>) -> Self {
        Self {
            kind,
            operation: operation.into(),
            source: None,
        }
    }

    /// Adds the error that it came from.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// A host that could not be reached or logged in to: why, and a message for the operator that names the
/// host and says what to do next. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    /// Why.
    pub reason: Unreachable,
    /// One or two sentences for people, one line, no control characters.
    pub message: String,
}

impl ConnectError {
    /// Returns an error; control characters in the message (a stranger may have chosen parts of it) are
    /// replaced.
    #[must_use]
    pub fn new(reason: Unreachable, message: impl AsRef<str>) -> Self {
        let message = message
            .as_ref()
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .take(1000);
        Self {
            reason,
            message: message.collect(),
        }
    }
}
