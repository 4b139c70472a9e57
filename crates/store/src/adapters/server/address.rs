//! The URL of a database on a server: looked at before a driver sees it, and never shown with its password.

use muster_model::ErrorKind;

use crate::error::Error;

/// How an engine's URLs look.
pub(crate) struct Form {
    /// The scheme that the driver knows.
    pub(crate) scheme: &'static str,
    /// A URL as it would be right.
    pub(crate) example: &'static str,
    /// The parameters that are allowed.
    pub(crate) parameters: &'static [&'static str],
    /// The one that names a Unix socket instead of a host.
    pub(crate) socket: &'static str,
}

/// A URL that has the right form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// For the driver, with the password. Never to be shown.
    pub(crate) url: String,
    /// For people, without the password.
    pub(crate) place: String,
}

impl Address {
    /// Looks at a URL.
    pub(crate) fn parse(form: &Form, url: &str) -> Result<Self, Error> {
        let refuse = |what: &str| {
            Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "open the database: {what}; write {}, with %23, %2F, %3A, %3F and %40 for # / : ? and @ in \
                     names and passwords",
                    form.example
                ),
            ))
        };
        if url.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return refuse("its URL has a space or a control character in it");
        }
        let Some((_, rest)) = url.split_once("://") else {
            return refuse("its URL has no // behind the scheme");
        };
        if rest.contains('#') {
            return refuse("its URL has a # in it");
        }
        let (front, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = front.split_once('/').unwrap_or((front, ""));
        let (account, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let user = account.split_once(':').map_or(account, |(user, _)| user);
        if user.is_empty() {
            return refuse("its URL names no user");
        }
        if account.contains('@') || user.contains(':') {
            return refuse("its URL has more than one @ before the host");
        }
        if database.is_empty() || database.contains('/') {
            return refuse("its URL names no database behind the host, or more than one");
        }
        let mut socket = None;
        for (name, value) in parameters
            .split('&')
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        {
            if !form.parameters.contains(&name) {
                let name: String = name.chars().take(40).collect();
                return refuse(&format!(
                    "its URL has the parameter '{name}', and may have {}",
                    form.parameters.join(", ")
                ));
            }
            if name == form.socket {
                socket = Some(value);
            }
        }
        if host.is_empty() && socket.is_none_or(str::is_empty) {
            return refuse("its URL names no host");
        }
        let host = if host.is_empty() {
            socket.unwrap_or_default()
        } else {
            host
        };
        // The drivers want a host even where a socket is used.
        let authority = match authority.strip_suffix('@') {
            Some(account) => format!("{account}@localhost"),
            None => authority.to_owned(),
        };
        let parameters = if parameters.is_empty() {
            String::new()
        } else {
            format!("?{parameters}")
        };
        Ok(Self {
            url: format!("{}://{authority}/{database}{parameters}", form.scheme),
            place: format!("{}://{user}@{host}/{database}", form.scheme),
        })
    }

    /// What is done while opening it.
    pub(crate) fn operation(&self) -> String {
        format!("open {}", self.place)
    }

    /// Returns an error of opening it that says what to do.
    pub(crate) fn refused(&self, kind: ErrorKind, what: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("open {}: {what}", self.place))
    }
}

/// Returns a number of a version, `15.18 (Debian)` or `10.11.19-MariaDB`, as its first two parts.
pub(crate) fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    let first = parts.next()?.parse().ok()?;
    Some((
        first,
        parts.next().and_then(|part| part.parse().ok()).unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form {
        scheme: "postgres",
        example: "postgres://user:password@host:5432/database",
        parameters: &["sslmode", "host"],
        socket: "host",
    };

    #[test]
    fn a_right_url_is_taken_and_shown_without_its_password() {
        let table = [
            (
                "postgres://me:pass@db/muster",
                "postgres://me:pass@db/muster",
                "postgres://me@db/muster",
            ),
            (
                "postgresql://me@db:99/m?sslmode=require",
                "postgres://me@db:99/m?sslmode=require",
                "postgres://me@db:99/m",
            ),
            (
                "postgres://me:p%40ss@[::1]:5/m",
                "postgres://me:p%40ss@[::1]:5/m",
                "postgres://me@[::1]:5/m",
            ),
            (
                "postgres://me:x@/m?host=/run/p",
                "postgres://me:x@localhost/m?host=/run/p",
                "postgres://me@/run/p/m",
            ),
        ];
        for (url, driver, place) in table {
            let address = Address::parse(&FORM, url).unwrap();
            assert_eq!((address.url.as_str(), address.place.as_str()), (driver, place));
        }
    }

    #[test]
    fn a_wrong_url_is_refused_with_what_would_be_right_and_never_shown() {
        let table = [
            ("postgres:me:hunter2@db/m", "no //"),
            ("postgres://db/m", "no user"),
            ("postgres://:hunter2@db/m", "no user"),
            ("postgres://me:hun@ter2@db/m", "more than one @"),
            ("postgres://me:hunter2@/m", "no host"),
            ("postgres://me:hunter2@db", "no database"),
            ("postgres://me:hunter2@db/", "no database"),
            ("postgres://me:hun/ter2@db/m", "no user"),
            ("postgres://me:hunter2@db/m/n", "no database"),
            ("postgres://me:hunter2@db/m?options=hunter2", "'options'"),
            ("postgres://me:hunter2@db/m#x", "a #"),
            ("postgres://me:hunter2@db/m\n", "control"),
        ];
        for (url, says) in table {
            let error = Address::parse(&FORM, url).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.kind, ErrorKind::Invalid, "{url}");
            assert!(
                text.contains(says) && text.contains(FORM.example),
                "{url}: {text}"
            );
            assert!(!text.contains("hunter2") && !text.contains("ter2@"), "{text}");
        }
    }

    #[test]
    fn versions_are_read() {
        let table = [
            ("15.18 (Debian 15.18-0+deb12u1)", Some((15, 18))),
            ("10.11.19-MariaDB-0+deb12u1", Some((10, 11))),
            ("8.0.36", Some((8, 0))),
            ("17beta1", Some((17, 0))),
            ("", None),
            ("new", None),
        ];
        for (text, right) in table {
            assert_eq!(version(text), right, "{text}");
        }
    }
}
