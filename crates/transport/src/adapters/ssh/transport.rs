//! The SSH transport: sessions on pooled connections.

use std::sync::Arc;

use async_trait::async_trait;
use muster_model::{Endpoint, HostKey, Unreachable};
use muster_runtime::Tasks;
use tokio::sync::oneshot;

use super::connect;
use super::pool::Pool;
use super::scan;
use super::session::Session;
use crate::error::ConnectError;
use crate::open::Settings;
use crate::port;
use crate::types::Access;

/// The SSH transport.
pub(crate) struct Ssh {
    pool: Arc<Pool>,
}

impl Ssh {
    /// Returns a transport without connections.
    pub(crate) fn new(settings: Settings, tasks: Tasks) -> Self {
        Self::over(Pool::new(settings, tasks))
    }

    /// Returns a transport whose connections are those of a pool.
    pub(super) fn over(pool: Pool) -> Self {
        Self { pool: Arc::new(pool) }
    }
}

#[async_trait]
impl port::KeyScan for Ssh {
    fn key_names(&self, endpoint: &Endpoint, access: &Access) -> Result<Vec<String>, ConnectError> {
        let resolved = connect::resolve(self.pool.settings(), endpoint, access)?;
        Ok(resolved.trust.names.names)
    }

    async fn host_keys(&self, endpoint: &Endpoint, access: &Access) -> Result<Vec<HostKey>, ConnectError> {
        let settings = self.pool.settings();
        let resolved = connect::resolve(settings, endpoint, access)?;
        Box::pin(scan::scan(settings, &resolved, access)).await
    }
}

#[async_trait]
impl port::Transport for Ssh {
    async fn connect(
        &self,
        endpoint: &Endpoint,
        access: &Access,
    ) -> Result<Box<dyn port::Session>, ConnectError> {
        let resolved = connect::resolve(self.pool.settings(), endpoint, access)?;
        let (tx, rx) = oneshot::channel();
        let pool = Arc::clone(&self.pool);
        let access = access.clone();
        let host = endpoint.host.clone();
        // In a task of its own: where the caller gives up half-way, a channel that was being opened is closed
        // and a login that was under way goes to the pool.
        self.pool.tasks().spawn("ssh connect", async move {
            let result = pool.channel(&resolved, &access, &host).await;
            let _ = tx.send(result.map(|opened| Session::new(pool, resolved, access, host, opened)));
        });
        match rx.await {
            Ok(result) => result.map(|session| Box::new(session) as Box<dyn port::Session>),
            Err(_) => Err(ConnectError::new(
                Unreachable::Broken,
                format!("{}: muster stopped connecting", endpoint.host),
            )),
        }
    }

    fn connections(&self) -> usize {
        self.pool.connections()
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
