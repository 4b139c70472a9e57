//! A host's keys between two states of the database. What becomes of them is the model's rule.

use std::collections::{BTreeMap, HashMap};

use muster_model::host_key::{Decision, HostKey, KnownHost, SeenKey, Undecidable};
use muster_model::{ErrorKind, Timestamp};

use super::host_key::Model;
use crate::error::Error;

/// Hosts by their names.
pub(super) type Hosts = BTreeMap<String, Host>;

/// What a key is to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Pinned,
    Offered,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Offered => "offered",
        }
    }

    pub(super) fn read(text: &str) -> Result<Self, Error> {
        match text {
            "pinned" => Ok(Self::Pinned),
            "offered" => Ok(Self::Offered),
            _ => Err(Error::new(ErrorKind::Corrupt, "read the state of a host's key")
                .caused_by("it is neither pinned nor offered")),
        }
    }
}

/// A key that is to be written.
pub(super) struct Row {
    pub(super) key: SeenKey,
    pub(super) blob: Vec<u8>,
    pub(super) state: State,
}

/// The keys of one name.
#[derive(Default)]
pub(super) struct Host {
    /// As they stand in the database.
    before: HashMap<String, State>,
    known: KnownHost,
    blobs: HashMap<String, Vec<u8>>,
}

impl Host {
    /// Adds a key that is there; the first seen come first.
    pub(super) fn add(&mut self, row: Model) -> Result<(), Error> {
        let state = State::read(&row.state)?;
        let key = SeenKey {
            algorithm: row.algorithm,
            fingerprint: row.fingerprint.clone(),
            seen_at: Timestamp(row.seen_at),
        };
        match state {
            State::Pinned => self.known.pinned.push(key),
            State::Offered => self.known.offered.push(key),
        }
        self.before.insert(row.fingerprint.clone(), state);
        self.blobs.insert(row.fingerprint, row.public_key);
        Ok(())
    }

    /// Returns what is known.
    pub(super) fn known(&self) -> KnownHost {
        self.known.clone()
    }

    /// See [`KnownHost::show`].
    pub(super) fn show(&mut self, key: &HostKey, pin: bool, at: Timestamp) {
        self.keep(key);
        self.known.show(key, pin, at);
    }

    /// See [`KnownHost::decide`].
    pub(super) fn decide(&mut self, decision: &Decision, at: Timestamp) -> Result<(), Undecidable> {
        if let Decision::Pin(keys) = decision {
            keys.iter().for_each(|key| self.keep(key));
        }
        self.known.decide(decision, at)
    }

    fn keep(&mut self, key: &HostKey) {
        self.blobs
            .insert(key.fingerprint().to_owned(), key.blob().to_vec());
    }

    /// Returns the keys that are to be written, and the fingerprints of those that are gone.
    pub(super) fn changes(mut self) -> (Vec<Row>, Vec<String>) {
        let pinned = self.known.pinned.into_iter().map(|key| (key, State::Pinned));
        let offered = self.known.offered.into_iter().map(|key| (key, State::Offered));
        let mut written = Vec::new();
        for (key, state) in pinned.chain(offered) {
            if self.before.remove(&key.fingerprint) != Some(state) {
                let blob = self.blobs.remove(&key.fingerprint).unwrap_or_default();
                written.push(Row { key, blob, state });
            }
        }
        (written, self.before.into_keys().collect())
    }
}

/// Returns the kind of the error that a decision which cannot be carried out gives.
pub(super) fn kind_of(undecidable: Undecidable) -> ErrorKind {
    match undecidable {
        Undecidable::NotOffered | Undecidable::Others => ErrorKind::Conflict,
        Undecidable::Unknown => ErrorKind::NotFound,
        Undecidable::Count => ErrorKind::Invalid,
    }
}
