//! The client's methods about the keys of hosts.

use hyper::Method;
use muster_model::Problem;
use muster_model::wire::host_keys::{HostKeysView, Scan, ScannedHost, Trust};

use crate::client::Client;
use crate::request::Query;
use crate::send::{Again, Call};

impl Client {
    /// Returns what is known of hosts' keys: of those that a pattern names, of all without one. `ssh_config` is the
    /// file by which hosts are named, where it is not the user's.
    ///
    /// # Errors
    ///
    /// Those of [`Client::expand`].
    pub async fn host_keys(
        &self,
        pattern: Option<&str>,
        ssh_config: Option<&str>,
    ) -> Result<Vec<HostKeysView>, Problem> {
        let mut query = Query::default();
        query.add("pattern", pattern);
        query.add("ssh_config", ssh_config);
        self.json(Call::get(format!("/host-keys{}", query.0))).await
    }

    /// Asks hosts of which no key is pinned for their keys. Nothing is kept.
    ///
    /// # Errors
    ///
    /// Those of [`Client::expand`].
    pub async fn scan_host_keys(&self, scan: &Scan) -> Result<Vec<ScannedHost>, Problem> {
        self.json(Call::new(Method::POST, "/host-keys/scan", Again::Yes).json(scan)?)
            .await
    }

    /// Does what a person decided about hosts' keys; returns what is known then.
    ///
    /// # Errors
    ///
    /// `conflict` or `unknown-host`; nothing was changed then.
    pub async fn trust(&self, trust: &Trust) -> Result<Vec<HostKeysView>, Problem> {
        self.json(Call::new(Method::POST, "/host-keys/trust", Again::No).json(trust)?)
            .await
    }
}
