//! From Memcached's errors to the port's, in one place: what is wrong and what would be right.

use std::io;

use memcache::exp::Error;
use muster_model::ErrorKind;

/// Translates an error of the server `name`: its kind, and what to say of it.
pub(super) fn translate(error: &Error, name: &str) -> (ErrorKind, String) {
    match error {
        Error::Io(error) => of_io(error, name),
        Error::Timeout { .. } => (ErrorKind::Unavailable, format!("{name} did not answer in time")),
        Error::Ambiguous { .. } => (
            ErrorKind::OutcomeUnknown,
            format!("{name} went away before it answered"),
        ),
        Error::Server(said) if said.contains("too large") => (
            ErrorKind::TooLarge,
            format!("{name} takes no items of 512 KiB: start it with -I 1m, its default, or more"),
        ),
        Error::Server(said) if said.contains("out of memory") => (
            ErrorKind::TooLarge,
            format!("{name} has no memory left and evicts nothing: start it without -M, or with more by -m"),
        ),
        Error::Server(_) => (ErrorKind::Unavailable, format!("{name} has a fault of its own")),
        Error::Rejected(said) if said.contains("unauthenticated") => (
            ErrorKind::Denied,
            format!("{name} wants a login: start it without -Y and -S, on a network of your own"),
        ),
        Error::Rejected(said) if said.trim() == "ERROR" => (
            ErrorKind::Unsupported,
            format!("{name} does not know a command that Muster needs: Memcached 1.6 or newer does"),
        ),
        Error::Protocol(_) => (
            ErrorKind::Invalid,
            format!("what answers at {name} is no Memcached"),
        ),
        _ => (ErrorKind::Internal, format!("{name} answered with an error")),
    }
}

/// Translates an error of a connection on which nothing has happened.
pub(super) fn of_io(error: &io::Error, name: &str) -> (ErrorKind, String) {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("nobody listens at {name}"),
        io::ErrorKind::TimedOut => format!("{name} did not answer in time"),
        _ if error.to_string().contains("lookup address") => format!("{name}: the name is not known"),
        _ => format!("{name} cannot be reached"),
    };
    (ErrorKind::Unavailable, why)
}

/// Looks whether an answer to `version` is of a server that does.
pub(super) fn check_version(answer: &str, name: &str) -> Result<(), (ErrorKind, String)> {
    let Some(version) = answer.strip_prefix("VERSION ") else {
        if answer.contains("unauthenticated") {
            return Err(translate(&Error::Rejected(answer.to_owned()), name));
        }
        return Err(translate(&Error::Protocol(String::new()), name));
    };
    let mut parts = version
        .trim()
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let number = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if number < (1, 6) {
        let what = format!("{name} is Memcached {}: 1.6 or newer is needed", version.trim());
        return Err((ErrorKind::Unsupported, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_says_what_is_wrong_and_what_would_be_right() {
        use ErrorKind::{Denied, Internal, Invalid, OutcomeUnknown, TooLarge, Unavailable, Unsupported};
        let io = |kind: io::ErrorKind| Error::Io(kind.into());
        let ambiguous = Error::Ambiguous {
            key: Vec::new(),
            source: Box::new(io(io::ErrorKind::BrokenPipe)),
        };
        let unknown = io::Error::other("failed to lookup address information: Name or service not known");
        for (error, kind, words) in [
            (
                io(io::ErrorKind::ConnectionRefused),
                Unavailable,
                "nobody listens at m:1",
            ),
            (io(io::ErrorKind::TimedOut), Unavailable, "in time"),
            (io(io::ErrorKind::BrokenPipe), Unavailable, "cannot be reached"),
            (Error::Io(unknown), Unavailable, "the name is not known"),
            (Error::Timeout { key: Vec::new() }, Unavailable, "in time"),
            (ambiguous, OutcomeUnknown, "before it answered"),
            (
                Error::Server("object too large for cache".to_owned()),
                TooLarge,
                "-I 1m",
            ),
            (
                Error::Server("out of memory storing object".to_owned()),
                TooLarge,
                "without -M",
            ),
            (
                Error::Server("other".to_owned()),
                Unavailable,
                "a fault of its own",
            ),
            (
                Error::Rejected("CLIENT_ERROR unauthenticated".to_owned()),
                Denied,
                "without -Y",
            ),
            (Error::Rejected("ERROR".to_owned()), Unsupported, "1.6"),
            (Error::Protocol("what".to_owned()), Invalid, "no Memcached"),
            (Error::Conflict, Internal, "an error"),
        ] {
            let (found, what) = translate(&error, "m:1");
            assert_eq!(found, kind, "{error}: {what}");
            assert!(what.contains(words), "{error}: {what}");
        }
    }

    #[test]
    fn versions_from_1_6_on_do() {
        for (answer, kind) in [
            ("VERSION 1.6.18", None),
            ("VERSION 1.10.1", None),
            ("VERSION 2.0", None),
            ("VERSION 1.5.22", Some(ErrorKind::Unsupported)),
            ("CLIENT_ERROR unauthenticated", Some(ErrorKind::Denied)),
            ("HTTP/1.1 400 Bad Request", Some(ErrorKind::Invalid)),
            ("", Some(ErrorKind::Invalid)),
        ] {
            assert_eq!(
                check_version(answer, "m").err().map(|(kind, _)| kind),
                kind,
                "{answer}"
            );
        }
    }
}
