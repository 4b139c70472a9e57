//! The fields that a selector asks for: their names, and what each of them is.

use std::fmt;

use super::expression::quoted;
use super::number::Measure;

/// What a field stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Name,
    Address,
    Port,
    User,
    Reach,
    Credential,
    Groups,
    Label,
    OsId,
    OsVersion,
    OsName,
    OsLike,
    Kernel,
    KernelRelease,
    Arch,
    Hostname,
    Cpus,
    Memory,
    Swap,
    DiskFree,
    DiskSize,
    Addresses,
    Virt,
    Uptime,
    Pkg,
    Init,
    FactsAge,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Holds {
    Text,
    /// A text that may be read as a number.
    Label,
    /// Texts.
    Names,
    Addresses,
    /// A number; plain numbers that it is compared with count in units of `scale`.
    Number {
        measure: Measure,
        scale: f64,
    },
}

/// A field as the table has it.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) source: Source,
    pub(super) holds: Holds,
}

const fn entry(name: &'static str, source: Source, holds: Holds) -> Entry {
    Entry { name, source, holds }
}

const fn text(name: &'static str, source: Source) -> Entry {
    entry(name, source, Holds::Text)
}

const fn number(name: &'static str, source: Source, measure: Measure, scale: f64) -> Entry {
    entry(name, source, Holds::Number { measure, scale })
}

/// Every field. A GB is 1000 MB, as in sizes everywhere: what is sold as 8 GB has a little less than 8 GiB for use.
pub(super) static FIELDS: [Entry; 39] = [
    text("name", Source::Name),
    text("address", Source::Address),
    number("port", Source::Port, Measure::Count, 1.0),
    text("user", Source::User),
    text("reach", Source::Reach),
    text("credential", Source::Credential),
    entry("groups", Source::Groups, Holds::Names),
    entry("labels", Source::Label, Holds::Label),
    text("os.id", Source::OsId),
    text("os.version", Source::OsVersion),
    text("os.name", Source::OsName),
    entry("os.like", Source::OsLike, Holds::Names),
    text("kernel", Source::Kernel),
    text("kernel_release", Source::KernelRelease),
    text("arch", Source::Arch),
    text("hostname", Source::Hostname),
    number("cpus", Source::Cpus, Measure::Count, 1.0),
    number("mem_gb", Source::Memory, Measure::Size, 1e9),
    number("mem_mb", Source::Memory, Measure::Size, 1e6),
    number("mem_bytes", Source::Memory, Measure::Size, 1.0),
    number("swap_gb", Source::Swap, Measure::Size, 1e9),
    number("swap_mb", Source::Swap, Measure::Size, 1e6),
    number("swap_bytes", Source::Swap, Measure::Size, 1.0),
    number("disk_free_gb", Source::DiskFree, Measure::Size, 1e9),
    number("disk_free_mb", Source::DiskFree, Measure::Size, 1e6),
    number("disk_free_bytes", Source::DiskFree, Measure::Size, 1.0),
    number("disk_size_gb", Source::DiskSize, Measure::Size, 1e9),
    number("disk_size_mb", Source::DiskSize, Measure::Size, 1e6),
    number("disk_size_bytes", Source::DiskSize, Measure::Size, 1.0),
    entry("addresses", Source::Addresses, Holds::Addresses),
    text("virt", Source::Virt),
    number("uptime_s", Source::Uptime, Measure::Time, 1.0),
    number("uptime_h", Source::Uptime, Measure::Time, 3600.0),
    number("uptime_d", Source::Uptime, Measure::Time, 86_400.0),
    text("pkg", Source::Pkg),
    text("init", Source::Init),
    number("facts_age_s", Source::FactsAge, Measure::Time, 1.0),
    number("facts_age_h", Source::FactsAge, Measure::Time, 3600.0),
    number("facts_age_d", Source::FactsAge, Measure::Time, 86_400.0),
];

/// A field, with its key where it has one: the key of a label, the path on a disk.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) entry: &'static Entry,
    pub(super) key: String,
}

impl Field {
    /// Returns what kind of key the field has, with an example; None where it has none.
    pub(super) fn wants_key(entry: &Entry) -> Option<&'static str> {
        match entry.source {
            Source::Label => Some("the key of a label, as in labels.env or labels[\"my key\"]"),
            Source::DiskFree | Source::DiskSize => Some("a path, as in disk_free_gb[\"/var\"]"),
            _ => None,
        }
    }

    /// Returns how many bytes, seconds or things a plain number counts.
    pub(super) fn scale(&self) -> f64 {
        match self.entry.holds {
            Holds::Number { scale, .. } => scale,
            _ => 1.0,
        }
    }

    /// Tells whether the value is from facts.
    pub(super) fn is_fact(&self) -> bool {
        !matches!(
            self.entry.source,
            Source::Name
                | Source::Address
                | Source::Port
                | Source::User
                | Source::Reach
                | Source::Credential
                | Source::Groups
                | Source::Label
        )
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry.name)?;
        if Self::wants_key(self.entry).is_none() {
            return Ok(());
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if self.entry.source == Source::Label && !self.key.is_empty() && self.key.chars().all(is_word) {
            return write!(f, ".{}", self.key);
        }
        write!(f, "[{}]", quoted(&self.key))
    }
}

/// Returns the field of this name, and the key of a label that was written after a dot.
pub(super) fn find(name: &str) -> Option<(&'static Entry, Option<&str>)> {
    if let Some((head, key)) = name.split_once('.')
        && matches!(head, "labels" | "label")
    {
        return find("labels").map(|(entry, _)| (entry, Some(key)));
    }
    let name = if name == "label" { "labels" } else { name };
    let entry = FIELDS.iter().find(|entry| entry.name == name)?;
    Some((entry, None))
}

/// Returns the name that is nearest to one that does not exist, where one is near.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let name: String = name.chars().take(40).collect::<String>().to_lowercase();
    let holds = |entry: &&Entry| name.len() > 1 && entry.name.split(['.', '_']).any(|part| part == name);
    let distances = FIELDS
        .iter()
        .map(|entry| (distance(&name, entry.name), entry.name));
    let near = distances
        .min()
        .filter(|(distance, _)| *distance <= 1 + name.len() / 4);
    match near {
        Some((_, near)) => Some(near),
        None => FIELDS.iter().find(holds).map(|entry| entry.name),
    }
}

/// How many characters to write, take away or change to come from one name to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (done, left) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], done + 1);
        for (place, right) in to.iter().enumerate() {
            let changed = diagonal + usize::from(left != *right);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[to.len()]
}
