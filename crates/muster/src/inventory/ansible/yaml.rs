//! Ansible's YAML files: groups with `hosts`, `children` and `vars`.

use std::rc::Rc;

use super::tree::{Owner, Tree};
use crate::inventory::draft::Id;
use crate::inventory::fault::{Findings, Place, shown};
use crate::inventory::yaml::{Entry, Node};

/// Reads a file into the tree.
pub(super) fn read(root: &Node, file: u32, tree: &mut Tree, findings: &mut Findings) {
    let Some(entries) = root.entries() else {
        findings.fault(
            Place::whole(file),
            format!(
                "the file holds {}: groups are expected, as in `all: {{hosts: {{web1:}}}}`",
                root.sort()
            ),
        );
        return;
    };
    if let Some(entry) = root.find("plugin")
        && entry.value.text().is_some()
    {
        findings.fault(
            at(file, entry),
            "this is the configuration of a plugin, which is not run: import what `ansible-inventory --list -i FILE` \
             prints",
        );
        return;
    }
    let mut reader = Reader { file, tree, findings };
    for entry in entries {
        reader.group(entry);
    }
}

pub(super) fn at(file: u32, entry: &Entry) -> Place {
    Place {
        file,
        line: entry.line,
        column: 0,
    }
}

struct Reader<'r> {
    file: u32,
    tree: &'r mut Tree,
    findings: &'r mut Findings,
}

impl Reader<'_> {
    /// Reads a group. How deep it goes is bounded by the reader of YAML.
    fn group(&mut self, entry: &Entry) -> Option<Id> {
        let place = at(self.file, entry);
        let sections = match entry.value.entries() {
            Some(sections) => sections,
            None if entry.value.is_null() => &[],
            None => {
                self.findings.fault(
                    place,
                    format!(
                        "the group '{}' is {}: a map of hosts, children and vars is expected",
                        shown(&entry.key),
                        entry.value.sort()
                    ),
                );
                return None;
            }
        };
        let group = self.tree.group(&entry.key, place);
        for section in sections {
            if self.findings.is_full() {
                break;
            }
            self.section(group, section);
        }
        Some(group)
    }

    fn section(&mut self, group: Id, section: &Entry) {
        let place = at(self.file, section);
        if !matches!(section.key.as_str(), "hosts" | "children" | "vars") {
            self.findings.note(
                place,
                format!(
                    "'{}' is none of hosts, children, vars: left out",
                    shown(&section.key)
                ),
            );
            return;
        }
        let lone;
        let entries = match (section.value.entries(), section.value.text()) {
            (Some(entries), _) => entries,
            (None, Some(name)) if section.key != "vars" => {
                lone = [Entry::lone(name, section)];
                &lone
            }
            _ if section.value.is_null() => return,
            _ => {
                self.findings.fault(
                    place,
                    format!(
                        "'{}' is {}: a map is expected, each name followed by a colon",
                        section.key,
                        section.value.sort()
                    ),
                );
                return;
            }
        };
        for entry in entries {
            if self.findings.is_full() {
                return;
            }
            match section.key.as_str() {
                "hosts" => self.host(group, entry),
                "children" => {
                    if let Some(child) = self.group(entry) {
                        self.tree.add_child(group, child);
                    }
                }
                _ => self.set(&[Owner::Group(group)], entry),
            }
        }
    }

    fn host(&mut self, group: Id, entry: &Entry) {
        let place = at(self.file, entry);
        let hosts = self.tree.add_hosts(&entry.key, Some(group), place, self.findings);
        let owners: Vec<Owner> = hosts.into_iter().map(Owner::Host).collect();
        match entry.value.entries() {
            Some(variables) => variables.iter().for_each(|variable| self.set(&owners, variable)),
            None if entry.value.is_null() => {}
            None => self.findings.fault(
                place,
                format!(
                    "the host '{}' has {}: a map of variables is expected",
                    shown(&entry.key),
                    entry.value.sort()
                ),
            ),
        }
    }

    fn set(&mut self, owners: &[Owner], entry: &Entry) {
        let place = at(self.file, entry);
        let (value, encrypted) = value(&entry.value);
        self.tree
            .set(owners, &entry.key, value, encrypted, place, self.findings);
    }
}

/// Returns a value and whether it is encrypted; such a one is not looked at.
pub(super) fn value(node: &Rc<Node>) -> (serde_json::Value, bool) {
    match node.is_secret {
        true => (serde_json::Value::Null, true),
        false => (node.value(), false),
    }
}
