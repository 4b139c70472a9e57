//! From Redis' errors to the port's, in one place: what is wrong and what would be right.

use muster_model::ErrorKind;
use redis::RedisError;

use super::settings::Settings;

/// What is known of a call that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// It changes something.
    pub(super) writes: bool,
    /// It may have reached the server.
    pub(super) sent: bool,
}

/// Tells whether the connection is of no more use.
pub(super) fn is_lost(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_timeout()
        || error.kind() == redis::ErrorKind::Parse
}

/// Tells whether the server surely did nothing, and may do it when it is asked once more.
pub(super) fn is_elsewhere(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::ClusterConnectionNotFound
        || matches!(
            error.code(),
            Some("MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "READONLY")
        )
}

/// Translates an error: its kind, and what to say of it.
pub(super) fn translate(error: &RedisError, settings: &Settings, call: Call) -> (ErrorKind, String) {
    let name = settings.name();
    let said = error.to_string();
    let has = |part: &str| said.contains(part);
    let denied = |what: String| (ErrorKind::Denied, what);
    if has("invalid peer certificate") {
        let right = if has("NotValidForName") || has("not valid for name") {
            "its certificate is for another name: write the name that stands in it"
        } else if has("Expired") {
            "its certificate has run out"
        } else {
            "its certificate is not trusted: name the file of its authority by ca=, as in ?ca=/etc/redis/ca.crt"
        };
        return denied(format!("{name}: {right}"));
    }
    if has("CertificateRequired")
        || has("HandshakeFailure")
        || has("BadCertificate")
        || has("UnknownCA")
        || has("UnknownCa")
    {
        return denied(format!(
            "{name} wants a certificate of ours that it trusts: name its files by cert= and key="
        ));
    }
    if has("InvalidContentType") || has("corrupt message") {
        return (
            ErrorKind::Invalid,
            format!("{name} does not speak TLS: write redis://"),
        );
    }
    match error.code() {
        Some("WRONGPASS") => return denied(format!("{name} refuses the user or the password")),
        Some("NOAUTH") => {
            return denied(format!(
                "{name} wants a password: write redis://:password@ or user:password@"
            ));
        }
        Some("DENIED") => {
            return denied(format!(
                "{name} is in protected mode: give it a password, or bind it to loopback"
            ));
        }
        Some("NOPERM") => {
            return denied(format!(
                "{name} does not allow it: {}",
                permission(&said, settings)
            ));
        }
        Some("OOM") => {
            let right = "its memory is full and its policy is noeviction: set maxmemory-policy allkeys-lru";
            return (ErrorKind::TooLarge, format!("{name}: {right}"));
        }
        Some("WRONGTYPE") => {
            let right =
                "the key holds a value of another program: give Muster a prefix of its own by ?prefix=";
            return (ErrorKind::Conflict, format!("{name}: {right}"));
        }
        Some("LOADING") => {
            return (
                ErrorKind::Unavailable,
                format!("{name} is still loading its data"),
            );
        }
        Some("MISCONF") => {
            return (
                ErrorKind::Unavailable,
                format!("{name} takes no writes, because it cannot save its data"),
            );
        }
        Some("READONLY") => {
            return (
                ErrorKind::Unavailable,
                format!("{name} is a replica, which takes no writes"),
            );
        }
        Some("CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "MOVED" | "ASK") => {
            return (ErrorKind::Unavailable, format!("{name} is rearranging itself"));
        }
        _ => {}
    }
    if has("called without any password") {
        return denied(format!(
            "{name} has no password for its default user: write none, or the name of a user"
        ));
    }
    if error.kind() == redis::ErrorKind::AuthenticationFailed {
        // The library does not tell more.
        return denied(format!(
            "{name} refuses the user or the password (where its default user has none, write none)"
        ));
    }
    if has("max number of clients") {
        return (
            ErrorKind::Unavailable,
            format!("{name} has as many clients as its maxclients allows"),
        );
    }
    if has("not an integer") {
        return (ErrorKind::Invalid, "its value is no counter".to_owned());
    }
    if has("would overflow") {
        return (ErrorKind::Invalid, "the counter would pass 63 bits".to_owned());
    }
    if has("DB index is out of range") {
        let what = format!(
            "{name} has no database {}: see `databases` in its settings",
            settings.database
        );
        return (ErrorKind::Invalid, what);
    }
    if has("cluster support disabled") {
        return (
            ErrorKind::Invalid,
            format!("{name} is no cluster: write redis://"),
        );
    }
    if has("unknown command") {
        return (
            ErrorKind::Unsupported,
            format!("{name} lacks a command that Muster needs: Redis 6.2 or newer has it"),
        );
    }
    match error.kind() {
        redis::ErrorKind::MasterNameNotFoundBySentinel => {
            return (
                ErrorKind::Invalid,
                format!("{name}: no Sentinel watches a service of that name"),
            );
        }
        redis::ErrorKind::ClusterConnectionNotFound => {
            return (ErrorKind::Unavailable, format!("{name} has no node that answers"));
        }
        _ => {}
    }
    lost(error, &said, settings, call)
}

/// Translates what remains: mostly connections that failed.
fn lost(error: &RedisError, said: &str, settings: &Settings, call: Call) -> (ErrorKind, String) {
    let name = settings.name();
    let kind = match call {
        Call {
            writes: true,
            sent: true,
        } => ErrorKind::OutcomeUnknown,
        _ => ErrorKind::Unavailable,
    };
    if error.is_timeout() {
        let hint = if settings.is_tls && !call.sent {
            ": where it does not speak TLS, write redis://"
        } else {
            ""
        };
        return (kind, format!("{name} did not answer in time{hint}"));
    }
    if error.is_connection_refusal() {
        return (ErrorKind::Unavailable, format!("nobody listens at {name}"));
    }
    if said.contains("lookup address") {
        return (ErrorKind::Unavailable, format!("{name}: the name is not known"));
    }
    if is_lost(error) {
        // In TLS 1.3 it judges our certificate late, and its alert is lost where it hangs up at once.
        let hint = if settings.is_tls {
            "where it wants a certificate of ours, name its files by cert= and key="
        } else {
            "where it wants TLS, write rediss://"
        };
        return (kind, format!("{name} hung up: {hint}"));
    }
    (ErrorKind::Internal, format!("{name} answered with an error"))
}

/// Says what a user would have to be allowed.
fn permission(said: &str, settings: &Settings) -> String {
    let user = settings.user.as_deref().unwrap_or("default");
    let prefix = &settings.prefix;
    let rule = if said.contains("access a key") || said.contains("access one of the keys") {
        format!("~{prefix}*")
    } else if said.contains("channel") {
        format!("&{prefix}*")
    } else {
        let command = said
            .split('\'')
            .nth(1)
            .unwrap_or("all the commands in docs/operations/cache.md");
        format!("+{command}")
    };
    format!("the user '{user}' needs {rule}, as ACL SETUSER {user} {rule} gives it")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what a server's answer is for the library.
    fn server(line: &str) -> RedisError {
        let answer = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("an answer");
        answer.extract_error().expect_err("an error")
    }

    fn io(kind: std::io::ErrorKind, text: &str) -> RedisError {
        std::io::Error::new(kind, text).into()
    }

    #[test]
    fn each_error_says_what_is_wrong_and_what_would_be_right() {
        use ErrorKind::{
            Conflict, Denied, Internal, Invalid, OutcomeUnknown, TooLarge, Unavailable, Unsupported,
        };
        use std::io::ErrorKind as Io;
        let settings = Settings::parse("redis", "//me:hunter2@host:1/5").expect("a URL");
        let cases = [
            (
                server("WRONGPASS invalid username-password pair"),
                Denied,
                "refuses the user or the password",
            ),
            (
                server("NOAUTH Authentication required."),
                Denied,
                "wants a password",
            ),
            (
                server("ERR AUTH <password> called without any password configured for the default user."),
                Denied,
                "has no password",
            ),
            (
                server("DENIED Redis is running in protected mode"),
                Denied,
                "protected mode",
            ),
            (
                server("NOPERM this user has no permissions to run the 'evalsha' command"),
                Denied,
                "ACL SETUSER me +evalsha",
            ),
            (
                server("NOPERM this user has no permissions to access one of the keys used as arguments"),
                Denied,
                "needs ~muster:*",
            ),
            (
                server("NOPERM No permissions to access a key"),
                Denied,
                "needs ~muster:*",
            ),
            (
                server("NOPERM this user has no permissions to access one of the channels used as arguments"),
                Denied,
                "needs &muster:*",
            ),
            (
                server("OOM command not allowed when used memory > 'maxmemory'."),
                TooLarge,
                "maxmemory-policy allkeys-lru",
            ),
            (server("WRONGTYPE Operation against a key"), Conflict, "?prefix="),
            (
                server("LOADING Redis is loading the dataset in memory"),
                Unavailable,
                "loading",
            ),
            (
                server("MISCONF Redis is configured to save RDB snapshots"),
                Unavailable,
                "cannot save",
            ),
            (
                server("READONLY You can't write against a read only replica."),
                Unavailable,
                "is a replica",
            ),
            (
                server("CLUSTERDOWN The cluster is down"),
                Unavailable,
                "rearranging",
            ),
            (server("MOVED 3999 127.0.0.1:6381"), Unavailable, "rearranging"),
            (
                server("ERR max number of clients reached"),
                Unavailable,
                "maxclients",
            ),
            (
                server("ERR value is not an integer or out of range"),
                Invalid,
                "no counter",
            ),
            (
                server("ERR increment or decrement would overflow"),
                Invalid,
                "63 bits",
            ),
            (server("ERR DB index is out of range"), Invalid, "no database 5"),
            (
                server("ERR This instance has cluster support disabled"),
                Invalid,
                "write redis://",
            ),
            (
                server("ERR unknown command 'EVALSHA'"),
                Unsupported,
                "Redis 6.2 or newer",
            ),
            (server("ERR something else"), Internal, "answered with an error"),
            (
                io(Io::ConnectionRefused, "refused"),
                Unavailable,
                "nobody listens at Redis at host:1",
            ),
            (io(Io::TimedOut, "late"), OutcomeUnknown, "did not answer in time"),
            (
                io(Io::UnexpectedEof, "end of file"),
                OutcomeUnknown,
                "write rediss://",
            ),
            (
                io(
                    Io::Other,
                    "failed to lookup address information: Name or service not known",
                ),
                Unavailable,
                "the name is not known",
            ),
            (
                io(Io::InvalidData, "invalid peer certificate: UnknownIssuer"),
                Denied,
                "by ca=",
            ),
            (
                io(
                    Io::InvalidData,
                    "invalid peer certificate: certificate not valid for name \"a\"",
                ),
                Denied,
                "another name",
            ),
            (
                io(Io::InvalidData, "invalid peer certificate: Expired"),
                Denied,
                "has run out",
            ),
            (
                io(Io::InvalidData, "received fatal alert: CertificateRequired"),
                Denied,
                "cert= and key=",
            ),
            (
                io(
                    Io::InvalidData,
                    "received corrupt message of type InvalidContentType",
                ),
                Invalid,
                "does not speak TLS",
            ),
            (
                (redis::ErrorKind::MasterNameNotFoundBySentinel, "no").into(),
                Invalid,
                "no Sentinel watches",
            ),
            (
                (redis::ErrorKind::ClusterConnectionNotFound, "no").into(),
                Unavailable,
                "no node that answers",
            ),
        ];
        let call = Call {
            writes: true,
            sent: true,
        };
        for (error, kind, words) in cases {
            let (found, what) = translate(&error, &settings, call);
            assert_eq!(found, kind, "{error}: {what}");
            assert!(what.contains(words), "{error}: {what}");
            assert!(!what.contains("hunter2"), "{what}");
        }
    }

    #[test]
    fn who_hangs_up_may_want_tls_or_a_certificate() {
        let call = Call {
            writes: false,
            sent: true,
        };
        for (scheme, words) in [("redis", "write rediss://"), ("rediss", "cert= and key=")] {
            let settings = Settings::parse(scheme, "//host").expect("a URL");
            let gone = io(std::io::ErrorKind::ConnectionReset, "reset");
            let (kind, what) = translate(&gone, &settings, call);
            assert!(kind == ErrorKind::Unavailable && what.contains(words), "{what}");
        }
    }

    #[test]
    fn what_was_not_sent_or_changes_nothing_has_not_happened() {
        let settings = Settings::parse("redis", "//host").expect("a URL");
        for (writes, sent) in [(true, false), (false, true), (false, false)] {
            for kind in [std::io::ErrorKind::TimedOut, std::io::ErrorKind::BrokenPipe] {
                let (found, _) = translate(&io(kind, "gone"), &settings, Call { writes, sent });
                assert_eq!(found, ErrorKind::Unavailable, "{kind} {writes} {sent}");
            }
        }
    }
}
