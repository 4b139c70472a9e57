//! Ansible's INI files: `[group]`, `[group:children]`, `[group:vars]`, and hosts with variables behind them.

use std::collections::HashMap;

use serde_json::Value;

use super::tree::{Owner, Tree, UNGROUPED};
use super::{literal, words};
use crate::inventory::draft::Id;
use crate::inventory::fault::{Findings, Place, shown};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Hosts,
    Children,
    Vars,
    /// One that could not be read: its lines would be misread.
    Unknown,
}

/// Where a group was named that has no section yet.
struct Pending {
    place: Place,
    section: String,
}

/// Reads a file into the tree.
pub(super) fn read(text: &str, file: u32, tree: &mut Tree, findings: &mut Findings) {
    let mut group = tree.group(UNGROUPED, Place::whole(file));
    let mut section = Section::Hosts;
    // The groups that only [x:vars] or [y:children] name so far.
    let mut pending: HashMap<Id, Pending> = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        if findings.is_full() {
            return;
        }
        let place = Place::line(file, number);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        match header(line) {
            Some(Ok((name, kind))) => {
                let known = tree.find_group(name).is_some();
                group = tree.group(name, place);
                section = kind;
                if section != Section::Vars {
                    pending.remove(&group);
                } else if !known {
                    let section = format!("[{}:vars]", shown(name));
                    pending.insert(group, Pending { place, section });
                }
            }
            Some(Err(why)) => {
                findings.fault(place, why);
                section = Section::Unknown;
            }
            None => match section {
                Section::Hosts => host(line, group, place, tree, findings),
                Section::Vars => variable(line, group, place, tree, findings),
                Section::Children => {
                    if let Some(name) = word(line) {
                        let known = tree.find_group(name).is_some();
                        let child = tree.group(name, place);
                        tree.add_child(group, child);
                        if !known {
                            let section = format!("{} in a :children section", shown(name));
                            pending.insert(child, Pending { place, section });
                        }
                    } else {
                        findings.fault(place, "write one name of a group on the line");
                    }
                }
                Section::Unknown => {}
            },
        }
    }
    for (id, Pending { place, section }) in pending {
        let name = shown(&tree.groups[id].name);
        findings.fault(
            place,
            format!("{section}: there is no group '{name}': write a section [{name}] in this file"),
        );
    }
}

/// Reads `[name]` or `[name:kind]`; None where the line is no header.
fn header(line: &str) -> Option<Result<(&str, Section), String>> {
    let inside = line.strip_prefix('[')?;
    let closed = inside.split_once(']').filter(|(_, after)| {
        let after = after.trim_start();
        after.is_empty() || after.starts_with('#')
    });
    let Some((inside, _)) = closed else {
        return line
            .ends_with(']')
            .then(|| Err(format!("'{}' is no section: write [group]", shown(line))));
    };
    let (name, kind) = inside.split_once(':').unwrap_or((inside, "hosts"));
    if inside.starts_with(|c: char| c.is_ascii_alphanumeric())
        && kind
            .split(':')
            .all(|part| part.chars().all(|c| c.is_ascii_digit()) && !part.is_empty())
    {
        // `[1:3]` on a line of its own.
        return Some(Err(format!(
            "'[{}]' looks like a range, and a section is expected: write a name before it",
            shown(inside)
        )));
    }
    let section = match kind {
        "hosts" => Section::Hosts,
        "children" => Section::Children,
        "vars" => Section::Vars,
        other => {
            return Some(Err(format!(
                "'[{}]': '{}' is none of hosts, children, vars",
                shown(inside),
                shown(other)
            )));
        }
    };
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Some(Err(format!(
            "'[{}]' names no group: write a name without spaces",
            shown(inside)
        )));
    }
    Some(Ok((name, section)))
}

/// Returns the one name on a line.
fn word(line: &str) -> Option<&str> {
    let name = match line.find('#') {
        Some(0) => return None,
        Some(at) => line[..at].trim_end(),
        None => line,
    };
    (!name.contains([':', ']']) && !name.contains(char::is_whitespace)).then_some(name)
}

fn value(text: &str) -> Value {
    literal::parse(text).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn host(line: &str, group: Id, place: Place, tree: &mut Tree, findings: &mut Findings) {
    let words = match words::split(line) {
        Ok(words) => words,
        Err(why) => {
            findings.fault(place, why);
            return;
        }
    };
    let Some((pattern, variables)) = words.split_first() else {
        return;
    };
    if pattern == "---" {
        findings.fault(
            place,
            "this looks like YAML: end the file's name with .yml, or say the format",
        );
        return;
    }
    let hosts = tree.add_hosts(pattern, Some(group), place, findings);
    let owners: Vec<Owner> = hosts.into_iter().map(Owner::Host).collect();
    for (index, word) in variables.iter().enumerate() {
        match word.split_once('=') {
            Some((name, text)) if !name.is_empty() => {
                tree.set(&owners, name, value(text), false, place, findings);
            }
            // What it holds may be a secret: it is not shown.
            _ => findings.fault(
                place,
                format!(
                    "word {} behind the host is not name=value: write one, with quotes around spaces",
                    index + 1
                ),
            ),
        }
    }
}

fn variable(line: &str, group: Id, place: Place, tree: &mut Tree, findings: &mut Findings) {
    match line.split_once('=') {
        Some((name, text)) if !name.trim().is_empty() => {
            let value = value(text.trim());
            tree.set(&[Owner::Group(group)], name.trim(), value, false, place, findings);
        }
        _ => findings.fault(place, "a variable is written name=value"),
    }
}
