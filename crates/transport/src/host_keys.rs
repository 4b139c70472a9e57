//! Where the keys of hosts are kept, as the transport sees it: a port that the house gives it, and a place in memory
//! for those who have no other.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use muster_model::ErrorKind;
use muster_model::host_key::{Decision, HostKey, KnownHost};
use muster_runtime::clock;

use crate::error::Error;

/// Where the keys of hosts are kept. Names are those that `known_hosts` would have (`web1`, `[web1]:2222`), in lower
/// case.
#[async_trait]
pub trait HostKeys: fmt::Debug + Send + Sync + 'static {
    /// Returns what is known under a name. Answered from memory, for it is asked several times a login.
    ///
    /// An error means that nothing is known about what is known: the host is not connected to.
    async fn known(&self, name: &str) -> Result<KnownHost, Error>;

    /// Takes note of a key that a host has proven to have, durably; returns what is known then.
    ///
    /// Where nothing was known of the host, the key is pinned if `pin` says so: of several who meet a host at the same
    /// moment with different keys, one pins its own. Where the host is known by others, the key is offered and the host
    /// is in quarantine, also where the writing failed. A future that is dropped half-way may have done it.
    async fn show(&self, name: &str, key: &HostKey, pin: bool) -> Result<KnownHost, Error>;
}

/// The keys of hosts in this process's memory, gone with it.
#[derive(Default)]
pub struct InMemory {
    hosts: Mutex<HashMap<String, KnownHost>>,
}

impl InMemory {
    /// Does what a person decided about a name.
    ///
    /// # Errors
    ///
    /// `Conflict` where that does not fit what is known.
    pub fn decide(&self, name: &str, decision: &Decision) -> Result<(), Error> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = hosts.entry(name.to_owned()).or_default();
        let decided = known.decide(decision, clock::now());
        decided.map_err(|why| {
            Error::new(ErrorKind::Conflict, format!("trust the keys of host '{name}'")).caused_by(why)
        })
    }
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the keys of hosts in memory")
    }
}

#[async_trait]
impl HostKeys for InMemory {
    async fn known(&self, name: &str) -> Result<KnownHost, Error> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(hosts.get(name).cloned().unwrap_or_default())
    }

    async fn show(&self, name: &str, key: &HostKey, pin: bool) -> Result<KnownHost, Error> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = hosts.entry(name.to_owned()).or_default();
        known.show(key, pin, clock::now());
        Ok(known.clone())
    }
}
