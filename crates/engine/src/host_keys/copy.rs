//! What this process knows of hosts' keys, in memory. No I/O.

use std::collections::HashMap;
use std::time::Duration;

use muster_model::host_key::KnownHost;
use muster_store::{HostKeyRecord, ShownKey};

/// A copy is looked after again when it is so old.
pub(super) const AGE: Duration = Duration::from_secs(1);

/// The copy.
#[derive(Default)]
pub(super) struct Copy {
    hosts: HashMap<String, KnownHost>,
    /// Up to which change it is whole; None: nothing was ever read.
    revision: Option<i64>,
    /// When somebody last tried to bring it up to date.
    looked_at: Option<Duration>,
    /// Changed keys that could not be written down yet: their hosts are in quarantine here.
    unwritten: Vec<ShownKey>,
    /// Why it could not be read.
    failure: Option<String>,
}

impl Copy {
    /// Returns up to which change it is whole.
    pub(super) fn revision(&self) -> Option<i64> {
        self.revision
    }

    /// Tells whether it is young enough.
    pub(super) fn is_fresh(&self, now: Duration) -> bool {
        self.looked_at
            .is_some_and(|looked| now.saturating_sub(looked) < AGE)
    }

    /// Returns why nothing is known, where nothing was ever read.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.clone().filter(|_| self.revision.is_none())
    }

    /// Notes that somebody has tried to bring it up to date.
    pub(super) fn looked(&mut self, now: Duration, failure: Option<String>) {
        self.looked_at = Some(now);
        self.failure = failure;
    }

    /// Returns what is known of a name.
    pub(super) fn known(&self, name: &str) -> KnownHost {
        self.hosts.get(name).cloned().unwrap_or_default()
    }

    /// Returns all that is known, by name.
    pub(super) fn all(&self) -> Vec<(String, KnownHost)> {
        let known = |(name, known): (&String, &KnownHost)| (name.clone(), known.clone());
        let mut all: Vec<_> = self.hosts.iter().map(known).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Takes what was read: `whole`, or what was written since the last time.
    pub(super) fn take(&mut self, records: Vec<HostKeyRecord>, whole: bool, revision: i64) {
        if whole {
            self.hosts.clear();
        }
        for record in records {
            let known = self.hosts.entry(record.host).or_default();
            let other = |key: &muster_model::host_key::SeenKey| key.fingerprint != record.key.fingerprint;
            known.pinned.retain(other);
            known.offered.retain(other);
            let keys = if record.offered {
                &mut known.offered
            } else {
                &mut known.pinned
            };
            keys.push(record.key);
            keys.sort_by(|a, b| (a.seen_at, &a.fingerprint).cmp(&(b.seen_at, &b.fingerprint)));
        }
        for shown in &self.unwritten {
            let known = self.hosts.entry(shown.host.clone()).or_default();
            known.show(&shown.key, false, shown.at);
        }
        self.revision = Some(revision);
    }

    /// Takes what is known of one name.
    pub(super) fn set(&mut self, name: String, known: KnownHost) {
        if known.is_unknown() {
            self.hosts.remove(&name);
        } else {
            self.hosts.insert(name, known);
        }
    }

    /// Keeps a changed key that could not be written down; tells whether it is one.
    pub(super) fn keep_unwritten(&mut self, shown: ShownKey) {
        let Some(known) = self.hosts.get_mut(&shown.host) else {
            return;
        };
        known.show(&shown.key, false, shown.at);
        let is_offered = known.has_offered(shown.key.fingerprint());
        let is_kept = self
            .unwritten
            .iter()
            .any(|kept| kept.host == shown.host && kept.key == shown.key);
        if is_offered && !is_kept {
            self.unwritten
                .retain(|kept| kept.host != shown.host || known.has_offered(kept.key.fingerprint()));
            self.unwritten.push(shown);
        }
    }

    /// Returns the changed keys that are to be written down.
    pub(super) fn unwritten(&self) -> Vec<ShownKey> {
        self.unwritten.clone()
    }

    /// Notes that these are written down.
    pub(super) fn written(&mut self, shown: &[ShownKey]) {
        self.unwritten.retain(|kept| !shown.contains(kept));
    }
}
