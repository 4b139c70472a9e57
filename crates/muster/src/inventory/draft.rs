//! A document in the making: hosts and groups by name, each with the line that made it, so that what is wrong with
//! them as a whole can be said with a place.

use std::collections::{HashMap, HashSet};

use muster_model::host::HostRecord;
use muster_model::inventory::{self, Document, Group, GroupName, LABEL_KEY_BYTES, LABEL_VALUE_BYTES, LABELS};
use muster_model::{HostName, limits};

use super::fault::{Findings, Place, shown};

/// How deep groups may stand in each other.
pub(super) const NESTING: usize = 64;

/// A host or a group of a draft, by its number.
pub(super) type Id = usize;

#[derive(Debug)]
struct DraftGroup {
    name: GroupName,
    place: Place,
    hosts: Vec<HostName>,
    has: HashSet<HostName>,
    groups: Vec<Id>,
    has_groups: HashSet<Id>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Draft {
    hosts: Vec<(Place, HostRecord)>,
    by_name: HashMap<HostName, Id>,
    groups: Vec<DraftGroup>,
    groups_by_name: HashMap<String, Id>,
}

impl Draft {
    /// Returns the host of this name, made where it was not there; None where it is no name, or one too many.
    pub(super) fn host(&mut self, name: &str, place: Place, findings: &mut Findings) -> Option<Id> {
        let name = match name.parse::<HostName>() {
            Ok(name) => name,
            Err(error) => {
                findings.fault(place, error.to_string());
                return None;
            }
        };
        if let Some(id) = self.by_name.get(&name) {
            return Some(*id);
        }
        if self.hosts.len() as u64 >= limits::HOSTS_PER_TASK {
            findings.fault(place, format!("more than {} hosts", limits::HOSTS_PER_TASK));
            return None;
        }
        self.hosts.push((place, HostRecord::named(name.clone())));
        self.by_name.insert(name, self.hosts.len() - 1);
        Some(self.hosts.len() - 1)
    }

    /// Adds a host that is whole; one of the same name is a fault.
    pub(super) fn add(&mut self, record: HostRecord, place: Place, findings: &mut Findings) -> Option<Id> {
        if let Some(id) = self.by_name.get(&record.name) {
            let line = self.hosts[*id].0.line;
            let told = match line {
                0 => String::new(),
                line => format!(", first in line {line}"),
            };
            findings.fault(
                place,
                format!("the host '{}' is there twice{told}: one is enough", record.name),
            );
            return None;
        }
        let name = record.name.to_string();
        let id = self.host(&name, place, findings)?;
        self.hosts[id].1 = record;
        Some(id)
    }

    pub(super) fn record(&mut self, id: Id) -> &mut HostRecord {
        &mut self.hosts[id].1
    }

    pub(super) fn host_name(&self, id: Id) -> &HostName {
        &self.hosts[id].1.name
    }

    pub(super) fn find_group(&self, name: &str) -> Option<Id> {
        self.groups_by_name.get(name).copied()
    }

    /// Returns the group of this name, made where it was not there; None where it is no name.
    pub(super) fn group(&mut self, name: &str, place: Place, findings: &mut Findings) -> Option<Id> {
        if let Some(id) = self.groups_by_name.get(name) {
            return Some(*id);
        }
        let parsed = match name.parse::<GroupName>() {
            Ok(parsed) => parsed,
            Err(error) => {
                findings.fault(place, format!("{error}: rename it where it is written"));
                return None;
            }
        };
        self.groups.push(DraftGroup {
            name: parsed,
            place,
            hosts: Vec::new(),
            has: HashSet::new(),
            groups: Vec::new(),
            has_groups: HashSet::new(),
        });
        self.groups_by_name.insert(name.to_owned(), self.groups.len() - 1);
        Some(self.groups.len() - 1)
    }

    pub(super) fn add_host(&mut self, group: Id, host: HostName) {
        let group = &mut self.groups[group];
        if group.has.insert(host.clone()) {
            group.hosts.push(host);
        }
    }

    pub(super) fn add_group(&mut self, group: Id, child: Id) {
        let group = &mut self.groups[group];
        if group.has_groups.insert(child) {
            group.groups.push(child);
        }
    }

    /// Returns the document, after what is wrong with its labels and its groups as a whole was said.
    pub(super) fn finish(mut self, findings: &mut Findings) -> Document {
        for (place, record) in &self.hosts {
            check_labels(record, *place, findings);
        }
        self.check_groups(findings);
        let names: Vec<GroupName> = self.groups.iter().map(|group| group.name.clone()).collect();
        let groups = self.groups.drain(..).map(|group| Group {
            name: group.name,
            hosts: group.hosts,
            groups: group.groups.into_iter().map(|id| names[id].clone()).collect(),
        });
        Document {
            groups: groups.collect(),
            hosts: self.hosts.into_iter().map(|(_, record)| record).collect(),
        }
    }

    fn check_groups(&self, findings: &mut Findings) {
        let children: Vec<&[Id]> = self.groups.iter().map(|group| group.groups.as_slice()).collect();
        match order(&children) {
            Ok((_, depths)) => {
                for (id, depth) in depths.iter().enumerate() {
                    if *depth > NESTING {
                        let group = &self.groups[id];
                        findings.fault(
                            group.place,
                            format!(
                                "the group '{}' stands more than {NESTING} groups deep",
                                group.name
                            ),
                        );
                        return;
                    }
                }
            }
            Err(cycle) => {
                let mut names: Vec<&str> = cycle.iter().map(|id| self.groups[*id].name.as_str()).collect();
                names.push(names[0]);
                let place = self.groups[cycle[0]].place;
                findings.fault(place, cycle_text(&names));
            }
        }
    }
}

/// Says that groups stand in each other in a circle.
pub(super) fn cycle_text(names: &[&str]) -> String {
    format!(
        "the groups stand in each other in a circle, {}: take one out of the other",
        shown_path(names)
    )
}

fn shown_path(names: &[&str]) -> String {
    let mut path: Vec<String> = names.iter().take(8).map(|name| shown(name)).collect();
    if names.len() > 8 {
        path.push("…".to_owned());
    }
    path.join(" > ")
}

fn check_labels(record: &HostRecord, place: Place, findings: &mut Findings) {
    if record.labels.len() > LABELS {
        findings.fault(
            place,
            format!(
                "the host '{}' has {} labels or variables: at most {LABELS}",
                record.name,
                record.labels.len()
            ),
        );
    }
    for (key, value) in &record.labels {
        if let Some(why) = label_fault(key, value) {
            findings.fault(place, format!("the host '{}': {why}", record.name));
        }
    }
}

/// Returns what is wrong with a label; None where nothing is.
pub(super) fn label_fault(key: &str, value: &str) -> Option<String> {
    if key.is_empty() {
        return Some("a label has no name: write one".to_owned());
    }
    if key.len() > inventory::LABEL_KEY_BYTES {
        return Some(format!(
            "the label or variable name '{}' is longer than {LABEL_KEY_BYTES} bytes",
            shown(key)
        ));
    }
    if key.chars().any(char::is_control) {
        return Some(format!(
            "the label or variable name '{}' has control characters in it",
            shown(key)
        ));
    }
    (value.len() > LABEL_VALUE_BYTES).then(|| {
        format!(
            "the value of '{}' has {} bytes: a label has at most {LABEL_VALUE_BYTES}",
            shown(key),
            value.len()
        )
    })
}

/// Returns the groups from the outermost inwards and how deep each stands (by the longest way, from 1), or a circle.
pub(super) fn order(children: &[&[Id]]) -> Result<(Vec<Id>, Vec<usize>), Vec<Id>> {
    let mut parents = vec![0_usize; children.len()];
    for child in children.iter().copied().flatten() {
        parents[*child] += 1;
    }
    let mut depths = vec![1_usize; children.len()];
    let mut sorted: Vec<Id> = (0..children.len()).filter(|id| parents[*id] == 0).collect();
    let mut at = 0;
    while let Some(id) = sorted.get(at).copied() {
        at += 1;
        for child in children[id] {
            depths[*child] = depths[*child].max(depths[id] + 1);
            parents[*child] -= 1;
            if parents[*child] == 0 {
                sorted.push(*child);
            }
        }
    }
    if sorted.len() == children.len() {
        return Ok((sorted, depths));
    }
    Err(circle(children, &parents))
}

/// Finds a circle among the groups that were not sorted: each of them has a parent that was not, so walking from
/// parent to parent comes back.
fn circle(children: &[&[Id]], left: &[usize]) -> Vec<Id> {
    let mut parent = vec![usize::MAX; children.len()];
    for (id, of) in children.iter().enumerate().filter(|(id, _)| left[*id] > 0) {
        for child in of.iter().filter(|child| left[**child] > 0) {
            parent[*child] = id;
        }
    }
    let mut at = left.iter().position(|count| *count > 0).unwrap_or_default();
    let mut seen = vec![false; children.len()];
    while !std::mem::replace(&mut seen[at], true) {
        at = parent[at];
    }
    let (start, mut path) = (at, vec![at]);
    at = parent[at];
    while at != start {
        path.push(at);
        at = parent[at];
    }
    path.reverse();
    path
}
