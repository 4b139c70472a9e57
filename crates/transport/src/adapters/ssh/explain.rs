//! What to tell people when a host cannot be reached or logged in to: what happened, and what to do next.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use muster_model::Unreachable;
use russh::{AlgorithmKind, Error};

use super::handler::{Ending, broken};
use super::resolve::Resolved;
use super::trace::{Ended, Phase, Trace};
use crate::error::ConnectError;

fn say(reason: Unreachable, resolved: &Resolved, what: &str) -> ConnectError {
    ConnectError::new(reason, format!("{}: {what}", resolved.label()))
}

/// Settings that cannot be used.
pub(super) fn settings(resolved: &Resolved, what: &str) -> ConnectError {
    say(Unreachable::Settings, resolved, what)
}

/// A name without an address.
pub(super) fn no_address(resolved: &Resolved, why: &str) -> ConnectError {
    let why = why.trim_start_matches("failed to lookup address information: ");
    let what = format!(
        "the name '{}' has no address ({why}): check its spelling, or give the host an address",
        resolved.host
    );
    say(Unreachable::NameNotFound, resolved, &what)
}

/// A connection that was not made.
pub(super) fn connecting(resolved: &Resolved, address: &SocketAddr, error: &io::Error) -> ConnectError {
    use io::ErrorKind as Kind;
    let (reason, what) = match error.kind() {
        Kind::ConnectionRefused => (
            Unreachable::Refused,
            format!("connection refused by {address}: is sshd running there, on that port?"),
        ),
        Kind::TimedOut => (
            Unreachable::TimedOut,
            format!("timed out while connecting to {address}: is the host up, and no firewall between?"),
        ),
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown | Kind::AddrNotAvailable => (
            Unreachable::NoRoute,
            format!("no route to {address} ({error}): check the address and this machine's network"),
        ),
        Kind::PermissionDenied => (
            Unreachable::NoRoute,
            format!("this machine does not let connections to {address} out ({error})"),
        ),
        _ if matches!(error.raw_os_error(), Some(23 | 24)) => (
            Unreachable::Broken,
            "this machine has no more files to open: raise the limit (ulimit -n), or run fewer hosts at once"
                .to_owned(),
        ),
        _ => (
            Unreachable::Broken,
            format!("connecting to {address} failed: {error}"),
        ),
    };
    say(reason, resolved, &what)
}

/// A login that took too long.
pub(super) fn timed_out(resolved: &Resolved, phase: &Phase, limit: Duration) -> ConnectError {
    let within = format!("within {}", seconds(limit));
    let (reason, what) = match phase {
        Phase::Resolving => (
            Unreachable::TimedOut,
            format!(
                "timed out while looking up the name '{}': no answer {within}",
                resolved.host
            ),
        ),
        Phase::Connecting => (
            Unreachable::TimedOut,
            format!(
                "timed out while connecting to {}:{}: no answer {within}; is the host up, and no firewall \
                 between?",
                resolved.host, resolved.port
            ),
        ),
        Phase::Greeting => (
            Unreachable::TimedOut,
            format!(
                "timed out waiting for its first line: connected, but nothing that speaks SSH answered {within}"
            ),
        ),
        Phase::KeyExchange => (
            Unreachable::TimedOut,
            format!("timed out in the key exchange: it was not done {within}; the host may be overloaded"),
        ),
        Phase::LoggingIn => (
            Unreachable::TimedOut,
            format!(
                "timed out while logging in: not done {within}; the host may be overloaded, or waits for \
                 something else (a directory server, a hardware key)"
            ),
        ),
        Phase::In => (
            Unreachable::TimedOut,
            format!(
                "timed out while opening a session: logged in, but the host did not answer {within}; it may be \
                 overloaded"
            ),
        ),
        Phase::Jumping(label, inner) => {
            let inside = inner
                .as_ref()
                .map(|trace| doing(&trace.phase()))
                .unwrap_or("waiting for others");
            (
                Unreachable::Jump,
                format!("timed out {within} on the way through the jump host {label} ({inside})"),
            )
        }
    };
    say(reason, resolved, &what)
}

/// A jump host that cannot be passed.
pub(super) fn no_jump(resolved: &Resolved, error: &ConnectError) -> ConnectError {
    let what = format!("the jump host cannot be passed: {}", error.message);
    say(Unreachable::Jump, resolved, &what)
}

/// A connection that broke between the login and a session.
pub(super) fn no_session(resolved: &Resolved, why: Option<&str>) -> ConnectError {
    let what = format!(
        "the connection broke while opening a session ({}): try again; the host's log may say more",
        why.unwrap_or("the host closed the connection")
    );
    say(Unreachable::Broken, resolved, &what)
}

fn doing(phase: &Phase) -> &'static str {
    match phase {
        Phase::Resolving => "looking up its name",
        Phase::Connecting => "connecting to it",
        Phase::Jumping(..) => "on the way through its own jump host",
        Phase::Greeting => "waiting for its first line",
        Phase::KeyExchange => "in the key exchange with it",
        Phase::LoggingIn => "logging in to it",
        Phase::In => "waiting for others",
    }
}

fn seconds(limit: Duration) -> String {
    if limit.subsec_millis() == 0 {
        format!("{} s", limit.as_secs())
    } else {
        format!("{:.1} s", limit.as_secs_f64())
    }
}

/// A connection that ended before the host's key was accepted.
pub(super) fn handshake(resolved: &Resolved, trace: &Trace, ending: &Ending) -> ConnectError {
    let error = match ending {
        Ending::HostKey(error) => return error.clone(),
        Ending::Ssh(error) => error,
    };
    if let Some(Ended::Said(words)) = trace.ended() {
        return say(
            Unreachable::Broken,
            resolved,
            &format!("the host ended the connection: {words}"),
        );
    }
    if !trace.greeted() || matches!(error, Error::Version) {
        return not_greeted(resolved, &trace.greeting(), error);
    }
    match error {
        Error::NoCommonAlgo { kind, theirs, .. } => no_common(resolved, kind, theirs),
        Error::IO(error) if error.kind() == io::ErrorKind::InvalidData => {
            let what = format!("the key exchange failed ({error}): is that an SSH server?");
            say(Unreachable::Protocol, resolved, &what)
        }
        Error::IO(_) | Error::Disconnect | Error::HUP | Error::SendError | Error::RecvError => say(
            Unreachable::Broken,
            resolved,
            &format!(
                "the connection broke in the key exchange ({}): try again; the host's log may say more",
                broken(error)
            ),
        ),
        Error::WrongServerSig => say(
            Unreachable::Protocol,
            resolved,
            "the host could not prove that its key is its own: something on the way may be in between",
        ),
        other => say(
            Unreachable::Protocol,
            resolved,
            &format!("the key exchange failed ({other}): the host's log may say more"),
        ),
    }
}

fn not_greeted(resolved: &Resolved, greeting: &str, error: &Error) -> ConnectError {
    if greeting.contains("MaxStartups") || greeting.contains("Not allowed at this time") {
        let what = "the host takes no more logins at this moment (MaxStartups): try again, or run fewer \
                    hosts at once";
        return say(Unreachable::Broken, resolved, what);
    }
    if !greeting.is_empty() {
        let what = format!(
            "what answers there does not speak SSH (it says '{greeting}'): is {} the right port?",
            resolved.port
        );
        return say(Unreachable::Protocol, resolved, &what);
    }
    let what = match error {
        Error::Version => {
            return say(
                Unreachable::Protocol,
                resolved,
                "what answers there does not speak SSH 2.0",
            );
        }
        error => format!(
            "the connection was closed before the host said anything ({}): it may take no more logins at \
             this moment (MaxStartups) or none from here",
            broken(error)
        ),
    };
    say(Unreachable::Broken, resolved, &what)
}

fn no_common(resolved: &Resolved, kind: &AlgorithmKind, theirs: &[String]) -> ConnectError {
    let (what, option) = match kind {
        AlgorithmKind::Kex => ("key exchange", Some("KexAlgorithms")),
        AlgorithmKind::Key => ("host key", Some("HostKeyAlgorithms")),
        AlgorithmKind::Cipher => ("cipher", Some("Ciphers")),
        AlgorithmKind::Compression => ("compression", None),
        AlgorithmKind::Mac => ("MAC", Some("MACs")),
    };
    let theirs: Vec<&str> = theirs.iter().take(8).map(String::as_str).collect();
    let hint = option.map_or_else(String::new, |option| {
        format!(": update its sshd, or allow one in ssh_config ({option} +…)")
    });
    say(
        Unreachable::Protocol,
        resolved,
        &format!(
            "no {what} algorithm in common; the host has only {}{hint}",
            theirs.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use muster_model::{Endpoint, Reach};

    use super::*;
    use crate::open::Settings;
    use crate::types::Access;

    fn resolved() -> Resolved {
        let settings = Settings {
            home: PathBuf::from("/nonexistent"),
            user: "me".into(),
            idle: Duration::from_secs(60),
            keepalive: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            host_keys: std::sync::Arc::new(crate::host_keys::InMemory::default()),
            logins: 8,
        };
        let endpoint = Endpoint {
            reach: Reach::Ssh,
            host: "2001:db8::1".into(),
            address: None,
            user: None,
            port: None,
            credential: None,
        };
        let access = Access {
            ssh_config: Some("/dev/null".into()),
            ..Access::default()
        };
        match super::super::resolve::resolve(&settings, &endpoint, &access) {
            Ok(resolved) => resolved,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn each_error_of_a_connection_has_its_reason() {
        use io::ErrorKind as Kind;
        let address: SocketAddr = "[2001:db8::1]:22".parse().expect("an address");
        for (kind, reason) in [
            (Kind::ConnectionRefused, Unreachable::Refused),
            (Kind::TimedOut, Unreachable::TimedOut),
            (Kind::HostUnreachable, Unreachable::NoRoute),
            (Kind::NetworkUnreachable, Unreachable::NoRoute),
            (Kind::AddrNotAvailable, Unreachable::NoRoute),
            (Kind::PermissionDenied, Unreachable::NoRoute),
            (Kind::ConnectionReset, Unreachable::Broken),
        ] {
            let error = connecting(&resolved(), &address, &kind.into());
            assert_eq!(error.reason, reason, "{kind:?}");
            assert!(error.message.starts_with("me@[2001:db8::1]:22: "), "{error}");
        }
        let full = io::Error::from_raw_os_error(24);
        assert!(
            connecting(&resolved(), &address, &full)
                .message
                .contains("ulimit")
        );
    }

    #[test]
    fn each_phase_says_what_was_waited_for() {
        let inner = std::sync::Arc::new(Trace::default());
        inner.enter(Phase::KeyExchange);
        for (phase, reason, words) in [
            (Phase::Resolving, Unreachable::TimedOut, "looking up the name"),
            (Phase::Connecting, Unreachable::TimedOut, "while connecting"),
            (Phase::Greeting, Unreachable::TimedOut, "first line"),
            (Phase::KeyExchange, Unreachable::TimedOut, "in the key exchange"),
            (Phase::LoggingIn, Unreachable::TimedOut, "while logging in"),
            (
                Phase::Jumping("me@b:22".into(), Some(inner)),
                Unreachable::Jump,
                "me@b:22 (in the key exchange",
            ),
            (
                Phase::Jumping("me@b:22".into(), None),
                Unreachable::Jump,
                "waiting for others",
            ),
        ] {
            let error = timed_out(&resolved(), &phase, Duration::from_secs(10));
            assert_eq!(error.reason, reason);
            assert!(
                error.message.contains(words) && error.message.contains("within 10 s"),
                "{error}"
            );
        }
    }
}
