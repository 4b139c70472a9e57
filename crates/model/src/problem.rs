//! One shape for every error that a person or a program sees: RFC 9457 problem details.

use serde::{Deserialize, Serialize};

/// What kind of error it is. The name is the `code` in JSON and decides HTTP status and exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request's form or one of its values is wrong.
    InvalidRequest,
    /// A host pattern cannot be read.
    InvalidPattern,
    /// A selector cannot be read.
    InvalidSelector,
    /// A pattern names a group that does not exist.
    UnknownGroup,
    /// The targets are no host at all.
    EmptyTarget,
    /// The targets are more hosts than a task may have.
    TargetTooLarge,
    /// No task has this number.
    UnknownTask,
    /// The task has no run on this host.
    UnknownRun,
    /// The output is not kept any more.
    OutputRemoved,
    /// The inventory has no such host.
    UnknownHost,
    /// There is no credential of this name.
    UnknownCredential,
    /// It exists already.
    AlreadyExists,
    /// It cannot be done in this state.
    Conflict,
    /// A part of the request is over its limit.
    TooLarge,
    /// There is no such address in the API.
    NotFound,
    /// The request is not allowed.
    Denied,
    /// The server speaks another version of the API.
    VersionMismatch,
    /// The server takes no new work: it is stopping or handing over.
    Draining,
    /// This server does not do that: another one of those that share the database does.
    NotHere,
    /// The server cannot be reached or started.
    Unavailable,
    /// A file or setting of the configuration is wrong.
    InvalidConfig,
    /// The database cannot be used.
    InvalidDatabase,
    /// The key that credentials are sealed with is missing or wrong.
    VaultKey,
    /// The socket, folder or lock belongs to somebody else.
    NotYours,
    /// A fault in Muster itself.
    Internal,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 25] = [
        Self::InvalidRequest,
        Self::InvalidPattern,
        Self::InvalidSelector,
        Self::UnknownGroup,
        Self::EmptyTarget,
        Self::TargetTooLarge,
        Self::UnknownTask,
        Self::UnknownRun,
        Self::OutputRemoved,
        Self::UnknownHost,
        Self::UnknownCredential,
        Self::AlreadyExists,
        Self::Conflict,
        Self::TooLarge,
        Self::NotFound,
        Self::Denied,
        Self::VersionMismatch,
        Self::Draining,
        Self::NotHere,
        Self::Unavailable,
        Self::InvalidConfig,
        Self::InvalidDatabase,
        Self::VaultKey,
        Self::NotYours,
        Self::Internal,
    ];

    /// Returns the HTTP status that goes with the code.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest
            | Self::InvalidPattern
            | Self::InvalidSelector
            | Self::UnknownGroup
            | Self::EmptyTarget
            | Self::TargetTooLarge
            | Self::InvalidConfig => 422,
            Self::UnknownTask
            | Self::UnknownRun
            | Self::UnknownHost
            | Self::UnknownCredential
            | Self::NotFound => 404,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::OutputRemoved => 410,
            Self::TooLarge => 413,
            Self::Denied | Self::NotYours => 403,
            Self::VersionMismatch => 426,
            Self::NotHere => 421,
            Self::Draining | Self::Unavailable => 503,
            Self::InvalidDatabase | Self::VaultKey | Self::Internal => 500,
        }
    }

    /// Returns the exit code of a command that ends with it: 2 wrong request, 3 server not reached or
    /// refusing, 4 not allowed.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::VersionMismatch
            | Self::Draining
            | Self::NotHere
            | Self::Unavailable
            | Self::VaultKey
            | Self::Internal => 3,
            Self::Denied => 4,
            _ => 2,
        }
    }

    /// Returns the short title of the code.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "the request is wrong",
            Self::InvalidPattern => "the host pattern is wrong",
            Self::InvalidSelector => "the selector is wrong",
            Self::UnknownGroup => "there is no such group",
            Self::EmptyTarget => "the targets name no host",
            Self::TargetTooLarge => "the targets are too many hosts",
            Self::UnknownTask => "there is no such task",
            Self::UnknownRun => "the task has no run on this host",
            Self::OutputRemoved => "the output is not kept any more",
            Self::UnknownHost => "there is no such host in the inventory",
            Self::UnknownCredential => "there is no such credential",
            Self::AlreadyExists => "it exists already",
            Self::Conflict => "it cannot be done now",
            Self::TooLarge => "the request is too large",
            Self::NotFound => "there is no such address",
            Self::Denied => "this is not allowed",
            Self::VersionMismatch => "the server speaks another version",
            Self::Draining => "the server takes no new work",
            Self::NotHere => "this server does not do that",
            Self::Unavailable => "the server cannot be reached",
            Self::InvalidConfig => "the configuration is wrong",
            Self::InvalidDatabase => "the database cannot be used",
            Self::VaultKey => "the key of the credentials is missing or wrong",
            Self::NotYours => "it belongs to somebody else",
            Self::Internal => "a fault in Muster",
        }
    }
}

/// An error as people and programs see it (`application/problem+json`, RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:muster:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's short title.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong, with the input named.
    pub detail: String,
    /// The code.
    pub code: Code,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// Returns a problem of the given code; `detail` names the input.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:muster:problem:{}", serde_name(code)),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            hint: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

fn serde_name(code: Code) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "internal".to_owned(),
    }
}
