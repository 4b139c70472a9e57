//! The URLs of servers, of which there may be several: `scheme://user:password@host:port,host:port/path?name=value`.
//!
//! An error never quotes what may hold a password.

use std::fmt;

/// What stands in a URL.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    /// Hosts with their ports.
    pub(crate) hosts: Vec<(String, u16)>,
    /// The path's parts.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
}

// Without the password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self
            .hosts
            .iter()
            .map(|(host, port)| format!("{host}:{port}"))
            .collect();
        f.write_str(&hosts.join(","))
    }
}

/// Reads what follows the scheme.
///
/// # Errors
///
/// What is wrong, without quoting it.
pub(crate) fn parse(rest: &str, port: u16) -> Result<Address, String> {
    let rest = rest.strip_prefix("//").ok_or("// follows the scheme")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if rest.contains('#') || query.contains('#') {
        return Err("it has a #, which is written %23".to_owned());
    }
    // A password may hold a slash that was not escaped: what is before the last @ is no path.
    let (login, places) = match rest.rsplit_once('@') {
        Some((login, places)) => (Some(login), places),
        None => (None, rest),
    };
    let (hosts, path) = places.split_once('/').unwrap_or((places, ""));
    let mut address = Address {
        hosts: hosts
            .split(',')
            .map(|host| place(host, port))
            .collect::<Result<_, _>>()?,
        path: path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(decode)
            .collect::<Result<_, _>>()?,
        ..Address::default()
    };
    if let Some(login) = login {
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        address.user = Some(decode(user)?).filter(|user| !user.is_empty());
        address.password = password
            .map(decode)
            .transpose()?
            .filter(|password| !password.is_empty());
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("a parameter is written name=value")?;
        address.query.push((decode(name)?, decode(value)?));
    }
    Ok(address)
}

/// Reads `host`, `host:port` or `[address]:port`.
fn place(text: &str, otherwise: u16) -> Result<(String, u16), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("an address in [ has no ]")?;
            (host, rest.strip_prefix(':').or((!rest.is_empty()).then_some("?")))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_host = |letter: char| letter.is_ascii_alphanumeric() || "-._:%".contains(letter);
    if host.is_empty() || !host.chars().all(is_host) {
        return Err("a host is missing or is no host name".to_owned());
    }
    let port = match port {
        None => otherwise,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or("a port is no number from 1 to 65535")?,
    };
    Ok((host.to_owned(), port))
}

/// Undoes `%20` and the like.
fn decode(text: &str) -> Result<String, String> {
    const WRONG: &str = "a % is not followed by two hexadecimal digits of UTF-8 (a % itself is written %25)";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or(WRONG)?;
        bytes.push(byte);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| WRONG.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_part_by_part() {
        let read = parse(
            "//me:p%40ss%2Fw@a:1,b,[::1]:2/main/3?prefix=x:&ca=/etc/c%20a",
            6379,
        )
        .expect("right");
        assert_eq!(read.user.as_deref(), Some("me"));
        assert_eq!(read.password.as_deref(), Some("p@ss/w"));
        let hosts = [("a", 1), ("b", 6379), ("::1", 2)].map(|(host, port)| (host.to_owned(), port));
        assert_eq!(read.hosts, hosts);
        assert_eq!(read.path, ["main", "3"]);
        assert_eq!(
            read.query,
            [("prefix", "x:"), ("ca", "/etc/c a")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        assert!(!format!("{read:?}").contains("p@ss"));
        let read = parse("//:secret@a", 1).expect("right");
        assert_eq!((read.user, read.password.as_deref()), (None, Some("secret")));
    }

    #[test]
    fn what_is_wrong_is_said_and_never_quoted() {
        for url in [
            "host",
            "//",
            "//hunter2@",
            "//u:hunter2@a:0",
            "//u:hunter2@a:b",
            "//u:hunter2@[::1",
            "//u:hunter2@[::1]x",
            "//u:hunter2%@a",
            "//u:hunter2%zz@a",
            "//u:hunter2%ff@a",
            "//u:hunter2@a,,b",
            "//u:hunter2@a b",
            "//u:hunter2@a?x",
            "//u:hunter2@a#x",
            "//u:hunter2@a:1:2",
            "//u:hunter2%+1@a",
        ] {
            let error = parse(url, 1).expect_err(url);
            assert!(!error.contains("hunter2"), "{url}: {error}");
        }
    }
}
