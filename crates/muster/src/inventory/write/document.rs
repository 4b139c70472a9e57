//! Writing a document, and saying what the format cannot hold.

use std::collections::{BTreeMap, HashMap, HashSet};

use muster_model::HostName;
use muster_model::inventory::Document;

use super::{ansible, tables};
use crate::inventory::format::Format;

/// An inventory as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The text.
    pub text: String,
    /// What the format cannot hold and is not in the text.
    pub notes: Vec<String>,
}

/// A format that is only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is only read: write json, csv, ansible-ini, ansible-yaml, ssh-config, clustershell or hosts")]
pub struct Unwritable(pub Format);

/// Writes a document.
///
/// # Errors
///
/// The format is only read.
pub fn write(format: Format, document: &Document) -> Result<Written, Unwritable> {
    let mut left = LeftOut::default();
    let text = match format {
        Format::Json => tables::json(document),
        Format::Csv => tables::csv(document, &mut left),
        Format::AnsibleIni => ansible::ini(document, &mut left),
        Format::AnsibleYaml => ansible::yaml(document, &mut left),
        Format::SshConfig => tables::ssh_config(document, &mut left),
        Format::ClusterShell => tables::clustershell(document, &mut left),
        Format::Hosts => tables::hosts(document, &mut left),
        Format::List | Format::AnsibleJson | Format::AnsibleFolder => return Err(Unwritable(format)),
    };
    Ok(Written {
        text,
        notes: left.notes(format),
    })
}

/// What is not written, counted by what it is.
#[derive(Debug, Default)]
pub(super) struct LeftOut(BTreeMap<String, (usize, String)>);

impl LeftOut {
    /// Counts one more; the first is named as an example.
    pub(super) fn one(&mut self, what: &str, example: &str) {
        let entry = self.0.entry(what.to_owned());
        entry.or_insert_with(|| (0, example.to_owned())).0 += 1;
    }

    fn notes(self, format: Format) -> Vec<String> {
        let told = |(what, (count, example)): (String, (usize, String))| {
            let more = if count > 1 {
                format!(" and {} more", count - 1)
            } else {
                String::new()
            };
            format!("{format} cannot hold {what}: left out for '{example}'{more}")
        };
        self.0.into_iter().map(told).collect()
    }
}

/// Returns, for each host, the groups that it is directly in.
pub(super) fn groups_of_hosts(document: &Document) -> HashMap<&HostName, Vec<&str>> {
    let mut groups: HashMap<&HostName, Vec<&str>> = HashMap::new();
    for group in &document.groups {
        for host in &group.hosts {
            groups.entry(host).or_default().push(group.name.as_str());
        }
    }
    groups
}

/// Notes the hosts that are only in groups.
pub(super) fn only_in_groups(document: &Document, left: &mut LeftOut) {
    let known: HashSet<&HostName> = document.hosts.iter().map(|host| &host.name).collect();
    for group in &document.groups {
        for host in group.hosts.iter().filter(|host| !known.contains(host)) {
            left.one(
                "that a host is in a group alone and not in the inventory (it is a host when this is imported)",
                host.as_str(),
            );
        }
    }
}
