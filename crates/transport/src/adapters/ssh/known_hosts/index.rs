//! A `known_hosts` file, ready to be asked: names without wildcards are found at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::entry::{Entry, Hosts};

/// A file.
#[derive(Debug, Default)]
pub(crate) struct KnownHosts {
    path: PathBuf,
    entries: Vec<Entry>,
    plain: HashMap<String, Vec<usize>>,
    /// Lines with patterns or hashes: each has to be tried.
    others: Vec<usize>,
}

impl KnownHosts {
    /// Reads a file's text. Lines that say nothing usable are passed over.
    pub(crate) fn read(path: &Path, text: &str) -> Self {
        let mut file = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        for (index, line) in text.lines().enumerate() {
            let Some(entry) = Entry::read(index + 1, line) else {
                continue;
            };
            let place = file.entries.len();
            match &entry.hosts {
                Hosts::Plain(names) => {
                    for name in names {
                        file.plain.entry(name.clone()).or_default().push(place);
                    }
                }
                Hosts::Patterns(_) | Hosts::Hashed { .. } => file.others.push(place),
            }
            file.entries.push(entry);
        }
        file
    }

    /// Returns the file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the lines for a host, in their order; `name` in lower case, as `known_hosts` writes it.
    pub(crate) fn lookup(&self, name: &str) -> Vec<&Entry> {
        let plain = self.plain.get(name).into_iter().flatten().copied();
        let others = self.others.iter().copied();
        let others = others.filter(|place| {
            self.entries
                .get(*place)
                .is_some_and(|entry| entry.hosts.contain(name))
        });
        let mut places: Vec<usize> = plain.chain(others).collect();
        places.sort_unstable();
        places.dedup();
        places
            .into_iter()
            .filter_map(|place| self.entries.get(place))
            .collect()
    }
}
