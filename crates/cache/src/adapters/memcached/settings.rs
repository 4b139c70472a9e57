//! What a Memcached URL says.

use std::time::Duration;

use muster_model::{ErrorKind, quantity};

use crate::address;
use crate::error::Error;

/// How long a call may take unless the URL says otherwise.
const TIMEOUT: Duration = Duration::from_secs(2);
const FORM: &str = "write memcached://host:port,host:port?prefix=muster:";

/// What a URL says.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
}

impl Settings {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// `Invalid`, which says what is wrong and never quotes the URL.
    pub(super) fn parse(rest: &str) -> Result<Self, Error> {
        let address = address::parse(rest, 11211).map_err(|why| invalid(&why))?;
        if address.user.is_some() || address.password.is_some() {
            return Err(invalid(
                "Memcached is used without a login: let it listen on a network of your own",
            ));
        }
        if !address.path.is_empty() {
            return Err(invalid("it takes no path"));
        }
        let mut settings = Self {
            hosts: address.hosts,
            prefix: "muster:".to_owned(),
            timeout: TIMEOUT,
        };
        for (name, value) in address.query {
            match name.as_str() {
                "prefix" if value.len() <= 100 && value.bytes().all(|byte| byte.is_ascii_graphic()) => {
                    settings.prefix = value;
                }
                "prefix" => return Err(invalid("a prefix has at most 100 letters of ASCII and no spaces")),
                "timeout" => {
                    settings.timeout = quantity::duration(&value)
                        .map_err(|error| invalid("its timeout is wrong").caused_by(error))?;
                }
                _ => return Err(invalid("a parameter is not known: it takes prefix and timeout")),
            }
        }
        for (place, host) in settings.hosts.iter().enumerate() {
            if settings.hosts[..place].contains(host) {
                return Err(invalid("it names a server twice"));
            }
        }
        Ok(settings)
    }
}

/// Returns the error of a URL that is not understood. It never quotes the URL.
fn invalid(why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("open the cache's URL: {why}; {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_strictly() {
        let settings = Settings::parse("//a,b:1?prefix=x.&timeout=1s").expect("right");
        assert_eq!(settings.hosts, [("a".to_owned(), 11211), ("b".to_owned(), 1)]);
        assert_eq!(
            (settings.prefix.as_str(), settings.timeout),
            ("x.", Duration::from_secs(1))
        );
        for (url, why) in [
            ("//u:hunter2@a", "without a login"),
            ("//a/1", "no path"),
            ("//a,a", "twice"),
            ("//a?prefix=%20", "a prefix has"),
            ("//a?timeout=x", "timeout"),
            ("//a?colour=hunter2", "it takes prefix"),
            ("a", "//"),
        ] {
            let error = Settings::parse(url).expect_err(url);
            assert!(error.operation.contains(why), "{url}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{url}");
        }
    }
}
