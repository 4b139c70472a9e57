//! What `ansible-inventory --list` and the inventory programs of Ansible print.

use super::tree::{Owner, Tree};
use super::yaml::{at, value};
use crate::inventory::fault::{Findings, Place, shown};
use crate::inventory::yaml::{Entry, Node};

const META: &str = "_meta";

/// Reads a file into the tree.
pub(super) fn read(root: &Node, file: u32, tree: &mut Tree, findings: &mut Findings) {
    let Some(entries) = root.entries() else {
        findings.fault(
            Place::whole(file),
            format!("the file holds {}: a map of groups is expected", root.sort()),
        );
        return;
    };
    for entry in entries.iter().filter(|entry| entry.key != META) {
        group(entry, file, tree, findings);
    }
    let Some(hosts) = root.find(META).and_then(|meta| meta.value.find("hostvars")) else {
        findings.note(
            Place::whole(file),
            "there is no _meta.hostvars: the hosts have no variables of their own",
        );
        return;
    };
    for host in hosts.value.entries().unwrap_or_default() {
        let place = at(file, host);
        // A host that no group has is one all the same.
        let Some(id) = tree.add_host(host.key.clone(), None, None, place, findings) else {
            continue;
        };
        for variable in host.value.entries().unwrap_or_default() {
            if findings.is_full() {
                return;
            }
            let (value, encrypted) = value(&variable.value);
            let place = at(file, variable);
            tree.set(
                &[Owner::Host(id)],
                &variable.key,
                value,
                encrypted,
                place,
                findings,
            );
        }
    }
}

fn group(entry: &Entry, file: u32, tree: &mut Tree, findings: &mut Findings) {
    let group = tree.group(&entry.key, at(file, entry));
    let hosts = match entry.value.list() {
        Some(_) => Some(entry),
        None => entry.value.find("hosts"),
    };
    for (section, is_hosts) in [(hosts, true), (entry.value.find("children"), false)] {
        let Some(section) = section else {
            continue;
        };
        let place = at(file, section);
        let Some(names) = section.value.list() else {
            findings.fault(
                place,
                format!(
                    "'{}' is {}: a list of names is expected",
                    shown(&section.key),
                    section.value.sort()
                ),
            );
            continue;
        };
        for name in names {
            let line = Place {
                line: name.line,
                ..place
            };
            match name.text() {
                Some(name) if is_hosts => {
                    tree.add_host(name.to_owned(), Some(group), None, line, findings);
                }
                Some(name) => {
                    let child = tree.group(name, line);
                    tree.add_child(group, child);
                }
                None => findings.fault(line, format!("{} is no name: write a text", name.sort())),
            }
        }
    }
    let variables = entry.value.find("vars").and_then(|vars| vars.value.entries());
    for variable in variables.unwrap_or_default() {
        let (value, encrypted) = value(&variable.value);
        let place = at(file, variable);
        tree.set(
            &[Owner::Group(group)],
            &variable.key,
            value,
            encrypted,
            place,
            findings,
        );
    }
}
