//! The kinds of errors that the rooms' ports speak of. Callers match on the kind alone.

use std::fmt;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// It is not there.
    NotFound,
    /// It is there already.
    AlreadyExists,
    /// Its state does not allow it.
    Conflict,
    /// The request is wrong; the same request will never do.
    Invalid,
    /// It is over a limit.
    TooLarge,
    /// It is not allowed.
    Denied,
    /// This adapter cannot do it.
    Unsupported,
    /// The engine cannot be reached now; nothing has happened.
    Unavailable,
    /// It took too long; nothing has happened.
    Timeout,
    /// The caller or a shutdown cancelled it; nothing has happened.
    Cancelled,
    /// It may have happened. Never blindly retried: read back, or compare and set.
    OutcomeUnknown,
    /// What is stored cannot be read.
    Corrupt,
    /// A fault of ours.
    Internal,
}

impl ErrorKind {
    /// Tells whether the same request may do later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::Timeout)
    }

    /// Tells whether the engine may only be away for a while: what can be sent twice may be sent again. Beside those
    /// that [`is_retryable`](Self::is_retryable) names, the one of which nobody knows whether it has happened.
    #[must_use]
    pub fn may_pass(self) -> bool {
        self.is_retryable() || self == Self::OutcomeUnknown
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::TooLarge => "too large",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timed out",
            Self::Cancelled => "cancelled",
            Self::OutcomeUnknown => "outcome unknown",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal error",
        })
    }
}
