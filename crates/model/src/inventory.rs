//! What an inventory says as a whole: hosts, groups and what is in them, as one document. Import makes one from a
//! file, export writes one out, and the API takes one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::HostName;
use crate::host::HostRecord;

/// The longest name of a group or a credential, in bytes.
pub const NAME_BYTES: usize = 64;
/// The most labels that a host has.
pub const LABELS: usize = 256;
/// The longest key of a label, in bytes.
pub const LABEL_KEY_BYTES: usize = 128;
/// The longest value of a label, in bytes.
pub const LABEL_VALUE_BYTES: usize = 4096;

/// Hosts and groups, whole. As JSON it is the format that `hosts export --format json` writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The hosts, each once.
    #[serde(default)]
    pub hosts: Vec<HostRecord>,
    /// The groups, each once.
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// A group with what is directly in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: GroupName,
    /// The hosts that are directly in it. They need not be in the inventory: a group may name hosts that only
    /// `ssh_config` knows.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub hosts: Vec<HostName>,
    /// The groups that are in it, with all that is in them.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub groups: Vec<GroupName>,
}

/// What is no name of a group or a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{shown}' is not the name of a {what}: up to 64 letters, digits and - _ . , not starting with -")]
pub struct InvalidName {
    what: &'static str,
    shown: String,
}

fn check(what: &'static str, text: &str) -> Result<(), InvalidName> {
    let fits = !text.is_empty()
        && text.len() <= NAME_BYTES
        && !text.starts_with('-')
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fits {
        return Ok(());
    }
    let shown = text.chars().filter(|c| !c.is_control()).take(60).collect();
    Err(InvalidName { what, shown })
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Tells whether a text is a name.
            ///
            /// # Errors
            ///
            /// Where it is none.
            pub fn check(text: &str) -> Result<(), InvalidName> {
                check($what, text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                check($what, &text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name!(
    /// The name of a group: up to 64 letters, digits and `- _ .`, not starting with `-`.
    GroupName,
    "group"
);
name!(
    /// The name of a credential: up to 64 letters, digits and `- _ .`, not starting with `-`.
    CredentialName,
    "credential"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_come_in() {
        for good in ["web", "rack-1", "a.b_c", "Büro"] {
            assert!(good.parse::<GroupName>().is_ok(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", "-web", "a b", "a@b", "a,b", "web[1-2]", &long, "a\u{1b}b"] {
            let error = bad
                .parse::<CredentialName>()
                .expect_err("it is no name")
                .to_string();
            assert!(error.contains("the name of a credential"), "{bad}: {error}");
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
        assert!(serde_json::from_str::<GroupName>("\"a b\"").is_err());
    }
}
