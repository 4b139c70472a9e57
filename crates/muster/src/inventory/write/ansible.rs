//! Writing Ansible's INI and YAML.

use std::fmt::Write;

use muster_model::Reach;
use muster_model::host::HostRecord;
use muster_model::inventory::Document;

use super::document::{LeftOut, only_in_groups};
use crate::inventory::ansible::{literal, ranges, variables, words};
use crate::inventory::yaml;

/// Returns what a host says as variables: names and values, and whether a value is a number.
fn variables_of(host: &HostRecord, left: &mut LeftOut) -> Vec<(String, String, bool)> {
    let mut found = Vec::new();
    let mut put = |name: &str, value: &str, number| found.push((name.to_owned(), value.to_owned(), number));
    if let Some(address) = &host.address {
        put("ansible_host", address, false);
    }
    if let Some(port) = host.port {
        put("ansible_port", &port.to_string(), true);
    }
    if let Some(user) = &host.user {
        put("ansible_user", user, false);
    }
    match host.reach {
        Some(Reach::Local) => put("ansible_connection", "local", false),
        Some(Reach::Ssh) => put("ansible_connection", "ssh", false),
        Some(Reach::Agent) => put(variables::REACH, "agent", false),
        None => {}
    }
    if let Some(credential) = &host.credential {
        put(variables::CREDENTIAL, credential.as_str(), false);
    }
    for (key, value) in &host.labels {
        // One that would be read as something else than a label.
        if variables::is_label(key, value) {
            put(key, value, false);
        } else {
            left.one(
                "a label with the name of a setting",
                &format!("{}: {key}", host.name),
            );
        }
    }
    found
}

/// Tells whether a name is read again as itself.
fn is_plain_host(name: &str) -> bool {
    ranges::expand(name).is_ok_and(|(names, port)| port.is_none() && names == [name])
}

fn is_plain_group(name: &str) -> bool {
    !matches!(name, "all" | "ungrouped")
}

/// Writes INI: the hosts with their variables, then the groups.
pub(super) fn ini(document: &Document, left: &mut LeftOut) -> String {
    let mut text = String::new();
    only_in_groups(document, left);
    for host in &document.hosts {
        if !is_plain_host(host.name.as_str()) {
            left.one("a host of this name", host.name.as_str());
            continue;
        }
        text.push_str(host.name.as_str());
        for (name, value, _) in variables_of(host, left) {
            if name.contains('=') {
                left.one("a label with = in its name", &format!("{}: {name}", host.name));
                continue;
            }
            let _ = write!(
                text,
                " {}",
                words::quote(&format!("{name}={}", ini_value(&value)))
            );
        }
        text.push('\n');
    }
    for group in &document.groups {
        if !is_plain_group(group.name.as_str()) {
            left.one("a group of this name", group.name.as_str());
            continue;
        }
        let _ = write!(text, "\n[{}]\n", group.name);
        for host in group.hosts.iter().filter(|host| is_plain_host(host.as_str())) {
            let _ = writeln!(text, "{host}");
        }
        if !group.groups.is_empty() {
            let _ = write!(text, "\n[{}:children]\n", group.name);
            for inner in group.groups.iter().filter(|inner| is_plain_group(inner.as_str())) {
                let _ = writeln!(text, "{inner}");
            }
        }
    }
    text
}

/// Returns a value as a text, even where it looks like a literal.
fn ini_value(value: &str) -> String {
    let means_more = literal::parse(value).is_some_and(|read| match read {
        serde_json::Value::String(text) => text != value,
        other => {
            let text = other.to_string();
            text != value
        }
    });
    if means_more || value.chars().any(char::is_control) {
        return literal::write(value);
    }
    value.to_owned()
}

/// Writes YAML: the hosts with their variables in `all`, and the groups below it.
pub(super) fn yaml(document: &Document, left: &mut LeftOut) -> String {
    let mut text = String::from("---\nall:\n");
    only_in_groups(document, left);
    if !document.hosts.is_empty() {
        text.push_str("  hosts:\n");
    }
    for host in &document.hosts {
        if !is_plain_host(host.name.as_str()) {
            left.one("a host of this name", host.name.as_str());
            continue;
        }
        let _ = writeln!(text, "    {}:", yaml::quote(host.name.as_str()));
        for (name, value, is_number) in variables_of(host, left) {
            let value = if is_number { value } else { yaml::quote(&value) };
            let _ = writeln!(text, "      {}: {value}", yaml::quote(&name));
        }
    }
    if !document.groups.is_empty() {
        text.push_str("  children:\n");
    }
    for group in &document.groups {
        if !is_plain_group(group.name.as_str()) {
            left.one("a group of this name", group.name.as_str());
            continue;
        }
        let _ = writeln!(text, "    {}:", yaml::quote(group.name.as_str()));
        let hosts = group.hosts.iter().map(|host| host.as_str());
        section(&mut text, "hosts", hosts.filter(|host| is_plain_host(host)));
        let groups = group.groups.iter().map(|inner| inner.as_str());
        section(
            &mut text,
            "children",
            groups.filter(|inner| is_plain_group(inner)),
        );
    }
    text
}

fn section<'n>(text: &mut String, name: &str, names: impl Iterator<Item = &'n str>) {
    let mut names = names.peekable();
    if names.peek().is_some() {
        let _ = writeln!(text, "      {name}:");
    }
    for name in names {
        let _ = writeln!(text, "        {}:", yaml::quote(name));
    }
}
