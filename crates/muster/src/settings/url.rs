//! Where a server may listen, and how a URL is shown.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Reads `address:port` of this machine's loopback.
///
/// # Errors
///
/// What is wrong with it, to follow the text itself.
pub fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: Option<SocketAddr> = match text.strip_prefix("localhost:") {
        Some(port) => port
            .parse()
            .ok()
            .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => text.parse().ok(),
    };
    match address {
        Some(address) if address.ip().is_loopback() => Ok(address),
        Some(_) => Err(
            "is a network address: this version serves this machine alone (127.0.0.1 or [::1]); network \
             addresses come with accounts in a later one"
                .to_owned(),
        ),
        None => Err("is not an address: write 127.0.0.1:8080, [::1]:8080 or localhost:8080".to_owned()),
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
