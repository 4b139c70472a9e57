//! Where a server may listen, and how a URL is shown.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On loopback, without TLS.
    Plain(SocketAddr),
    /// Anywhere, by TLS.
    Tls(SocketAddr),
}

/// Reads `address:port`, which is served by TLS (`https://` may stand before it); `http://` and one of this machine's
/// loopback is served without.
///
/// # Errors
///
/// What is wrong with it, to follow the text itself.
pub fn listen(text: &str) -> Result<Listen, String> {
    let (plain, rest) = match text.strip_prefix("http://") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix("https://").unwrap_or(text)),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let address: Option<SocketAddr> = match rest.strip_prefix("localhost:") {
        Some(port) => port
            .parse()
            .ok()
            .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => rest.parse().ok(),
    };
    match address {
        Some(address) if !plain => Ok(Listen::Tls(address)),
        Some(address) if address.ip().is_loopback() => Ok(Listen::Plain(address)),
        Some(_) => Err("is a network address: it is served over TLS alone; leave http:// out".to_owned()),
        None => Err(
            "is not an address: write 0.0.0.0:7443 or [::]:7443 for every address of this machine, or \
                     http://127.0.0.1:7070 for loopback without TLS"
                .to_owned(),
        ),
    }
}

/// Returns a URL with the password in it, if any, replaced by `***`.
pub fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    // A password may hold what ends a host: whatever is before the last @ may be one.
    let login = rest.rfind('@').unwrap_or(0);
    let end = rest[login..]
        .find(['/', '?', '#'])
        .map_or(rest.len(), |end| login + end);
    let (authority, tail) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None => format!("{user}@{host}"),
        },
        None => authority.to_owned(),
    };
    format!("{scheme}://{authority}{}", masked_query(tail))
}

fn masked_query(tail: &str) -> String {
    let Some((path, query)) = tail.split_once('?') else {
        return tail.to_owned();
    };
    let masked: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _))
                if ["password", "sentinel_password", "pass", "token", "secret"].contains(&name) =>
            {
                format!("{name}=***")
            }
            _ => pair.to_owned(),
        })
        .collect();
    format!("{path}?{}", masked.join("&"))
}
