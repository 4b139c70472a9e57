//! Where a server is: a Unix socket, or a loopback address with a token.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use muster_model::Secret;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket; whoever may open it is let in.
    Unix(PathBuf),
    /// An address of this machine.
    Tcp {
        /// The address and port.
        address: SocketAddr,
        /// What proves that the client may come in.
        token: Option<Secret>,
    },
}

impl Address {
    /// Returns the same address with a token; a Unix socket needs none and stays as it is.
    #[must_use]
    pub fn with_token(self, token: Option<Secret>) -> Self {
        match self {
            Self::Tcp { address, .. } => Self::Tcp { address, token },
            unix @ Self::Unix(_) => unix,
        }
    }
}

/// An address that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    /// Not an address.
    #[error("'{0}' is not a server's address: write unix:///path/to/socket or http://127.0.0.1:PORT")]
    Form(String),
    /// Not on this machine.
    #[error("'{0}' is not on this machine: only 127.0.0.0/8, [::1] and localhost are reached over http")]
    Far(String),
}

impl FromStr for Address {
    type Err = Invalid;

    /// Reads `unix:///path`, `unix:path`, an absolute path, or `http://` with a loopback address and a port.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(120).collect::<String>();
        if let Some(path) = text
            .strip_prefix("unix://")
            .or_else(|| text.strip_prefix("unix:"))
            .or_else(|| text.starts_with('/').then_some(text))
        {
            if path.starts_with('/') {
                return Ok(Self::Unix(PathBuf::from(path)));
            }
            return Err(Invalid::Form(shown()));
        }
        let rest = text
            .strip_prefix("http://")
            .ok_or_else(|| Invalid::Form(shown()))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let numeric = match authority.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => authority.to_owned(),
        };
        match numeric.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => Err(Invalid::Form(shown())),
            Ok(address) if address.ip().is_loopback() => Ok(Self::Tcp { address, token: None }),
            Ok(_) => Err(Invalid::Far(shown())),
            Err(_) => Err(Invalid::Form(shown())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { address, .. } => write!(f, "http://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sockets_or_loopback() {
        for (text, shown) in [
            ("unix:///run/muster/s", "unix:///run/muster/s"),
            ("unix:/run/muster/s", "unix:///run/muster/s"),
            ("/run/muster/s", "unix:///run/muster/s"),
            ("http://127.0.0.1:8321", "http://127.0.0.1:8321"),
            ("http://localhost:8321/", "http://127.0.0.1:8321"),
            ("http://[::1]:8321", "http://[::1]:8321"),
        ] {
            assert_eq!(
                text.parse::<Address>().map(|address| address.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in [
            "",
            "ftp://x",
            "unix:relative",
            "http://10.0.0.1:80",
            "http://127.0.0.1",
            "http://127.0.0.1:0",
            "https://a",
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.to_string().contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let address = "http://127.0.0.1:1"
            .parse::<Address>()
            .expect("an address")
            .with_token(Some(Secret::new("hidden".into())));
        assert!(!format!("{address:?} {address}").contains("hidden"));
    }
}
