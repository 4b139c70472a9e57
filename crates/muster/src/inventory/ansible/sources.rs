//! Which files make an inventory of Ansible: one file, or all of a folder, and `group_vars` and `host_vars` beside.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::tree::{Owner, Tree};
use super::{ini, json, yaml};
use crate::inventory::draft::Draft;
use crate::inventory::fault::{Findings, Place, shown};
use crate::inventory::files::{self, Files};
use crate::inventory::format::{Format, guess};
use crate::inventory::yaml::{self as reader, Node};

/// What Ansible passes over in a folder.
const PASSED_OVER: &[&str] = &[
    ".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry",
];
/// How deep folders may stand in each other.
const FOLDERS: usize = 16;
/// The endings of files of variables, in the order in which they are looked for.
const ENDINGS: &[&str] = &["", ".yml", ".yaml", ".json"];

/// Reads one file whose text is there already; `beside` is the folder of `group_vars` and `host_vars`.
pub(in crate::inventory) fn file(
    text: &str,
    format: Format,
    number: u32,
    beside: Option<&Path>,
    files: &mut Files,
    findings: &mut Findings,
) -> Draft {
    let mut tree = Tree::new();
    one(text, format, number, &mut tree, findings);
    // What `ansible-inventory --list` prints has them in it.
    if let Some(folder) = beside.filter(|_| format != Format::AnsibleJson) {
        variables(folder, &mut tree, files, findings);
    }
    tree.finish(findings)
}

fn one(text: &str, format: Format, number: u32, tree: &mut Tree, findings: &mut Findings) {
    if text.starts_with("#!") {
        findings.fault(
            Place::line(number, 1),
            "this is a program, which is not run: import what it prints with --list, or what `ansible-inventory \
             --list -i FILE` prints",
        );
        return;
    }
    if text.starts_with("$ANSIBLE_VAULT") {
        findings.fault(
            Place::line(number, 1),
            "the file is encrypted: import a copy from `ansible-vault view FILE`",
        );
        return;
    }
    if format == Format::AnsibleIni {
        ini::read(text, number, tree, findings);
        return;
    }
    let Some(root) = reader::parse(&json_as_yaml(text, format), number, findings) else {
        return;
    };
    match format {
        Format::AnsibleJson if !is_groups_of_maps(&root) => json::read(&root, number, tree, findings),
        _ => yaml::read(&root, number, tree, findings),
    }
}

/// Tells whether JSON is written in the shape of the YAML files: hosts and children as maps.
fn is_groups_of_maps(root: &Node) -> bool {
    let groups = root.entries().unwrap_or_default();
    !groups.iter().any(|group| group.key == "_meta")
        && groups.iter().any(|group| {
            let section = |name: &str| group.value.find(name);
            ["hosts", "children"]
                .iter()
                .any(|name| section(name).is_some_and(|section| section.value.entries().is_some()))
        })
}

/// JSON writes characters beyond the first plane as two halves, which YAML does not know.
fn json_as_yaml(text: &str, format: Format) -> std::borrow::Cow<'_, str> {
    if format != Format::AnsibleJson || !text.contains("\\u") {
        return text.into();
    }
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        whole.push_str(before);
        let half = |text: &str| u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
        let pair = match (half(escape), escape.get(6..).and_then(half)) {
            (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
                char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
            }
            _ => None,
        };
        let length = match pair {
            Some(character) => {
                whole.push(character);
                12
            }
            None => {
                // A backslash and what it escapes, so that an escaped backslash begins nothing.
                let length = escape.chars().take(2).map(char::len_utf8).sum();
                whole.push_str(&escape[..length]);
                length
            }
        };
        rest = &escape[length..];
    }
    whole.push_str(rest);
    whole.into()
}

/// Reads all the inventories in a folder, in the order of their names.
pub(in crate::inventory) fn folder(path: &Path, files: &mut Files, findings: &mut Findings) -> Draft {
    let mut tree = Tree::new();
    let mut count = 0;
    in_folder(path, 0, &mut tree, files, findings, &mut count);
    if count == 0 {
        let number = findings.file(&path.display().to_string());
        findings.fault(Place::whole(number), "the folder holds no inventory");
    }
    variables(path, &mut tree, files, findings);
    tree.finish(findings)
}

fn in_folder(
    path: &Path,
    depth: usize,
    tree: &mut Tree,
    files: &mut Files,
    findings: &mut Findings,
    count: &mut usize,
) {
    let names = match files::names(path) {
        Ok(names) if depth <= FOLDERS => names,
        other => {
            let number = findings.file(&path.display().to_string());
            let why = other
                .err()
                .unwrap_or_else(|| format!("folders stand more than {FOLDERS} deep"));
            findings.fault(Place::whole(number), why);
            return;
        }
    };
    for name in names {
        if findings.is_full() {
            return;
        }
        let found = path.join(&name);
        let is_known = matches!(name.as_str(), "group_vars" | "host_vars" | "vars_plugins");
        if is_known || name.starts_with('.') {
            continue;
        }
        if found.is_dir() {
            in_folder(&found, depth + 1, tree, files, findings, count);
            continue;
        }
        let number = findings.file(&found.display().to_string());
        if PASSED_OVER.iter().any(|ending| name.ends_with(ending)) {
            findings.note(
                Place::whole(number),
                "passed over, as Ansible does with this ending",
            );
            continue;
        }
        *count += 1;
        match files.text(&found) {
            Ok(text) => one(&text, ansible(&name, &text), number, tree, findings),
            Err(why) => findings.fault(Place::whole(number), why),
        }
    }
}

/// Returns which of Ansible's formats a file in a folder has.
fn ansible(name: &str, text: &str) -> Format {
    match guess(name, text) {
        found @ (Format::AnsibleYaml | Format::AnsibleJson) => found,
        _ if name.ends_with(".yml") || name.ends_with(".yaml") => Format::AnsibleYaml,
        _ if name.ends_with(".json") => Format::AnsibleJson,
        _ => Format::AnsibleIni,
    }
}

/// Reads `group_vars` and `host_vars` in a folder.
fn variables(folder: &Path, tree: &mut Tree, files: &mut Files, findings: &mut Findings) {
    for (kind, what) in [("group_vars", "group"), ("host_vars", "host")] {
        let path = folder.join(kind);
        if !path.is_dir() {
            continue;
        }
        let names = match files::names(&path) {
            Ok(names) => names,
            Err(why) => {
                let number = findings.file(&path.display().to_string());
                findings.fault(Place::whole(number), why);
                continue;
            }
        };
        let there: HashSet<&str> = names.iter().map(String::as_str).collect();
        for name in &names {
            if findings.is_full() {
                return;
            }
            if name.starts_with('.') || name.ends_with('~') {
                continue;
            }
            let Some((owner, _)) = owner(name, what, &there, tree) else {
                let number = findings.file(&path.join(name).display().to_string());
                findings.note(
                    Place::whole(number),
                    format!("left out: there is no {what} of this name"),
                );
                continue;
            };
            for found in of_entry(&path.join(name), 0) {
                variables_file(&found, owner, tree, files, findings);
            }
        }
    }
}

/// Returns whose variables a file or folder holds: of several that could be, the one that Ansible finds first.
fn owner(file: &str, what: &str, there: &HashSet<&str>, tree: &Tree) -> Option<(Owner, usize)> {
    ENDINGS.iter().enumerate().find_map(|(rank, ending)| {
        let name = file.strip_suffix(ending)?;
        let owner = match what {
            "group" => Owner::Group(tree.find_group(name)?),
            _ => Owner::Host(tree.find_host(name)?),
        };
        let earlier = |ending: &str| there.contains(format!("{name}{ending}").as_str());
        (!ENDINGS[..rank].iter().any(|ending| earlier(ending))).then_some((owner, rank))
    })
}

/// Returns the files of an entry: itself, or what is in the folder, in the order of the names.
fn of_entry(path: &Path, depth: usize) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut found = Vec::new();
    if depth > FOLDERS {
        return found;
    }
    for name in files::names(path).unwrap_or_default() {
        let inner = path.join(&name);
        let hidden = name.starts_with('.') || name.ends_with('~');
        let ending = name.rsplit_once('.').map(|(_, ending)| ending);
        if hidden {
            continue;
        }
        if inner.is_dir() {
            if ending.is_none() {
                found.extend(of_entry(&inner, depth + 1));
            }
        } else if matches!(ending, None | Some("yml" | "yaml" | "json")) {
            found.push(inner);
        }
    }
    found
}

fn variables_file(path: &Path, owner: Owner, tree: &mut Tree, files: &mut Files, findings: &mut Findings) {
    let number = findings.file(&path.display().to_string());
    let text = match files.text(path) {
        Ok(text) => text,
        Err(why) => {
            findings.fault(Place::whole(number), why);
            return;
        }
    };
    if text.starts_with("$ANSIBLE_VAULT") {
        findings.note(
            Place::whole(number),
            "the file is encrypted and is not imported: `muster credentials add` makes a credential from a secret",
        );
        return;
    }
    let Some(root) = reader::parse(&text, number, findings) else {
        return;
    };
    if root.is_null() {
        return;
    }
    let Some(entries) = root.entries() else {
        findings.fault(
            Place::whole(number),
            format!(
                "the file holds {}: a map of variables is expected",
                shown(root.sort())
            ),
        );
        return;
    };
    for entry in entries {
        let (value, encrypted) = yaml::value(&entry.value);
        let place = yaml::at(number, entry);
        tree.set_from_file(owner, &entry.key, value, encrypted, place, findings);
    }
}
