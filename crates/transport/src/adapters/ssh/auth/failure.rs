//! What to tell people when a host does not let us in.

use muster_model::Unreachable;
use russh::MethodKind;

use crate::adapters::ssh::handler::harmless;
use crate::adapters::ssh::identity::Offers;
use crate::adapters::ssh::resolve::Resolved;
use crate::adapters::ssh::stream::TOO_MUCH;
use crate::adapters::ssh::trace::{Ended, Trace};
use crate::error::ConnectError;

/// What was tried.
#[derive(Default)]
pub(super) struct Tried {
    /// Keys that the host did not take.
    pub(super) keys: Vec<String>,
    /// Keys that the host would take but that could not be used, each with why.
    pub(super) would_do: Vec<(String, String)>,
    /// Whether there is a password.
    pub(super) has_password: bool,
    /// Whether the host was told the password.
    pub(super) password: bool,
    /// Whether one way did and the host wanted another as well.
    pub(super) partly: bool,
    /// Whether an RSA key was left out, since the host knows it with SHA-1 only.
    pub(super) sha1_only: bool,
}

fn say(reason: Unreachable, resolved: &Resolved, what: &str) -> ConnectError {
    ConnectError::new(reason, format!("{}: {what}", resolved.label()))
}

/// The host let nothing in.
pub(super) fn refused(
    resolved: &Resolved,
    tried: &Tried,
    offers: &Offers,
    accepted: &[MethodKind],
) -> ConnectError {
    let takes_password =
        accepted.contains(&MethodKind::Password) || accepted.contains(&MethodKind::KeyboardInteractive);
    if let Some((name, why)) = tried.would_do.first() {
        let what = format!("the host would take the key {name}, but {why}");
        return say(Unreachable::KeyUnusable, resolved, &what);
    }
    if tried.password {
        let also = if tried.keys.is_empty() {
            ""
        } else {
            ", nor any of the keys"
        };
        let what = format!(
            "the host did not take the password{} for '{}'{also}: check the user and the password",
            of_credential(resolved),
            resolved.user
        );
        return say(Unreachable::WrongPassword, resolved, &what);
    }
    if tried.partly {
        let what = format!(
            "one way to log in did, and the host wants another as well: {}. There is no other to try{}",
            listed(accepted),
            if takes_password && !tried.has_password {
                ": run again with --ask-password"
            } else {
                ""
            },
        );
        return say(Unreachable::NoMethod, resolved, &what);
    }
    let ask = if takes_password && !tried.has_password {
        "; it takes a password as well: run again with --ask-password"
    } else {
        ""
    };
    // A key that was named for this task and cannot be used is what to mend first.
    let named = offers
        .unusable
        .iter()
        .find(|(path, _)| resolved.identities.explicit.contains(path));
    if let Some((path, why)) = named {
        let what = format!("the key {} cannot be used: {why}", path.display());
        return say(Unreachable::KeyUnusable, resolved, &what);
    }
    // A host that takes no keys at all has not refused this one.
    if !tried.keys.is_empty() && accepted.contains(&MethodKind::PublicKey) {
        let what = format!(
            "the host took none of the keys ({}) for '{}'{}: add one to its authorized_keys, or name the right \
             one with --identity{ask}",
            names(&tried.keys),
            resolved.user,
            others(offers),
        );
        return say(Unreachable::KeyRefused, resolved, &what);
    }
    if tried.sha1_only {
        let what = format!(
            "the host takes RSA keys only with SHA-1 signatures, which are not safe: use an ed25519 key{ask}"
        );
        return say(Unreachable::KeyRefused, resolved, &what);
    }
    if let Some((path, why)) = offers.unusable.first() {
        let what = format!("there is no key to show: {}: {why}{ask}", path.display());
        return say(Unreachable::KeyUnusable, resolved, &what);
    }
    no_method(resolved, tried, offers, accepted, takes_password)
}

fn no_method(
    resolved: &Resolved,
    tried: &Tried,
    offers: &Offers,
    accepted: &[MethodKind],
    takes_password: bool,
) -> ConnectError {
    let agent = match (&resolved.identities.agent, &offers.agent_problem) {
        (_, Some(problem)) => format!("; {problem}"),
        (None, None) => "; no SSH agent is known".to_owned(),
        (Some(_), None) => "; the SSH agent holds none either".to_owned(),
    };
    let what = match (accepted.contains(&MethodKind::PublicKey), takes_password) {
        _ if tried.has_password => {
            let agent = if accepted.contains(&MethodKind::PublicKey) {
                agent
            } else {
                String::new()
            };
            format!(
                "the host accepts {} only, which is not what there is (a password){agent}: name a key with \
                 --identity",
                listed(accepted)
            )
        }
        (true, true) => format!(
            "there is no key to show and no password: the host accepts {}{agent}. Name a key with \
             --identity, or run again with --ask-password",
            listed(accepted)
        ),
        (true, false) => format!(
            "there is no key to show: the host accepts {} only{agent}. Name a key with --identity, or add \
             one with ssh-add",
            listed(accepted)
        ),
        (false, true) => format!(
            "the host accepts {} only: run again with --ask-password",
            listed(accepted)
        ),
        (false, false) => format!(
            "the host accepts {} only, which Muster cannot do",
            listed(accepted)
        ),
    };
    say(Unreachable::NoMethod, resolved, &what)
}

/// Names the credential that the password is from, where none was typed.
fn of_credential(resolved: &Resolved) -> String {
    match &resolved.stored {
        Some(stored) if resolved.password.is_none() => format!(" of the credential '{}'", stored.name),
        _ => String::new(),
    }
}

/// The host asked something that the password does not answer.
pub(super) fn asked(resolved: &Resolved, prompt: &str) -> ConnectError {
    let prompt: String = harmless(prompt).chars().take(80).collect();
    let what =
        format!("the host asks '{prompt}', which nobody is there to answer: log in with a key instead");
    say(Unreachable::NoMethod, resolved, &what)
}

/// The connection ended in the middle of the login.
pub(super) fn gone(resolved: &Resolved, trace: &Trace, tried: &Tried) -> ConnectError {
    let shown = tried.keys.len();
    match trace.ended() {
        Some(Ended::Said(words)) if words.contains("Too many authentication failures") => {
            let what = format!(
                "the host ended the login: too many authentication failures, after {shown} keys. Name the \
                 right one with --identity, or set IdentitiesOnly yes for the host in ssh_config"
            );
            say(Unreachable::KeyRefused, resolved, &what)
        }
        Some(Ended::Said(words)) => say(
            Unreachable::Broken,
            resolved,
            &format!("the host ended the login: {words}"),
        ),
        Some(Ended::Broke(why)) => say(
            if why == TOO_MUCH {
                Unreachable::Protocol
            } else {
                Unreachable::Broken
            },
            resolved,
            &format!("the connection broke while logging in ({why}): the host's log may say more"),
        ),
        None => say(
            Unreachable::Broken,
            resolved,
            "the host closed the connection while logging in: its log may say why",
        ),
    }
}

fn listed(methods: &[MethodKind]) -> String {
    if methods.is_empty() {
        return "nothing that is known".to_owned();
    }
    methods.iter().map(String::from).collect::<Vec<_>>().join(", ")
}

fn names(keys: &[String]) -> String {
    let shown = keys
        .iter()
        .take(5)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match keys.len().saturating_sub(5) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Mentions keys that could not be shown at all.
fn others(offers: &Offers) -> String {
    match offers.unusable.first() {
        Some((path, why)) => format!("; {} was not shown: {why}", path.display()),
        None => String::new(),
    }
}
