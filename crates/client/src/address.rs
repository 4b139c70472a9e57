//! Where a server is: a Unix socket, a loopback address, or anywhere by TLS; the last two with a token.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use muster_model::Secret;
use rustls_pki_types::ServerName;

use crate::trust::Trust;

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
    /// A server anywhere, by TLS.
    Tls {
        /// Its name or address, as its certificate has it.
        host: String,
        /// Its port.
        port: u16,
        /// What its certificate is compared with.
        trust: Arc<Trust>,
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
            Self::Tls {
                host, port, trust, ..
            } => Self::Tls {
                host,
                port,
                trust,
                token,
            },
            unix @ Self::Unix(_) => unix,
        }
    }

    /// Returns the same address with other certificates to be trusted; one without TLS stays as it is.
    #[must_use]
    pub fn trusting(mut self, trusted: &Arc<Trust>) -> Self {
        if let Self::Tls { trust, .. } = &mut self {
            *trust = Arc::clone(trusted);
        }
        self
    }

    /// Returns the token.
    pub(crate) fn token(&self) -> Option<&Secret> {
        match self {
            Self::Tcp { token, .. } | Self::Tls { token, .. } => token.as_ref(),
            Self::Unix(_) => None,
        }
    }
}

/// An address that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    /// Not an address.
    #[error(
        "'{0}' is not a server's address: write https://host:PORT, unix:///path/to/socket or http://127.0.0.1:PORT"
    )]
    Form(String),
    /// Not on this machine.
    #[error(
        "'{0}' is not on this machine: only 127.0.0.0/8, [::1] and localhost are reached over http; others over https"
    )]
    Far(String),
}

impl FromStr for Address {
    type Err = Invalid;

    /// Reads `unix:///path`, `unix:path`, an absolute path, `http://` with a loopback address and a port, or `https://`
    /// with a name or an address and a port (443 where it is left out).
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
        if let Some(rest) = text.strip_prefix("https://") {
            let authority = rest.strip_suffix('/').unwrap_or(rest);
            let (host, port) = far(authority).ok_or_else(|| Invalid::Form(shown()))?;
            return Ok(Self::Tls {
                host,
                port,
                trust: Arc::default(),
                token: None,
            });
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

/// Reads a name or an address, in brackets where it is one of IPv6, and a port.
fn far(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok().filter(|port| *port > 0)?),
        _ => (authority, 443),
    };
    let host = match host.strip_prefix('[') {
        Some(rest) => {
            let address: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
            address.to_string()
        }
        None if host.contains(':') => return None,
        None => host.to_ascii_lowercase(),
    };
    ServerName::try_from(host.clone()).ok().map(|_| (host, port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { address, .. } => write!(f, "http://{address}"),
            Self::Tls { host, port, .. } if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            Self::Tls { host, port, .. } => write!(f, "https://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sockets_loopback_or_by_tls() {
        for (text, shown) in [
            ("unix:///run/muster/s", "unix:///run/muster/s"),
            ("unix:/run/muster/s", "unix:///run/muster/s"),
            ("/run/muster/s", "unix:///run/muster/s"),
            ("http://127.0.0.1:8321", "http://127.0.0.1:8321"),
            ("http://localhost:8321/", "http://127.0.0.1:8321"),
            ("http://[::1]:8321", "http://[::1]:8321"),
            ("https://Muster.example.net", "https://muster.example.net:443"),
            ("https://10.0.0.1:7443/", "https://10.0.0.1:7443"),
            ("https://[2001:db8::1]:7443", "https://[2001:db8::1]:7443"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
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
            "https://",
            "https://a:0",
            "https://a b",
            "https://me@a",
            "https://a/path",
            "https://2001:db8::1",
            "https://[not]:1",
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
