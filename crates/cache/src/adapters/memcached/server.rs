//! One Memcached server: its connections, and whether it answers.

use std::collections::VecDeque;
use std::time::Duration;

use memcache::exp::{AsyncMetaClient, Error as Fault, Op, OpResult};
use muster_model::ErrorKind;
use muster_runtime::clock::deadline;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::faults;
use crate::circuit::{Circuit, Pass};
use crate::error::Error;

/// How many connections are kept.
const CONNECTIONS: usize = 16;
/// How many operations go there in one round trip.
const AT_ONCE: usize = 100;

/// One of the servers.
pub(super) struct Server {
    host: String,
    port: u16,
    timeout: Duration,
    circuit: Circuit,
    client: Mutex<Option<AsyncMetaClient>>,
    /// Who has none of the connections waits here, and not in the client: a call that gets its turn when the server has
    /// just turned out to be away is not to wait a second time.
    turns: Semaphore,
}

impl Server {
    pub(super) fn new(host: String, port: u16, timeout: Duration) -> Self {
        Self {
            circuit: Circuit::new(format!("Memcached at {host}:{port}")),
            host,
            port,
            timeout,
            client: Mutex::default(),
            turns: Semaphore::new(CONNECTIONS),
        }
    }

    /// Runs operations in one round trip.
    pub(super) async fn run(&self, what: &str, operations: Vec<Op>) -> Result<Vec<OpResult>, Error> {
        let Ok(Ok(_turn)) = deadline(self.timeout, self.turns.acquire()).await else {
            let name = self.circuit.name();
            let why = format!("{what}: {name} is busy: all {CONNECTIONS} connections to it are in use");
            return Err(Error::new(ErrorKind::Unavailable, why));
        };
        let pass = self.circuit.enter(|| what.to_owned())?;
        // Each connection has an end to its waiting: this one is for names, which are asked of others.
        let answers = match deadline(self.timeout * 2, self.exchange(operations)).await {
            Ok(answers) => answers,
            Err(_) => Err(Fault::Io(std::io::ErrorKind::TimedOut.into())),
        };
        match answers {
            Ok(answers) => {
                pass.answered();
                Ok(answers)
            }
            Err(fault) => {
                let (kind, why) = faults::translate(&fault, self.circuit.name());
                Err(self.failed(pass, what, kind, why).caused_by(fault))
            }
        }
    }

    /// Runs any number of operations and returns their answers in order.
    pub(super) async fn run_all(&self, what: &str, operations: Vec<Op>) -> Result<VecDeque<OpResult>, Error> {
        let mut answers = VecDeque::with_capacity(operations.len());
        let mut operations = operations.into_iter();
        loop {
            let some: Vec<Op> = operations.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                return Ok(answers);
            }
            answers.extend(self.run(what, some).await?);
        }
    }

    async fn exchange(&self, operations: Vec<Op>) -> Result<Vec<OpResult>, Fault> {
        let client = self.client().await?;
        client.run_batch(operations).await?.into_iter().collect()
    }

    async fn client(&self) -> Result<AsyncMetaClient, Fault> {
        if let Some(client) = &*self.client.lock() {
            return Ok(client.clone());
        }
        // It only looks the name up: connections are made when they are wanted.
        let client = AsyncMetaClient::builder()
            .max_idle(CONNECTIONS)
            .max_connections(Some(CONNECTIONS))
            .connect_timeout(Some(self.timeout))
            .io_timeout(Some(self.timeout))
            .connect_async((self.host.clone(), self.port))
            .await?;
        Ok(self.client.lock().get_or_insert(client).clone())
    }

    /// Asks for its version, whatever is known of it.
    pub(super) async fn check(&self) -> Result<(), Error> {
        let pass = self.circuit.ask();
        let name = self.circuit.name();
        let asked = deadline(self.timeout, self.version()).await;
        let told = asked.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let outcome = match &told {
            Ok(answer) => faults::check_version(answer, name),
            Err(error) => Err(faults::of_io(error, name)),
        };
        match outcome {
            Ok(()) => {
                pass.answered();
                Ok(())
            }
            Err((kind, why)) => {
                let error = self.failed(pass, "ping", kind, why);
                Err(match told {
                    Err(source) => error.caused_by(source),
                    Ok(_) => error,
                })
            }
        }
    }

    async fn version(&self) -> std::io::Result<String> {
        let mut stream = BufReader::new(TcpStream::connect((self.host.as_str(), self.port)).await?);
        stream.write_all(b"version\r\n").await?;
        let mut line = Vec::new();
        // A stranger may answer, and at any length.
        tokio::io::AsyncReadExt::take(&mut stream, 200)
            .read_until(b'\n', &mut line)
            .await?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn failed(&self, pass: Pass<'_>, what: &str, kind: ErrorKind, why: String) -> Error {
        match kind {
            kind if kind.may_pass() => {
                // It may have another address when it is back.
                *self.client.lock() = None;
                pass.gone(&why);
            }
            ErrorKind::Internal => pass.answered(),
            _ => pass.refused(&why),
        }
        Error::new(kind, format!("{what}: {why}"))
    }
}
