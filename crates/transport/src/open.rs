//! The transport of this process: every endpoint by its own way.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_model::{Endpoint, HostKey, Reach, Unreachable};
use muster_runtime::Tasks;

use crate::adapters::local::Local;
use crate::adapters::ssh::Ssh;
use crate::error::ConnectError;
use crate::host_keys::HostKeys;
use crate::port::{KeyScan, Session, Transport};
use crate::types::Access;

/// Settings of the transport.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The user's home folder (`~` in `ssh_config`).
    pub home: PathBuf,
    /// The local user's name.
    pub user: String,
    /// A connection without a command is closed after this.
    pub idle: Duration,
    /// A keepalive is sent after this much silence.
    pub keepalive: Duration,
    /// How long a host that has let us in may take to say whether it starts a command.
    pub answer: Duration,
    /// Where the keys of hosts are kept.
    pub host_keys: Arc<dyn HostKeys>,
    /// At most so many logins at a time, besides those of hosts that say nothing. They begin at ten, and become more
    /// while hosts answer.
    pub logins: usize,
}

/// Opens the transport: local endpoints as processes here, the others by SSH. What it runs beside its callers
/// (logins, output on its way) runs in `tasks`.
#[must_use]
pub fn open(settings: Settings, tasks: Tasks) -> Arc<dyn Transport> {
    Arc::new(ByReach {
        local: Local::new(&settings, tasks.clone()),
        ssh: Ssh::new(settings, tasks),
    })
}

/// Sends every endpoint its own way.
struct ByReach {
    local: Local,
    ssh: Ssh,
}

#[async_trait]
impl KeyScan for ByReach {
    fn key_names(&self, endpoint: &Endpoint, access: &Access) -> Result<Vec<String>, ConnectError> {
        match endpoint.reach {
            Reach::Local => self.local.key_names(endpoint, access),
            Reach::Ssh => self.ssh.key_names(endpoint, access),
            Reach::Agent => Err(agents_come_later(endpoint)),
        }
    }

    async fn host_keys(&self, endpoint: &Endpoint, access: &Access) -> Result<Vec<HostKey>, ConnectError> {
        match endpoint.reach {
            Reach::Local => self.local.host_keys(endpoint, access).await,
            Reach::Ssh => self.ssh.host_keys(endpoint, access).await,
            Reach::Agent => Err(agents_come_later(endpoint)),
        }
    }
}

fn agents_come_later(endpoint: &Endpoint) -> ConnectError {
    ConnectError::new(
        Unreachable::Unsupported,
        format!(
            "agent://{host}: agents come in a later version: use ssh://{host}",
            host = endpoint.host
        ),
    )
}

#[async_trait]
impl Transport for ByReach {
    async fn connect(&self, endpoint: &Endpoint, access: &Access) -> Result<Box<dyn Session>, ConnectError> {
        match endpoint.reach {
            Reach::Local => self.local.connect(endpoint, access).await,
            Reach::Ssh => self.ssh.connect(endpoint, access).await,
            Reach::Agent => Err(agents_come_later(endpoint)),
        }
    }

    fn connections(&self) -> usize {
        self.local.connections() + self.ssh.connections()
    }

    async fn close(&self) {
        self.local.close().await;
        self.ssh.close().await;
    }
}
