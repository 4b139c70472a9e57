//! The port of the keys by which hosts are known.

use async_trait::async_trait;
use muster_model::Timestamp;
use muster_model::host_key::{Decision, KnownHost};

use crate::error::Error;
use crate::types::{HostKeyRecord, KeysRevision, ShownKey};

/// The keys of hosts: pinned, and offered by hosts that are known by others. Names are compared letter by letter:
/// callers write them in lower case, as `known_hosts` does.
///
/// Every change is one transaction, and durable when it returns `Ok`. A future that is dropped half-way has either
/// done everything or nothing. `OutcomeUnknown`: the same call may be made again, since it then changes nothing more.
/// Who keeps a copy reads [`HostKeys::revision`], and what is new by [`HostKeys::host_keys_since`].
#[async_trait]
pub trait HostKeys: Send + Sync + 'static {
    /// Returns how far the changes are: one small query. What was changed up to there is seen by reads after it.
    async fn revision(&self) -> Result<KeysRevision, Error>;

    /// Returns the keys that were written after a revision, all of them after 0, in no order. What was removed does
    /// not show: where [`KeysRevision::removed`] is past a copy's revision, the copy is read anew.
    async fn host_keys_since(&self, revision: i64) -> Result<Vec<HostKeyRecord>, Error>;

    /// Returns what is known of one name.
    async fn host_keys(&self, host: &str) -> Result<KnownHost, Error>;

    /// Takes note of keys that hosts have shown, one after the other; returns what is known of each host then.
    ///
    /// A key that is pinned changes nothing. Where nothing is known of the host, the key is pinned if `pin` says so.
    /// Where other keys are pinned, it is written down as offered, and of more than
    /// [`muster_model::host_key::OFFERED`] the latest are kept. Compare-and-set: of two who meet a host at the same
    /// moment with different keys, one pins its key and the other's is offered.
    async fn show(&self, shown: Vec<ShownKey>) -> Result<Vec<KnownHost>, Error>;

    /// Does what a person decided about names; all of it, or nothing: `Conflict`, naming the host, where a fingerprint
    /// was not offered or keys are pinned already; `NotFound` where nothing is known of a host that is to be
    /// forgotten or kept.
    async fn decide(&self, decisions: Vec<(String, Decision)>, at: Timestamp) -> Result<(), Error>;
}
