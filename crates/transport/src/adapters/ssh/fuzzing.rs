//! The door of the fuzz targets (feature `fuzzing`): what reads `ssh_config` and `known_hosts`, on texts. It
//! promises nothing to anybody else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_model::Endpoint;
use muster_model::host_key::{HostKey, KnownHost};

use super::config::{Numbered, Problem, Root, Source, matches, read, split};
use super::known_hosts::{Entry, KnownHosts, Names, Verdict, hash_of, judge};
use super::resolve::resolve_from;
use super::resolved::Resolved;
use crate::host_keys::InMemory;
use crate::open::Settings;
use crate::types::Access;

/// Files in memory.
struct Texts<'a>(&'a BTreeMap<PathBuf, String>);

impl Source for Texts<'_> {
    fn statements(&self, path: &Path, _: &Root) -> Result<Option<Arc<Vec<Numbered>>>, Problem> {
        let parsed = self.0.get(path).map(|text| read(text).map(Arc::new)).transpose();
        parsed.map_err(|wrong| Problem(format!("{} line {}: {}", path.display(), wrong.line, wrong.what)))
    }

    fn files(&self, pattern: &str) -> Vec<PathBuf> {
        let named = |path: &&PathBuf| matches(pattern, &path.to_string_lossy());
        self.0.keys().filter(named).cloned().collect()
    }
}

/// Says how a host would be reached with these files, or why it cannot be; the user is `me`, at `/home/me`.
///
/// # Errors
///
/// The message for people.
pub fn resolve(files: &BTreeMap<PathBuf, String>, endpoint: &Endpoint) -> Result<String, String> {
    let settings = Settings {
        home: "/home/me".into(),
        user: "me".to_owned(),
        idle: Duration::from_secs(60),
        keepalive: Duration::from_secs(15),
        logins: 8,
        answer: Duration::from_secs(30),
        host_keys: Arc::new(InMemory::default()),
    };
    let mut told = String::new();
    let found = resolve_from(&Texts(files), &settings, endpoint, &Access::default());
    let mut next = Some(Arc::new(found.map_err(|error| error.message)?));
    while let Some(resolved) = next {
        describe(&resolved, &mut told);
        next = resolved.jump.clone();
    }
    Ok(told)
}

/// Appends one line on a host of the way.
fn describe(resolved: &Resolved, told: &mut String) {
    let Resolved {
        host,
        trust,
        identities,
        ..
    } = resolved;
    let _ = writeln!(
        told,
        "{} at {host}, {:?}, keys {:?} {:?} {:?}, known in {:?} {:?} as {:?}, every {:?}",
        resolved.label(),
        resolved.methods,
        identities.explicit,
        identities.files,
        identities.certificates,
        trust.user_files,
        trust.global_files,
        trust.names,
        resolved.alive_interval,
    );
}

/// Splits the arguments of a line of `ssh_config`; None where a quotation mark has no partner.
#[must_use]
pub fn arguments(text: &str) -> Option<Vec<String>> {
    split(text).ok()
}

/// A line of `known_hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// `None`, `CertAuthority` or `Revoked`.
    pub marker: String,
    /// The key as on the wire.
    pub key: Vec<u8>,
}

impl Line {
    fn of(entry: &Entry) -> Self {
        Self {
            number: entry.line,
            marker: format!("{:?}", entry.marker),
            key: entry.key.clone(),
        }
    }
}

/// A `known_hosts` file.
pub struct Known(Arc<KnownHosts>);

impl Known {
    /// Reads a file's text.
    #[must_use]
    pub fn read(text: &str) -> Self {
        Self(Arc::new(KnownHosts::read(Path::new("known_hosts"), text)))
    }

    /// Returns the lines for a name, by way of the index.
    #[must_use]
    pub fn lines(&self, name: &str) -> Vec<Line> {
        self.0.lookup(name).into_iter().map(Line::of).collect()
    }

    /// Returns `Known`, `Unknown`, `Changed` or `Revoked` for a key that a host of this name presents, `NoKey` for what
    /// is none.
    #[must_use]
    pub fn verdict(&self, name: &str, key: &[u8]) -> &'static str {
        let names = Names {
            names: vec![name.to_owned()],
            without_port: Vec::new(),
            principal: name.to_owned(),
        };
        let Ok(key) = HostKey::read(key.to_vec()) else {
            return "NoKey";
        };
        match judge(
            &[Arc::clone(&self.0)],
            &KnownHost::default(),
            &names,
            &key,
            None,
            0,
        ) {
            Verdict::Known => "Known",
            Verdict::Unknown => "Unknown",
            Verdict::NotPinned => "NotPinned",
            Verdict::Changed(_) => "Changed",
            Verdict::Revoked(_) => "Revoked",
            Verdict::BadCertificate(_) => "BadCertificate",
        }
    }
}

/// Returns the lines for a name by trying each, without an index.
#[must_use]
pub fn lines_one_by_one(text: &str, name: &str) -> Vec<Line> {
    let entries = (1..)
        .zip(text.lines())
        .filter_map(|(number, line)| Entry::read(number, line));
    entries
        .filter(|entry| entry.hosts.contain(name))
        .map(|entry| Line::of(&entry))
        .collect()
}

/// Hashes a name as `HashKnownHosts` does.
#[must_use]
pub fn hash(name: &str, salt: &[u8]) -> Vec<u8> {
    hash_of(name, salt)
}
