//! Asking hosts for their keys, for a person to compare.

use futures_util::StreamExt;
use muster_model::host_key::KnownHost;
use muster_model::problem::Code;
use muster_model::wire::host_keys::{Scan, ScannedHost};
use muster_model::{Endpoint, HostKey, Problem};
use muster_transport::{Access, HostKeys as _};

use super::verbs;
use crate::core::Core;

/// So many hosts are asked at a time.
const AT_ONCE: usize = 32;
/// The most hosts in one request.
const MOST: usize = 10_000;

impl Core {
    /// Asks the hosts of which no key is pinned for their keys. Nothing is kept.
    pub(crate) async fn scan(&self, scan: Scan) -> Result<Vec<ScannedHost>, Problem> {
        let access = verbs::access(scan.ssh_config.as_deref(), scan.agent_socket.as_deref())?;
        let named = self.key_names(&scan.hosts, access.clone()).await?;
        if named.len() > MOST {
            let detail = format!(
                "{} hosts are to be asked for their keys: at most {MOST} at a time",
                named.len()
            );
            return Err(Problem::new(Code::TargetTooLarge, detail).hint("split them over several calls"));
        }
        let asking = named
            .into_iter()
            .map(|(target, endpoint, names)| self.ask(target, endpoint, names, &access));
        Ok(futures_util::stream::iter(asking)
            .buffered(AT_ONCE)
            .collect()
            .await)
    }

    async fn ask(
        &self,
        target: String,
        endpoint: Endpoint,
        names: Vec<String>,
        access: &Access,
    ) -> ScannedHost {
        let mut scanned = ScannedHost {
            target,
            host: names.first().cloned().unwrap_or_default(),
            known: false,
            keys: Vec::new(),
            error: None,
        };
        for name in names {
            match self.rooms.host_keys.known(&name).await {
                Ok(known) if known == KnownHost::default() => {}
                Ok(_) => {
                    scanned.host = name;
                    scanned.known = true;
                    return scanned;
                }
                Err(error) => {
                    scanned.error = Some(crate::fault::chain(&error));
                    return scanned;
                }
            }
        }
        match self.rooms.transport.host_keys(&endpoint, access).await {
            Ok(keys) => scanned.keys = keys.iter().map(HostKey::to_string).collect(),
            Err(error) => scanned.error = Some(error.message),
        }
        scanned
    }
}
