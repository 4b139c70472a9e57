//! ClusterShell's groups: lines of `group: nodeset`, YAML files of sources, and `groups.conf`, of which only where
//! files are is read: commands that make groups are never run.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use muster_model::limits::HOSTS_PER_TASK;
use muster_model::pattern::{self, Groups, NoGroups};

use super::draft::{Draft, Id};
use super::fault::{Findings, Place, shown};
use super::files::{self, Files};
use super::yaml::{self, Entry};

/// How many hosts all nodesets together may make, the same ones again and again included.
const NAMES: usize = 4_000_000;
/// How deep groups may stand in each other where one is worked out.
const DEPTH: usize = super::draft::NESTING;

/// A group as it is written.
#[derive(Debug)]
struct Written {
    source: String,
    name: String,
    /// Its nodesets.
    texts: Vec<String>,
    place: Place,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    groups: Vec<Written>,
    /// The source whose groups are named without it.
    default: Option<String>,
}

/// Reads one file, and those that a `groups.conf` names.
pub(super) fn file(
    text: &str,
    name: &str,
    number: u32,
    beside: Option<&Path>,
    files: &mut Files,
    findings: &mut Findings,
) -> Draft {
    let mut found = Found::default();
    one(text, name, number, beside, files, findings, &mut found);
    resolve(&found, findings)
}

/// Reads all the files of a `groups.d`.
pub(super) fn folder(path: &Path, files: &mut Files, findings: &mut Findings) -> Draft {
    let mut found = Found::default();
    all_of(path, &[".yaml", ".yml", ".cfg"], files, findings, &mut found);
    if path.join("groups.conf").is_file() {
        let number = findings.file(&path.join("groups.conf").display().to_string());
        match files.text(&path.join("groups.conf")) {
            Ok(text) => conf(&text, number, Some(path), files, findings, &mut found),
            Err(why) => findings.fault(Place::whole(number), why),
        }
    }
    resolve(&found, findings)
}

fn all_of(path: &Path, endings: &[&str], files: &mut Files, findings: &mut Findings, found: &mut Found) {
    let names = match files::names(path) {
        Ok(names) => names,
        Err(why) => {
            let number = findings.file(&path.display().to_string());
            findings.fault(Place::whole(number), why);
            return;
        }
    };
    for name in names {
        let fits = endings.iter().any(|ending| name.ends_with(ending));
        if !fits || name.starts_with('.') || findings.is_full() {
            continue;
        }
        let number = findings.file(&path.join(&name).display().to_string());
        match files.text(&path.join(&name)) {
            Ok(text) => one(&text, &name, number, None, files, findings, found),
            Err(why) => findings.fault(Place::whole(number), why),
        }
    }
}

fn one(
    text: &str,
    name: &str,
    number: u32,
    beside: Option<&Path>,
    files: &mut Files,
    findings: &mut Findings,
    found: &mut Found,
) {
    let lines = || {
        text.lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    };
    if lines().any(|line| line.starts_with('[') && line.trim_end().ends_with(']')) {
        conf(text, number, beside, files, findings, found);
    } else if name.ends_with(".yaml")
        || name.ends_with(".yml")
        || lines().any(|line| line.starts_with([' ', '\t']))
    {
        sources(text, number, findings, found);
    } else {
        flat(text, number, findings, found);
    }
}

/// Lines of `group: nodeset`.
fn flat(text: &str, number: u32, findings: &mut Findings, found: &mut Found) {
    for (line_number, line) in (1..).zip(text.lines()) {
        let place = Place::line(number, line_number);
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() || line == "---" {
            continue;
        }
        match line.split_once(':') {
            Some((name, nodes)) if !name.trim().is_empty() => found.groups.push(Written {
                source: String::new(),
                name: name.trim().to_owned(),
                texts: vec![nodes.trim().trim_matches(['"', '\'']).to_owned()],
                place,
            }),
            _ => findings.fault(place, "a line is written `group: nodeset`"),
        }
    }
}

/// YAML: sources, and in each its groups.
fn sources(text: &str, number: u32, findings: &mut Findings, found: &mut Found) {
    let Some(root) = yaml::parse(text, number, findings) else {
        return;
    };
    if root.is_null() {
        return;
    }
    let Some(sources) = root.entries() else {
        let what = format!(
            "the file holds {}: sources with groups in them are expected",
            root.sort()
        );
        findings.fault(Place::whole(number), what);
        return;
    };
    for source in sources {
        let place = |entry: &Entry| Place {
            file: number,
            line: entry.line,
            column: 0,
        };
        let Some(groups) = source.value.entries() else {
            findings.fault(
                place(source),
                format!(
                    "the source '{}' is {}: a map of groups is expected, each with its nodeset",
                    shown(&source.key),
                    source.value.sort()
                ),
            );
            continue;
        };
        for group in groups {
            let Some(texts) = texts(&group.value) else {
                findings.fault(
                    place(group),
                    format!(
                        "the group '{}' is {}: a nodeset is expected",
                        shown(&group.key),
                        group.value.sort()
                    ),
                );
                continue;
            };
            found.groups.push(Written {
                source: source.key.clone(),
                name: group.key.clone(),
                texts,
                place: place(group),
            });
        }
    }
}

fn texts(node: &yaml::Node) -> Option<Vec<String>> {
    match node.value() {
        serde_json::Value::Null => Some(Vec::new()),
        serde_json::Value::String(text) => Some(vec![text]),
        serde_json::Value::Number(number) => Some(vec![number.to_string()]),
        serde_json::Value::Array(_) => {
            let items = node.list()?.iter().map(|item| texts(item));
            items.collect::<Option<Vec<_>>>().map(|lists| lists.concat())
        }
        _ => None,
    }
}

/// `groups.conf`: the folders that it names, and a fault for each command.
fn conf(
    text: &str,
    number: u32,
    beside: Option<&Path>,
    files: &mut Files,
    findings: &mut Findings,
    found: &mut Found,
) {
    let mut section = String::new();
    for (line_number, line) in (1..).zip(text.lines()) {
        let place = Place::line(number, line_number);
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let Some((key, value)) = trimmed.split_once([':', '=']) else {
            if !line.starts_with([' ', '\t']) {
                findings.fault(place, "a setting is written `name: value`");
            }
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        if section.eq_ignore_ascii_case("main") {
            match key {
                "default" => found.default = Some(value.to_owned()),
                "autodir" | "groupsdir" => directories(value, beside, files, findings, found),
                _ => {}
            }
        } else if matches!(key, "map" | "all" | "list" | "reverse") {
            findings.fault(
                place,
                format!(
                    "'{key}' of the source '{}' is a command, which is not run: import its file of groups instead, or \
                     a YAML file of `groups.d`",
                    shown(&section)
                ),
            );
        }
    }
}

fn directories(
    value: &str,
    beside: Option<&Path>,
    files: &mut Files,
    findings: &mut Findings,
    found: &mut Found,
) {
    let mut seen = HashSet::new();
    for word in value.split_whitespace() {
        let path = match (word.strip_prefix("$CFGDIR"), beside) {
            (Some(rest), Some(folder)) => folder.join(rest.trim_start_matches('/')),
            (None, _) if word.starts_with('/') => Path::new(word).to_owned(),
            (None, Some(folder)) => folder.join(word),
            (_, None) => continue,
        };
        if path.is_dir() && seen.insert(path.clone()) {
            all_of(&path, &[".yaml", ".yml"], files, findings, found);
        }
    }
}

/// What the groups are called here, and what is in them.
struct Resolver<'f> {
    found: &'f Found,
    by_name: HashMap<(&'f str, &'f str), usize>,
    /// The groups whose hosts are being worked out, for circles.
    open: RefCell<Vec<usize>>,
    done: RefCell<HashMap<usize, Vec<String>>>,
}

/// Makes the draft.
fn resolve(found: &Found, findings: &mut Findings) -> Draft {
    let mut draft = Draft::default();
    let sources: HashSet<&str> = found.groups.iter().map(|group| group.source.as_str()).collect();
    let is_lone = sources.len() < 2;
    let mut ids = Vec::with_capacity(found.groups.len());
    let mut resolver = Resolver {
        found,
        by_name: HashMap::new(),
        open: RefCell::default(),
        done: RefCell::default(),
    };
    for (index, group) in found.groups.iter().enumerate() {
        let plain = is_lone || found.default.as_ref() == Some(&group.source) || group.source.is_empty();
        let name = match plain {
            true => group.name.clone(),
            false => format!("{}.{}", group.source, group.name),
        };
        if draft.find_group(&name).is_some() {
            findings.fault(
                group.place,
                format!("the group '{}' is there twice: one is enough", shown(&name)),
            );
            return draft;
        }
        ids.push(draft.group(&name, group.place, findings));
        resolver.by_name.insert((&group.source, &group.name), index);
    }
    let mut budget = NAMES;
    for (index, group) in found.groups.iter().enumerate() {
        if findings.is_full() {
            break;
        }
        let Some(id) = ids[index] else {
            continue;
        };
        for text in &group.texts {
            let members = resolver.members_of(text, group, findings);
            budget = budget.saturating_sub(members.hosts.len());
            if budget == 0 {
                findings.fault(
                    group.place,
                    format!("the nodesets so far make more than {NAMES} hosts"),
                );
                return draft;
            }
            add(&mut draft, id, members, &ids, group.place, findings);
        }
    }
    draft
}

fn add(
    draft: &mut Draft,
    group: Id,
    members: Members,
    ids: &[Option<Id>],
    place: Place,
    findings: &mut Findings,
) {
    for host in members.hosts {
        match draft.host(&host, place, findings) {
            Some(id) => draft.add_host(group, draft.host_name(id).clone()),
            None => return,
        }
    }
    for inner in members.groups {
        if let Some(inner) = ids[inner] {
            draft.add_group(group, inner);
        }
    }
}

#[derive(Default)]
struct Members {
    hosts: Vec<String>,
    groups: Vec<usize>,
}

impl Resolver<'_> {
    fn members_of(&self, text: &str, group: &Written, findings: &mut Findings) -> Members {
        let mut members = Members::default();
        if text.contains('@') && text.contains(['!', '&', '^']) {
            let of_source = OfSource {
                resolver: self,
                source: &group.source,
            };
            match pattern::expand(text, &of_source) {
                Ok(hosts) => {
                    findings.note(
                        group.place,
                        format!(
                            "the group '{}' is worked out: it is a list of hosts here",
                            shown(&group.name)
                        ),
                    );
                    members.hosts = hosts;
                }
                Err(error) => findings.fault(group.place, error.to_string()),
            }
            return members;
        }
        let mut plain = Vec::new();
        for part in parts(text) {
            match part.strip_prefix('@') {
                Some(named) => match self.named(named, &group.source) {
                    Ok(groups) => members.groups.extend(groups),
                    Err(why) => findings.fault(group.place, why),
                },
                None => plain.push(part),
            }
        }
        match pattern::expand(&plain.join(","), &NoGroups) {
            Ok(hosts) => members.hosts = hosts,
            Err(error) => findings.fault(group.place, error.to_string()),
        }
        members
    }

    /// Returns the groups that `@name`, `@source:name` or `@name[1-3]` stands for.
    fn named(&self, named: &str, source: &str) -> Result<Vec<usize>, String> {
        let (source, name) = named.split_once(':').unwrap_or((source, named));
        if name.contains(['*', '?']) {
            return Err(format!(
                "'@{}' is a wildcard: write the names of the groups",
                shown(named)
            ));
        }
        let names = match name.contains('[') {
            true => pattern::expand(name, &NoGroups).map_err(|error| error.to_string())?,
            false => vec![name.to_owned()],
        };
        let find = |name: &String| {
            let found = self.by_name.get(&(source, name.as_str())).copied();
            found.ok_or_else(|| format!("there is no group '@{}': write it too", shown(name)))
        };
        names.iter().map(find).collect()
    }

    fn hosts_of(&self, index: usize) -> Option<Vec<String>> {
        if let Some(done) = self.done.borrow().get(&index) {
            return Some(done.clone());
        }
        if self.open.borrow().len() >= DEPTH || self.open.borrow().contains(&index) {
            return None;
        }
        self.open.borrow_mut().push(index);
        let group = &self.found.groups[index];
        let of_source = OfSource {
            resolver: self,
            source: &group.source,
        };
        let hosts = pattern::expand_all(&group.texts, &[], &of_source).ok();
        self.open.borrow_mut().pop();
        let hosts = hosts.filter(|hosts| hosts.len() as u64 <= HOSTS_PER_TASK)?;
        self.done.borrow_mut().insert(index, hosts.clone());
        Some(hosts)
    }
}

/// The groups as the nodesets of one source name them.
struct OfSource<'r> {
    resolver: &'r Resolver<'r>,
    source: &'r str,
}

impl Groups for OfSource<'_> {
    fn members(&self, group: &str) -> Option<Vec<String>> {
        let index = self.resolver.by_name.get(&(self.source, group))?;
        self.resolver.hosts_of(*index)
    }

    fn all(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Cuts a nodeset at the commas and spaces outside of brackets.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_i32);
    for (at, character) in text.char_indices() {
        match character {
            '[' => depth += 1,
            ']' => depth -= 1,
            c if depth <= 0 && (c == ',' || c.is_whitespace()) => {
                parts.push(&text[start..at]);
                start = at + character.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}
