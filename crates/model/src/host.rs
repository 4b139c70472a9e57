//! Hosts: their names, how a target is written, and how a host is reached.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits;

/// The name of a host: letters, digits and `. - _ : %`, at most 253 bytes, not starting with `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
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
    pub fn check(text: &str) -> Result<(), InvalidTarget> {
        let shown = || text.chars().take(80).collect::<String>();
        let belongs =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%');
        if text.is_empty() {
            return Err(InvalidTarget::Empty);
        }
        if text.len() > 253 {
            return Err(InvalidTarget::TooLong(shown()));
        }
        if text.starts_with('-') {
            return Err(InvalidTarget::Name(shown()));
        }
        let fits = text.bytes().all(belongs)
            || text
                .chars()
                .all(|c| c.is_alphanumeric() || u8::try_from(c).is_ok_and(belongs));
        if fits {
            Ok(())
        } else {
            Err(InvalidTarget::Name(shown()))
        }
    }
}

impl std::borrow::Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for HostName {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for HostName {
    type Error = InvalidTarget;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::check(&text).map(|()| Self(text))
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

/// A target that could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidTarget {
    /// Nothing there.
    #[error("a host has no name: write a name, an address or user@host:port")]
    Empty,
    /// Too long.
    #[error("the host name '{0}…' is too long: at most 253 bytes")]
    TooLong(String),
    /// Not a host name.
    #[error("'{0}' is not a host name: letters, digits and . - _ only, not starting with -")]
    Name(String),
    /// Not a user name.
    #[error(
        "'{0}' is not a user name: it may not be empty, start with - or hold spaces or control characters"
    )]
    User(String),
    /// Not a port.
    #[error("'{0}' is not a port: a port is a number from 1 to 65535")]
    Port(String),
    /// An unknown scheme.
    #[error("'{0}' is not a way to reach a host: ssh:// and local:// are known")]
    Scheme(String),
    /// An address of IPv6 with a port, without brackets.
    #[error("'{0}' is ambiguous: write an IPv6 address with a port as [address]:port")]
    Ambiguous(String),
}

/// The ways to reach a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// This machine, without SSH.
    Local,
    /// SSH.
    Ssh,
    /// The agent on the machine.
    Agent,
}

/// A target as written: `host`, `user@host:port`, `ssh://user@host:port`, `agent://host`, `localhost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How it is reached, where the text says so (`localhost` alone says [`Reach::Local`]).
    pub reach: Option<Reach>,
    /// The user to log in as.
    pub user: Option<String>,
    /// The host.
    pub host: HostName,
    /// The port.
    pub port: Option<u16>,
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidTarget::Empty);
        }
        if text.len() > limits::HOST_NAME_BYTES {
            return Err(InvalidTarget::TooLong(text.chars().take(80).collect()));
        }
        let (reach, rest) = match text.split_once("://") {
            Some(("ssh", rest)) => (Some(Reach::Ssh), rest.strip_suffix('/').unwrap_or(rest)),
            Some(("agent", rest)) => (Some(Reach::Agent), rest.strip_suffix('/').unwrap_or(rest)),
            Some(("local", rest)) => (Some(Reach::Local), rest.strip_suffix('/').unwrap_or(rest)),
            Some((scheme, _)) => return Err(InvalidTarget::Scheme(scheme.chars().take(20).collect())),
            None => (None, text),
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => {
                let bad = user.is_empty()
                    || user.starts_with('-')
                    || user.chars().any(|c| c.is_whitespace() || c.is_control());
                if bad {
                    return Err(InvalidTarget::User(user.chars().take(40).collect()));
                }
                (Some(user.to_owned()), rest)
            }
            None => (None, rest),
        };
        let port_of = |port: &str| match port.parse::<u16>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(InvalidTarget::Port(port.chars().take(20).collect())),
        };
        let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
            match bracketed.split_once(']') {
                Some((host, "")) => (host, None),
                Some((host, tail)) => match tail.strip_prefix(':') {
                    Some(port) => (host, Some(port_of(port)?)),
                    None => return Err(InvalidTarget::Name(rest.chars().take(80).collect())),
                },
                None => return Err(InvalidTarget::Name(rest.chars().take(80).collect())),
            }
        } else if rest.matches(':').count() > 1 {
            // An IPv6 address without brackets has no room for a port.
            (rest, None)
        } else {
            match rest.split_once(':') {
                Some((host, port)) => (host, Some(port_of(port)?)),
                None => (rest, None),
            }
        };
        let host: HostName = host.parse()?;
        if host.as_str().contains(':') && host.as_str().parse::<std::net::IpAddr>().is_err() {
            let plain = host.as_str().split('%').next().unwrap_or_default();
            if plain.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(InvalidTarget::Ambiguous(host.to_string()));
            }
        }
        let reach = reach.or((text == "localhost").then_some(Reach::Local));
        Ok(Self {
            reach,
            user,
            host,
            port,
        })
    }
}

/// How a host is reached, frozen with the task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The way.
    pub reach: Reach,
    /// The host's name, as `ssh_config` and `known_hosts` know it.
    pub host: String,
    /// The address to connect to, where the inventory has one that differs from the name.
    pub address: Option<String>,
    /// The user, where the target or the inventory names one.
    pub user: Option<String>,
    /// The port, where the target or the inventory names one.
    pub port: Option<u16>,
    /// The credential to log in with, where the inventory names one.
    #[serde(default)]
    pub credential: Option<crate::inventory::CredentialName>,
}

/// A host of the inventory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HostRecord {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: HostName,
    /// The address to connect to; None: the name.
    #[serde(default)]
    pub address: Option<String>,
    /// The user to log in as.
    #[serde(default)]
    pub user: Option<String>,
    /// The port.
    #[serde(default)]
    pub port: Option<u16>,
    /// How it is reached; None: SSH.
    #[serde(default)]
    pub reach: Option<Reach>,
    /// The credential that it is reached with; None: what the task and `ssh_config` say.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub credential: Option<crate::inventory::CredentialName>,
    /// Labels, `key=value`.
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
}

impl HostRecord {
    /// Returns a host of which nothing is known but its name.
    #[must_use]
    pub fn named(name: HostName) -> Self {
        Self {
            name,
            address: None,
            user: None,
            port: None,
            reach: None,
            credential: None,
            labels: std::collections::BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts = (Option<Reach>, Option<String>, String, Option<u16>);

    fn target(text: &str) -> Result<Parts, InvalidTarget> {
        text.parse::<Target>()
            .map(|t| (t.reach, t.user, t.host.to_string(), t.port))
    }

    #[test]
    fn targets_name_user_host_and_port() {
        assert_eq!(target("web1"), Ok((None, None, "web1".into(), None)));
        assert_eq!(
            target("root@web1:2222"),
            Ok((None, Some("root".into()), "web1".into(), Some(2222)))
        );
        assert_eq!(
            target("ssh://a@b@c:1/"),
            Ok((Some(Reach::Ssh), Some("a@b".into()), "c".into(), Some(1)))
        );
        assert_eq!(
            target("localhost"),
            Ok((Some(Reach::Local), None, "localhost".into(), None))
        );
        assert_eq!(
            target("ssh://localhost"),
            Ok((Some(Reach::Ssh), None, "localhost".into(), None))
        );
        assert_eq!(
            target("me@localhost"),
            Ok((None, Some("me".into()), "localhost".into(), None))
        );
        assert_eq!(
            target("[2001:db8::1]:22"),
            Ok((None, None, "2001:db8::1".into(), Some(22)))
        );
        assert_eq!(
            target("2001:db8::1"),
            Ok((None, None, "2001:db8::1".into(), None))
        );
        assert_eq!(
            target("fe80::1%eth0"),
            Ok((None, None, "fe80::1%eth0".into(), None))
        );
    }

    #[test]
    fn what_is_no_target_is_named() {
        for text in [
            "",
            "-oProxyCommand=x",
            "a b",
            "a;b",
            "web1:0",
            "web1:70000",
            "ftp://a",
            "@web",
            "a:b:c",
            "[::1",
            "[::1]x",
        ] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
