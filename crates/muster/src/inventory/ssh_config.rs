//! The settings of OpenSSH's client: the hosts that they name. A light reading of its own: what counts when a host
//! is reached is read by the transport, each time anew.

use std::path::{Path, PathBuf};

use super::draft::{Draft, Id};
use super::fault::{Findings, Place, shown};
use super::files::{self, Files};
use super::list;

/// How deep files may include each other.
const DEPTH: usize = 16;
/// The most files that are included.
const INCLUDES: usize = 4096;

/// Reads a file and those that it includes.
pub(super) fn read(
    text: &str,
    file: u32,
    beside: Option<&Path>,
    files: &mut Files,
    findings: &mut Findings,
) -> Draft {
    let mut reader = Reader {
        draft: Draft::default(),
        beside,
        files,
        findings,
        block: Block::Hosts(Vec::new()),
        included: 0,
    };
    reader.lines(text, file, 0);
    reader.draft
}

/// What the settings of the lines that follow are for.
#[derive(Clone)]
enum Block {
    /// These hosts; none: settings for all, which stay where they are.
    Hosts(Vec<Id>),
    /// What only `ssh` can tell.
    Match,
}

struct Reader<'r> {
    draft: Draft,
    beside: Option<&'r Path>,
    files: &'r mut Files,
    findings: &'r mut Findings,
    block: Block,
    included: usize,
}

impl Reader<'_> {
    fn lines(&mut self, text: &str, file: u32, depth: usize) {
        for (number, line) in (1..).zip(text.lines()) {
            if self.findings.is_full() {
                return;
            }
            let place = Place::line(file, number);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let end = line
                .find(|c: char| c.is_whitespace() || c == '=')
                .unwrap_or(line.len());
            let (keyword, rest) = line.split_at(end);
            let rest = rest.trim_start();
            let rest = rest.strip_prefix('=').unwrap_or(rest);
            match arguments(rest) {
                Some(words) => self.setting(&keyword.to_ascii_lowercase(), &words, place, depth),
                None => self
                    .findings
                    .fault(place, "a quote is not closed: write it at the end too"),
            }
        }
    }

    fn setting(&mut self, keyword: &str, words: &[String], place: Place, depth: usize) {
        let Some(first) = words.first() else {
            self.findings
                .fault(place, format!("'{}' has no value: write one", shown(keyword)));
            return;
        };
        match keyword {
            "host" => self.host(words, place),
            "match" => {
                self.findings.note(
                    place,
                    "a Match block is left out: it holds when a host is reached",
                );
                self.block = Block::Match;
            }
            "include" => {
                let before = self.block.clone();
                for pattern in words {
                    self.include(pattern, place, depth);
                    // A block of the included file ends with it.
                    self.block = before.clone();
                }
            }
            "hostname" | "user" | "port" => {
                let Block::Hosts(ids) = &self.block else {
                    return;
                };
                for id in ids.clone() {
                    self.set(id, keyword, first, place);
                }
            }
            "identityfile" | "certificatefile" => {
                if matches!(&self.block, Block::Hosts(ids) if !ids.is_empty()) {
                    self.findings.note(
                        place,
                        "a key file is not imported: ssh_config still names it when the host is reached, or `muster \
                         credentials add` makes a credential of it",
                    );
                }
            }
            _ => {}
        }
    }

    fn host(&mut self, words: &[String], place: Place) {
        let mut ids = Vec::new();
        for name in words {
            if name.contains(['*', '?', '!']) {
                self.findings.note(
                    place,
                    "a pattern is no host: what it says holds when a host is reached, where ssh_config is read",
                );
            } else if let Some(id) = self.draft.host(name, place, self.findings) {
                ids.push(id);
            }
        }
        self.block = Block::Hosts(ids);
    }

    /// Sets what nobody said before: the first value counts.
    fn set(&mut self, id: Id, keyword: &str, value: &str, place: Place) {
        let name = self.draft.host_name(id).to_string();
        let record = self.draft.record(id);
        match keyword {
            "hostname" if record.address.is_none() => {
                let address = value
                    .replace("%%", "\u{0}")
                    .replace("%h", &name)
                    .replace('\u{0}', "%");
                if address.parse::<muster_model::HostName>().is_err() {
                    self.findings.fault(
                        place,
                        format!("'{}' is no address: write a name or an address", shown(value)),
                    );
                }
                record.address = Some(address);
            }
            "user" if record.user.is_none() => {
                if value.starts_with('-') || value.chars().any(|c| c.is_whitespace() || c.is_control()) {
                    self.findings.fault(
                        place,
                        format!("'{}' is no user name: it holds no spaces", shown(value)),
                    );
                }
                record.user = Some(value.to_owned());
            }
            "port" if record.port.is_none() => match list::port(value) {
                Ok(port) => record.port = Some(port),
                Err(why) => self.findings.fault(place, why),
            },
            _ => {}
        }
    }

    fn include(&mut self, pattern: &str, place: Place, depth: usize) {
        let Some(path) = self.place_of(pattern) else {
            self.findings.note(
                place,
                format!(
                    "'{}' is not included: where it begins is not known here",
                    shown(pattern)
                ),
            );
            return;
        };
        for found in files::matching(&path) {
            self.included += 1;
            if depth >= DEPTH || self.included > INCLUDES {
                self.findings.fault(
                    place,
                    format!(
                        "files include each other more than {DEPTH} deep, or more than {INCLUDES} of them"
                    ),
                );
                return;
            }
            let number = self.findings.file(&found.display().to_string());
            match self.files.text(&found) {
                Ok(text) => self.lines(&text, number, depth + 1),
                Err(why) => self.findings.fault(Place::whole(number), why),
            }
        }
    }

    /// Returns where an included file is: relative ones beside the first file, `~` the folder around its `.ssh`.
    fn place_of(&self, pattern: &str) -> Option<PathBuf> {
        if let Some(rest) = pattern.strip_prefix("~/") {
            let folder = std::path::absolute(self.beside?).ok()?;
            let is_ssh = folder.file_name().is_some_and(|name| name == ".ssh");
            return folder.parent().filter(|_| is_ssh).map(|home| home.join(rest));
        }
        if pattern.starts_with(['~', '$', '%']) {
            return None;
        }
        match pattern.starts_with('/') {
            true => Some(PathBuf::from(pattern)),
            false => Some(self.beside?.join(pattern)),
        }
    }
}

/// Cuts the values of a setting: spaces between, double quotes around, `#` ends them. None where a quote is open.
fn arguments(rest: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = rest.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (word, after) = quoted.split_once('"')?;
            words.push(word.to_owned());
            rest = after.trim_start();
        } else {
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            words.push(word.to_owned());
            rest = after.trim_start();
        }
    }
    Some(words)
}
