//! Writing our JSON, tables, `ssh_config`, ClusterShell's YAML and `/etc/hosts`.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::net::IpAddr;

use muster_model::host::HostRecord;
use muster_model::inventory::Document;
use muster_model::{Reach, pattern};

use super::document::{LeftOut, groups_of_hosts, only_in_groups};
use crate::inventory::hosts_file::ALIAS;
use crate::inventory::yaml;

/// Writes our own JSON.
pub(super) fn json(document: &Document) -> String {
    // Nothing in a document fails to be JSON: its keys are texts.
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

/// Writes a table: first a row for each group, then one for each host.
pub(super) fn csv(document: &Document, left: &mut LeftOut) -> String {
    only_in_groups(document, left);
    let of_hosts = groups_of_hosts(document);
    let mut of_groups: HashMap<&str, Vec<&str>> = HashMap::new();
    for group in &document.groups {
        for inner in &group.groups {
            of_groups
                .entry(inner.as_str())
                .or_default()
                .push(group.name.as_str());
        }
    }
    let labels: BTreeSet<&String> = document
        .hosts
        .iter()
        .flat_map(|host| host.labels.keys())
        .collect();
    let mut text = String::from("name,address,user,port,reach,credential,groups");
    for label in &labels {
        let _ = write!(text, ",{}", cell(&format!("label.{label}")));
    }
    text.push('\n');
    for group in &document.groups {
        let around = of_groups.get(group.name.as_str()).map(|names| names.join(" "));
        let _ = writeln!(text, "@{},,,,,,{}", group.name, around.unwrap_or_default());
    }
    for host in &document.hosts {
        let reach = match host.reach {
            Some(Reach::Local) => "local",
            Some(Reach::Ssh) => "ssh",
            Some(Reach::Agent) => "agent",
            None => "",
        };
        let groups = of_hosts.get(&host.name).map(|names| names.join(" "));
        let _ = write!(
            text,
            "{},{},{},{},{reach},{},{}",
            cell(host.name.as_str()),
            cell(host.address.as_deref().unwrap_or_default()),
            cell(host.user.as_deref().unwrap_or_default()),
            host.port.map(|port| port.to_string()).unwrap_or_default(),
            host.credential.as_ref().map_or("", |name| name.as_str()),
            groups.unwrap_or_default(),
        );
        for label in &labels {
            text.push(',');
            match host.labels.get(*label) {
                Some(value) if value.is_empty() => text.push_str("\"\""),
                Some(value) => text.push_str(&cell(value)),
                None => {}
            }
        }
        text.push('\n');
    }
    text
}

fn cell(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) || value.trim() != value {
        return format!("\"{}\"", value.replace('"', "\"\""));
    }
    value.to_owned()
}

/// Notes what of a host is more than how it is reached.
fn note_labels(host: &HostRecord, left: &mut LeftOut) {
    if !host.labels.is_empty() {
        left.one("labels", host.name.as_str());
    }
    if host.credential.is_some() {
        left.one("a credential's name", host.name.as_str());
    }
}

fn note_groups(document: &Document, left: &mut LeftOut) {
    for group in &document.groups {
        left.one("groups", group.name.as_str());
    }
}

/// Writes the settings of OpenSSH's client.
pub(super) fn ssh_config(document: &Document, left: &mut LeftOut) -> String {
    let mut text = String::new();
    note_groups(document, left);
    for host in &document.hosts {
        if matches!(host.reach, Some(Reach::Local | Reach::Agent)) {
            left.one("a host that is not reached by SSH", host.name.as_str());
            continue;
        }
        note_labels(host, left);
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "Host {}", host.name);
        if let Some(address) = &host.address {
            let _ = writeln!(text, "    HostName {}", address.replace('%', "%%"));
        }
        if let Some(user) = &host.user {
            let _ = writeln!(text, "    User {user}");
        }
        if let Some(port) = host.port {
            let _ = writeln!(text, "    Port {port}");
        }
    }
    text
}

/// Writes a source of groups for ClusterShell's `groups.d`.
pub(super) fn clustershell(document: &Document, left: &mut LeftOut) -> String {
    let of_hosts = groups_of_hosts(document);
    for host in &document.hosts {
        note_labels(host, left);
        if host.address.is_some() || host.user.is_some() || host.port.is_some() || host.reach.is_some() {
            left.one("how a host is reached", host.name.as_str());
        }
        if !of_hosts.contains_key(&host.name) {
            left.one("a host that is in no group", host.name.as_str());
        }
    }
    let mut text = String::from("muster:\n");
    for group in &document.groups {
        let hosts: Vec<String> = group.hosts.iter().map(ToString::to_string).collect();
        let mut parts: Vec<String> = group.groups.iter().map(|inner| format!("@{inner}")).collect();
        if !hosts.is_empty() {
            parts.push(pattern::fold(&hosts));
        }
        let _ = writeln!(
            text,
            "  {}: {}",
            yaml::quote(group.name.as_str()),
            yaml::quote(&parts.join(","))
        );
    }
    text
}

/// Writes lines of `/etc/hosts`.
pub(super) fn hosts(document: &Document, left: &mut LeftOut) -> String {
    let mut text = String::new();
    note_groups(document, left);
    for host in &document.hosts {
        let address = host.address.as_deref().unwrap_or(host.name.as_str());
        let plain = address.split('%').next().unwrap_or_default();
        if plain.parse::<IpAddr>().is_err() {
            left.one("a host without an address in numbers", host.name.as_str());
            continue;
        }
        if host.user.is_some() || host.port.is_some() || host.reach.is_some() || host.credential.is_some() {
            left.one("how a host is logged in to", host.name.as_str());
        }
        let _ = write!(text, "{address} {}", host.name);
        for (key, value) in &host.labels {
            match key.as_str() {
                ALIAS if !value.contains(['#', '\n', '\r']) => {
                    let _ = write!(text, " {value}");
                }
                _ => left.one("labels", host.name.as_str()),
            }
        }
        text.push('\n');
    }
    text
}
