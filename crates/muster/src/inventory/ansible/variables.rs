//! What a variable of Ansible means to us: how a host is reached, a label, or a secret that is left out.

use std::rc::Rc;

use muster_model::inventory::CredentialName;
use muster_model::{HostName, Reach};
use serde_json::Value;

use crate::inventory::draft::label_fault;
use crate::inventory::fault::{Findings, Place, shown};

/// The variable with which a credential is written and read; Ansible has none.
pub(in crate::inventory) const CREDENTIAL: &str = "muster_credential";
/// The variable that says how a host is reached, where `ansible_connection` cannot.
pub(in crate::inventory) const REACH: &str = "muster_reach";
/// The names of each field, the strongest first.
pub(super) const ADDRESS: &[&str] = &["ansible_ssh_host", "ansible_host"];
pub(super) const PORT: &[&str] = &["ansible_ssh_port", "ansible_port"];
pub(super) const USER: &[&str] = &["ansible_ssh_user", "ansible_user", "remote_user"];
pub(super) const WAY: &[&str] = &[REACH, "ansible_connection"];

/// What a variable means. Worked out once, where it is defined.
#[derive(Debug)]
pub(super) enum Meaning {
    Address(String),
    Port(u16),
    User(String),
    Reach(Reach),
    Credential(CredentialName),
    Label(String),
    /// A secret, or nothing at all.
    LeftOut,
}

/// A variable, shared by all the hosts that have it.
pub(super) type Variable = Rc<Meaning>;

/// Tells whether a variable would be read as a label with this text.
pub(in crate::inventory) fn is_label(name: &str, text: &str) -> bool {
    let mut unheard = Findings::default();
    let read = meaning(
        name,
        Value::String(text.to_owned()),
        false,
        Place::default(),
        &mut unheard,
    );
    matches!(read, Meaning::Label(read) if read == text)
}

fn is_secret(name: &str) -> bool {
    let ends = [
        "_pass",
        "_password",
        "_passphrase",
        "_private_key",
        "_private_key_file",
        "_secret",
        "_token",
    ];
    name.starts_with("ansible_") && ends.iter().any(|end| name.ends_with(end))
}

/// Works out what a variable means; what is wrong with it is a fault, what is left out a note. The value of a
/// secret is never shown.
pub(super) fn meaning(
    name: &str,
    value: Value,
    encrypted: bool,
    place: Place,
    findings: &mut Findings,
) -> Meaning {
    if encrypted || is_secret(name) {
        let kind = if encrypted { "is encrypted" } else { "is a secret" };
        findings.note(
            place,
            format!(
                "'{}' {kind} and is not imported: `muster credentials add` makes a credential, which the host then \
                 names",
                shown(name)
            ),
        );
        return Meaning::LeftOut;
    }
    let is = |names: &[&str]| names.contains(&name);
    let is_field = is(ADDRESS) || is(PORT) || is(USER) || is(WAY) || name == CREDENTIAL;
    if is_field {
        match &value {
            Value::Null => return Meaning::LeftOut,
            Value::String(text) if text.is_empty() => return Meaning::LeftOut,
            Value::String(text) if text.contains("{{") => findings.note(
                place,
                format!("'{name}' is a template, which is not worked out: it is kept as a label"),
            ),
            Value::String(text) => return field(name, text, place, findings),
            Value::Number(number) => return field(name, &number.to_string(), place, findings),
            _ => {
                findings.fault(place, format!("'{name}' takes a text or a number"));
                return Meaning::LeftOut;
            }
        }
    } else if looks_secret(name) {
        findings.note(
            place,
            format!(
                "'{}' looks like a secret: as a label it can be read by everyone who sees the host",
                shown(name)
            ),
        );
    }
    let text = match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    if let Some(why) = label_fault(name, &text) {
        findings.fault(place, why);
    }
    Meaning::Label(text)
}

fn looks_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["password", "passwd", "secret", "api_key", "private_key", "token"]
        .iter()
        .any(|word| lower.ends_with(word))
}

fn field(name: &str, text: &str, place: Place, findings: &mut Findings) -> Meaning {
    let mut wrong = |what: String| {
        findings.fault(place, format!("'{name}': {what}"));
        Meaning::LeftOut
    };
    if name == CREDENTIAL {
        return match text.parse() {
            Ok(credential) => Meaning::Credential(credential),
            Err(error) => wrong(format!("{error}")),
        };
    }
    if ADDRESS.contains(&name) {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        return match bare.parse::<HostName>() {
            Ok(address) => Meaning::Address(address.into()),
            Err(error) => wrong(error.to_string()),
        };
    }
    if PORT.contains(&name) {
        return match text.parse::<u16>() {
            Ok(port) if port > 0 => Meaning::Port(port),
            _ => wrong(format!(
                "'{}' is no port: a port is a number from 1 to 65535",
                shown(text)
            )),
        };
    }
    if USER.contains(&name) {
        if text.starts_with('-') || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return wrong(format!(
                "'{}' is no user name: it holds no spaces and does not start with -",
                shown(text)
            ));
        }
        return Meaning::User(text.to_owned());
    }
    match (name, text) {
        (_, "local" | "ansible.builtin.local") => Meaning::Reach(Reach::Local),
        (REACH, "ssh") => Meaning::Reach(Reach::Ssh),
        (REACH, "agent") => Meaning::Reach(Reach::Agent),
        (REACH, other) => wrong(format!("'{}' is none of ssh, local, agent", shown(other))),
        (_, way) => match way.rsplit('.').next() {
            Some("ssh" | "smart" | "paramiko" | "paramiko_ssh" | "libssh") => Meaning::Reach(Reach::Ssh),
            _ => {
                findings.note(
                    place,
                    format!(
                        "'{name}' is '{}', which Muster cannot: it is kept as a label, and the host is reached by SSH",
                        shown(text)
                    ),
                );
                Meaning::Label(text.to_owned())
            }
        },
    }
}
