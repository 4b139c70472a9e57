//! A transport that does nothing: every host is there at once, and every command has exited 0 when it is asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use muster_model::{Endpoint, HostKey, Reach};
use muster_transport::{
    Access, ConnectError, Error, Exec, ExecEvent, Exit, KeyScan, KillReport, Killer, Running, Session,
    Transport, What,
};

pub(crate) struct Nowhere;

/// Returns how long it takes for one command by itself.
pub(crate) async fn own_time() -> Duration {
    let access = Access {
        connect_timeout: Duration::from_secs(10),
        user: None,
        password: None,
        passphrase: None,
        stored: None,
        identities: Vec::new(),
        ssh_config: None,
        agent_socket: None,
        accept_new: false,
    };
    let exec = Exec {
        what: What::Command("true".into()),
        mark: "bench.1".into(),
        env: Vec::new(),
        cwd: None,
        sudo: None,
        stdin: None,
    };
    let endpoint = Endpoint {
        reach: Reach::Ssh,
        host: "node000001.example.net".into(),
        address: None,
        user: None,
        port: None,
        credential: None,
    };
    let started = Instant::now();
    let mut session = Nowhere.connect(&endpoint, &access).await.expect("a session");
    let mut running = session.start(exec).await.expect("a command");
    while running.next().await.is_some() {}
    started.elapsed()
}

#[async_trait]
impl KeyScan for Nowhere {
    fn key_names(&self, _: &Endpoint, _: &Access) -> Result<Vec<String>, ConnectError> {
        Ok(Vec::new())
    }

    async fn host_keys(&self, _: &Endpoint, _: &Access) -> Result<Vec<HostKey>, ConnectError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Transport for Nowhere {
    async fn connect(&self, _: &Endpoint, _: &Access) -> Result<Box<dyn Session>, ConnectError> {
        Ok(Box::new(Self))
    }

    fn connections(&self) -> usize {
        0
    }

    async fn close(&self) {}
}

#[async_trait]
impl Session for Nowhere {
    async fn start(&mut self, _: Exec) -> Result<Box<dyn Running>, Error> {
        Ok(Box::new(Nothing { exited: false }))
    }
}

struct Nothing {
    exited: bool,
}

#[async_trait]
impl Running for Nothing {
    async fn next(&mut self) -> Option<ExecEvent> {
        let before = std::mem::replace(&mut self.exited, true);
        (!before).then_some(ExecEvent::Exited(Exit::Code(0)))
    }

    fn killer(&self) -> Arc<dyn Killer> {
        Arc::new(Nowhere)
    }
}

#[async_trait]
impl Killer for Nowhere {
    async fn kill(&self, _: Duration) -> Result<KillReport, Error> {
        Ok(KillReport::default())
    }
}
