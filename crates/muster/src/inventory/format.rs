//! The formats of inventories: their names, and how one is guessed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// How an inventory is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Our own document, or an array of hosts.
    Json,
    /// A table with a header.
    Csv,
    /// A host pattern a line, with fields behind it. Read only.
    List,
    /// Ansible's INI files.
    AnsibleIni,
    /// Ansible's YAML files.
    AnsibleYaml,
    /// What `ansible-inventory --list` prints. Read only.
    AnsibleJson,
    /// A folder of Ansible's inventories. Read only.
    AnsibleFolder,
    /// The settings of OpenSSH's client.
    SshConfig,
    /// ClusterShell's groups.
    ClusterShell,
    /// `/etc/hosts`.
    Hosts,
}

/// A name that is none of a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no format of an inventory: {names} are known", names = Format::names())]
pub struct UnknownFormat(String);

impl Format {
    /// Every format.
    pub const ALL: [Self; 10] = [
        Self::Json,
        Self::Csv,
        Self::List,
        Self::AnsibleIni,
        Self::AnsibleYaml,
        Self::AnsibleJson,
        Self::AnsibleFolder,
        Self::SshConfig,
        Self::ClusterShell,
        Self::Hosts,
    ];

    /// Returns its name, as `--format` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::List => "list",
            Self::AnsibleIni => "ansible-ini",
            Self::AnsibleYaml => "ansible-yaml",
            Self::AnsibleJson => "ansible-json",
            Self::AnsibleFolder => "ansible-folder",
            Self::SshConfig => "ssh-config",
            Self::ClusterShell => "clustershell",
            Self::Hosts => "hosts",
        }
    }

    /// Tells whether an inventory can be written in it.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        !matches!(self, Self::List | Self::AnsibleJson | Self::AnsibleFolder)
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| UnknownFormat(super::fault::shown(text)))
    }
}

/// Guesses the format of a file by its name and by what is in it.
pub(super) fn guess(name: &str, text: &str) -> Format {
    let ends = |ending: &str| name.len() > ending.len() && name.ends_with(ending);
    let start = text.trim_start();
    if ends(".csv") {
        return Format::Csv;
    }
    if start.starts_with('{') || (start.starts_with('[') && ends(".json")) {
        return of_json(start);
    }
    if start.starts_with('[') && is_json_array(start) {
        return Format::Json;
    }
    if ends(".yml") || ends(".yaml") {
        return of_yaml(text);
    }
    if name == "groups.conf" || ends(".cfg") {
        return Format::ClusterShell;
    }
    if ends(".ini") {
        return Format::AnsibleIni;
    }
    if matches!(name, "ssh_config" | "config") {
        return Format::SshConfig;
    }
    text.lines().find_map(of_line).unwrap_or(Format::List)
}

/// `[{`, `["` and `[]` begin an array, `[web]` a section.
fn is_json_array(start: &str) -> bool {
    let inside = start[1..].trim_start();
    inside.starts_with(['{', '"']) || inside.starts_with(']')
}

fn of_json(text: &str) -> Format {
    let document = serde_json::from_str::<serde_json::Value>(text);
    let Ok(serde_json::Value::Object(map)) = document else {
        // What is wrong with it is said where it is read.
        let ansible = text.contains("\"_meta\"") || text.contains("\"children\"");
        return if ansible {
            Format::AnsibleJson
        } else {
            Format::Json
        };
    };
    let ours = map.is_empty()
        || map
            .iter()
            .all(|(key, value)| matches!(key.as_str(), "hosts" | "groups") && value.is_array());
    if ours { Format::Json } else { Format::AnsibleJson }
}

/// In ClusterShell's files a source holds groups, and a group is a text; in Ansible's a group holds sections.
fn of_yaml(text: &str) -> Format {
    let mut ansible = false;
    let mut values = false;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let Some((key, value)) = line.trim().split_once(':') else {
            continue;
        };
        let key = key.trim_matches(['"', '\'']);
        if key.starts_with('#') || indent == 0 {
            ansible |= matches!(key, "all" | "ungrouped" | "plugin");
            continue;
        }
        ansible |= matches!(key, "hosts" | "children" | "vars");
        values |= !value.trim().is_empty();
    }
    if ansible || !values {
        Format::AnsibleYaml
    } else {
        Format::ClusterShell
    }
}

/// Says what a line is a sign of; None where it may be many things.
fn of_line(line: &str) -> Option<Format> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', ';']) {
        return None;
    }
    if line.starts_with('[') && line.contains(']') {
        let is_main = line.eq_ignore_ascii_case("[main]");
        return Some(if is_main {
            Format::ClusterShell
        } else {
            Format::AnsibleIni
        });
    }
    if line == "---" {
        return Some(Format::AnsibleYaml);
    }
    let cells: Vec<&str> = line
        .split(',')
        .map(|cell| cell.trim_matches(['"', ' ']))
        .collect();
    if cells.contains(&"name") && cells.len() > 1 {
        return Some(Format::Csv);
    }
    let mut words = line.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    let keyword = ["host", "match", "include"]
        .iter()
        .any(|keyword| first.eq_ignore_ascii_case(keyword));
    if keyword && second.is_some_and(|word| !word.contains('=')) {
        return Some(Format::SshConfig);
    }
    let address = first.split('%').next().unwrap_or_default();
    if address.parse::<IpAddr>().is_ok() && second.is_some_and(|word| !word.contains('=')) {
        return Some(Format::Hosts);
    }
    if line.contains(" ansible_") || (first.contains('[') && first.contains(':')) {
        return Some(Format::AnsibleIni);
    }
    match first.strip_suffix(':') {
        Some(_) if second.is_some_and(|word| !word.starts_with(['{', '#'])) => Some(Format::ClusterShell),
        Some(_) => Some(Format::AnsibleYaml),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "yaml".parse::<Format>().expect_err("no format").to_string();
        assert!(error.contains("ansible-yaml"), "{error}");
    }

    #[test]
    fn a_format_is_guessed_by_name_and_content() {
        for (name, text, format) in [
            ("hosts", "[web]\nweb1\n", Format::AnsibleIni),
            ("hosts", "127.0.0.1 localhost\n10.0.0.1 a\n", Format::Hosts),
            ("hosts", "mail.example.com\n[web]\n", Format::AnsibleIni),
            ("x", "web1 ansible_host=10.0.0.1\n", Format::AnsibleIni),
            ("x", "www[01:50].example.com\n", Format::AnsibleIni),
            ("hosts.txt", "web[1-2] user=deploy label:a=b\n", Format::List),
            ("-", "10.0.0.1 user=a\n", Format::List),
            ("x.yml", "all:\n  hosts:\n    a:\n", Format::AnsibleYaml),
            ("x.yml", "web:\n  hosts:\n    a:\n", Format::AnsibleYaml),
            ("x.yaml", "roles:\n  web: 'web[1-5]'\n", Format::ClusterShell),
            ("-", "all:\n  hosts:\n", Format::AnsibleYaml),
            ("-", "web: web[1-5]\n", Format::ClusterShell),
            ("groups.conf", "[Main]\n", Format::ClusterShell),
            ("config", "", Format::SshConfig),
            ("-", "# x\nHost a\n  User b\n", Format::SshConfig),
            ("a.csv", "", Format::Csv),
            ("-", "name,address\na,b\n", Format::Csv),
            ("a.json", "{\"_meta\": {}}", Format::AnsibleJson),
            ("a.json", "{\"hosts\": []}", Format::Json),
            ("a.json", "{\"all\": {\"hosts\": {}}}", Format::AnsibleJson),
            ("-", "[{\"name\": \"a\"}]", Format::Json),
        ] {
            assert_eq!(guess(name, text), format, "{name}: {text}");
        }
    }
}
