//! The error of the store's port.

use muster_model::ErrorKind;

/// A failed call of the port. Callers match on `kind` alone; the engine's own words are in the source.
#[derive(Debug, thiserror::Error)]
#[error("store: {operation}: {kind}")]
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
