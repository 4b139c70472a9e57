//! What a server does among those that share a database.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Something that a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It serves clients: takes tasks, and answers for them.
    Api,
    /// It takes work from the queue and carries it out.
    Executor,
}

impl Role {
    /// Returns the name used in settings and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Executor => "executor",
        }
    }
}

/// The roles of a server: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    api: bool,
    executor: bool,
}

impl Roles {
    /// All of them: what a server does that is alone.
    pub const ALL: Self = Self {
        api: true,
        executor: true,
    };

    /// Tells whether a role is among them.
    #[must_use]
    pub fn has(self, role: Role) -> bool {
        match role {
            Role::Api => self.api,
            Role::Executor => self.executor,
        }
    }

    /// Returns them in order.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        [Role::Api, Role::Executor]
            .into_iter()
            .filter(move |role| self.has(*role))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Role::as_str).collect();
        f.write_str(&names.join(","))
    }
}

/// A text that names no roles.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidRoles {
    /// There is no such role.
    #[error("'{0}' is not a role: write api, executor, or both with a comma between them")]
    Unknown(String),
    /// It is planned.
    #[error(
        "'gateway' is a role that this version does not have yet: write api, executor, or both with a comma \
         between them"
    )]
    Gateway,
    /// None is named.
    #[error("no role is named: write api, executor, or both with a comma between them")]
    None,
}

impl FromStr for Roles {
    type Err = InvalidRoles;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut roles = Self {
            api: false,
            executor: false,
        };
        for name in text.split(',').map(str::trim) {
            match name {
                "api" => roles.api = true,
                "executor" => roles.executor = true,
                "gateway" => return Err(InvalidRoles::Gateway),
                "" => return Err(InvalidRoles::None),
                other => return Err(InvalidRoles::Unknown(other.chars().take(40).collect())),
            }
        }
        Ok(roles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_and_what_is_none_is_named() {
        for (text, shown) in [
            ("api", "api"),
            ("executor", "executor"),
            ("executor, api", "api,executor"),
            ("api,api", "api"),
        ] {
            assert_eq!(
                text.parse::<Roles>().map(|roles| roles.to_string()),
                Ok(shown.into())
            );
        }
        assert_eq!("api,gateway".parse::<Roles>(), Err(InvalidRoles::Gateway));
        assert_eq!("".parse::<Roles>(), Err(InvalidRoles::None));
        assert_eq!("api,".parse::<Roles>(), Err(InvalidRoles::None));
        assert_eq!(
            "worker".parse::<Roles>(),
            Err(InvalidRoles::Unknown("worker".into()))
        );
    }
}
