//! A `known_hosts` file, ready to be asked: names without wildcards are found at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::entry::{Entry, Hosts};

/// A file.
#[derive(Debug, Default)]
pub(crate) struct KnownHosts {
    path: PathBuf,
    entries: Vec<Entry>,
    plain: HashMap<String, Vec<usize>>,
    /// Lines with patterns or hashes: each has to be tried.
    others: Vec<usize>,
    /// Which of them stand for a name: trying thousands of hashes takes milliseconds, and a login asks
    /// several times.
    tried: Mutex<HashMap<String, Arc<[usize]>>>,
}

/// The most names whose lines are remembered.
const TRIED: usize = 16 * 1024;

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
        let mut places: Vec<usize> = plain.chain(self.others_for(name).iter().copied()).collect();
        places.sort_unstable();
        places.dedup();
        places
            .into_iter()
            .filter_map(|place| self.entries.get(place))
            .collect()
    }

    fn others_for(&self, name: &str) -> Arc<[usize]> {
        if self.others.is_empty() {
            return Arc::default();
        }
        let tried = || self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = tried().get(name) {
            return Arc::clone(places);
        }
        let stands = |place: &usize| {
            self.entries
                .get(*place)
                .is_some_and(|entry| entry.hosts.contain(name))
        };
        let places: Arc<[usize]> = self.others.iter().copied().filter(stands).collect();
        let mut tried = tried();
        if tried.len() >= TRIED {
            tried.clear();
        }
        tried.insert(name.to_owned(), Arc::clone(&places));
        places
    }
}
