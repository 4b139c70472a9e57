//! The one connection that all calls share, and its life: made when it is wanted, dropped when it is broken. Calls at
//! once travel on it together, which is what pipelining is.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_model::ErrorKind;
use muster_runtime::clock::{deadline, sleep};
use parking_lot::Mutex;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, ProtocolVersion, RedisError, RedisResult,
    TlsMode, Value,
};
use tokio::sync::Semaphore;

use super::faults::{self, Call};
use super::scripts::Named;
use super::settings::{Kind, Settings};
use crate::circuit::{Circuit, Pass};
use crate::error::Error;

/// How many calls may wait to be written before the next one waits for room.
const BUFFER: usize = 1024;
/// How often a call is sent again that the server passed on without doing anything.
const PASSED_ON: u32 = 5;
/// The oldest version that does.
const OLDEST: (u32, u32) = (6, 2);

/// A connection. Cheap to clone: clones share it.
#[derive(Clone)]
pub(super) enum Conn {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Conn {
    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::One(one) => command.query_async(one).await,
            Self::Cluster(cluster) => command.query_async(cluster).await,
        }
    }

    /// Asks one server, where there are several.
    async fn ask_any(&mut self, command: &Cmd) -> RedisResult<String> {
        match self {
            Self::One(one) => command.query_async(one).await,
            Self::Cluster(cluster) => {
                let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
                Ok(redis::from_redis_value(
                    cluster.route_command(command.clone(), any).await?,
                )?)
            }
        }
    }

    async fn work(&mut self, work: &Work<'_>) -> RedisResult<Value> {
        match work {
            Work::Command(command) => self.ask(command).await,
            Work::Commands(commands) => match self {
                Self::One(one) => commands.query_async(one).await,
                Self::Cluster(cluster) => commands.query_async(cluster).await,
            },
            Work::Script(script, key, arguments) => match self.ask(&script.by_name(key, arguments)).await {
                Err(error) if error.code() == Some("NOSCRIPT") => {
                    self.ask(&script.in_full(key, arguments)).await
                }
                answer => answer,
            },
        }
    }
}

/// What is asked of the server.
pub(super) enum Work<'a> {
    Command(Cmd),
    Commands(Pipeline),
    /// A script, its key and its arguments.
    Script(&'a Named, &'a str, &'a [&'a [u8]]),
}

/// What a call is, for its errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct What<'a> {
    pub(super) operation: &'static str,
    pub(super) key: &'a str,
    pub(super) writes: bool,
}

impl What<'_> {
    fn text(&self) -> String {
        if self.key.is_empty() {
            return self.operation.to_owned();
        }
        let key: String = self.key.chars().take(60).collect();
        format!("{} {key:?}", self.operation)
    }
}

/// Why a call failed.
enum Fault {
    Redis(RedisError),
    /// The server is not one that does.
    Unfit(String),
    Late,
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

/// The shared connection.
pub(super) struct Link {
    pub(super) settings: Settings,
    pub(super) circuit: Circuit,
    held: Mutex<Held>,
    /// One connects, the others wait for it.
    gate: Semaphore,
}

#[derive(Default)]
struct Held {
    conn: Option<Conn>,
    /// Which connection it is: who finds one broken does not drop the next.
    number: u64,
}

impl Link {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            circuit: Circuit::new(settings.name()),
            settings,
            held: Mutex::default(),
            gate: Semaphore::new(1),
        }
    }

    /// Makes a call.
    pub(super) async fn call<T: FromRedisValue>(&self, what: What<'_>, work: Work<'_>) -> Result<T, Error> {
        let pass = self.circuit.enter(|| what.text())?;
        self.pass(pass, what, work).await
    }

    /// Makes a call with a pass.
    pub(super) async fn pass<T: FromRedisValue>(
        &self,
        pass: Pass<'_>,
        what: What<'_>,
        work: Work<'_>,
    ) -> Result<T, Error> {
        let sent = AtomicBool::new(false);
        // Boxed, because the library's futures are deep.
        let attempt: Pin<Box<dyn Future<Output = Result<Value, Fault>> + Send + '_>> =
            Box::pin(self.attempt(what.writes, &sent, &work));
        let fault = match deadline(self.settings.timeout, attempt).await {
            Ok(Ok(value)) => match redis::from_redis_value(value) {
                Ok(value) => {
                    pass.answered();
                    return Ok(value);
                }
                Err(error) => Fault::Redis(error.into()),
            },
            Ok(Err(fault)) => fault,
            Err(_) => {
                self.forget(None);
                Fault::Late
            }
        };
        let call = Call {
            writes: what.writes,
            sent: sent.load(Ordering::Relaxed),
        };
        Err(self.failed(pass, what, fault, call))
    }

    /// Listens to a channel on a connection of its own.
    pub(super) async fn listen(&self, what: What<'_>, name: &str) -> Result<PubSub, Error> {
        // First on the shared one, which tells whether the server is one that does.
        let _pong: String = self.call(what, Work::Command(Cmd::ping())).await?;
        let pass = self.circuit.enter(|| what.text())?;
        match self.connect_listener(0, name).await {
            Ok(heard) => {
                pass.answered();
                Ok(heard)
            }
            Err(error) => {
                let call = Call {
                    writes: false,
                    sent: true,
                };
                Err(self.failed(pass, what, Fault::Redis(error), call))
            }
        }
    }

    /// Listens to a channel of one server, the `turn`th where there are several.
    pub(super) async fn connect_listener(&self, turn: usize, name: &str) -> RedisResult<PubSub> {
        let connect: Pin<Box<dyn Future<Output = RedisResult<PubSub>> + Send + '_>> = Box::pin(async move {
            let mut heard = self.client(turn).await?.get_async_pubsub().await?;
            heard.subscribe(name).await?;
            Ok(heard)
        });
        let late = |_| RedisError::from((redis::ErrorKind::Io, "no answer in time"));
        deadline(self.settings.timeout, connect).await.map_err(late)?
    }

    /// Says of a failed call what the port says, and of the engine what it shows.
    fn failed(&self, pass: Pass<'_>, what: What<'_>, fault: Fault, call: Call) -> Error {
        let (kind, why, source) = match fault {
            Fault::Redis(error) => {
                let (kind, why) = faults::translate(&error, &self.settings, call);
                (kind, why, Some(error))
            }
            Fault::Unfit(why) => (ErrorKind::Unsupported, why, None),
            Fault::Late => {
                let timeout = self.settings.timeout;
                let mut why = format!("{} did not answer within {timeout:?}", self.settings.name());
                if self.settings.is_tls && !call.sent {
                    why += ": where it does not speak TLS, write redis://";
                }
                let kind = if call.writes && call.sent {
                    ErrorKind::OutcomeUnknown
                } else {
                    ErrorKind::Unavailable
                };
                (kind, why, None)
            }
        };
        match kind {
            kind if kind.may_pass() => pass.gone(&why),
            ErrorKind::Denied | ErrorKind::TooLarge | ErrorKind::Unsupported => pass.refused(&why),
            _ => pass.answered(),
        }
        let error = Error::new(kind, format!("{}: {why}", what.text()));
        match source {
            Some(source) => error.caused_by(source),
            None => error,
        }
    }

    async fn attempt(&self, writes: bool, sent: &AtomicBool, work: &Work<'_>) -> Result<Value, Fault> {
        let mut is_repeated = false;
        let mut passed_on = 0;
        loop {
            let (number, mut conn) = self.connection().await?;
            sent.store(true, Ordering::Relaxed);
            let error = match conn.work(work).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if faults::is_lost(&error) {
                self.forget(Some(number));
                // Asking twice changes nothing.
                if !writes && !is_repeated && !error.is_timeout() {
                    is_repeated = true;
                    continue;
                }
            } else if faults::is_elsewhere(&error) {
                if error.code() == Some("READONLY") {
                    self.forget(Some(number));
                }
                passed_on += 1;
                if passed_on <= PASSED_ON {
                    sleep(Duration::from_millis(10) * passed_on).await;
                    continue;
                }
            }
            return Err(error.into());
        }
    }

    /// Returns the connection, made where there is none.
    async fn connection(&self) -> Result<(u64, Conn), Fault> {
        if let Some(held) = self.held() {
            return Ok(held);
        }
        // It is never closed.
        let _turn = self.gate.acquire().await;
        if let Some(held) = self.held() {
            return Ok(held);
        }
        let mut conn = self.connect().await?;
        self.check(&mut conn).await?;
        let mut held = self.held.lock();
        held.number += 1;
        held.conn = Some(conn.clone());
        Ok((held.number, conn))
    }

    fn held(&self) -> Option<(u64, Conn)> {
        let held = self.held.lock();
        held.conn.clone().map(|conn| (held.number, conn))
    }

    /// Drops the connection of that number; of any where there is none.
    fn forget(&self, number: Option<u64>) {
        let mut held = self.held.lock();
        if number.is_none_or(|number| number == held.number) {
            held.conn = None;
        }
    }

    async fn connect(&self) -> RedisResult<Conn> {
        if self.settings.kind == Kind::Cluster {
            return Ok(Conn::Cluster(self.connect_cluster().await?));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.timeout))
            .set_response_timeout(Some(self.settings.timeout))
            .set_pipeline_buffer_size(BUFFER);
        let client = self.client(0).await?;
        let one = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(Conn::One(one))
    }

    async fn connect_cluster(&self) -> RedisResult<ClusterConnection> {
        let settings = &self.settings;
        let nodes: RedisResult<Vec<_>> = settings
            .addresses()
            .into_iter()
            .map(|address| settings.connection(address))
            .collect();
        let mut builder = ClusterClientBuilder::new(nodes?)
            .connection_timeout(settings.timeout)
            .response_timeout(settings.timeout)
            .tcp_settings(Settings::tcp())
            // It would send again what may have happened.
            .retries(0);
        if let Some(certificates) = settings.certificates() {
            builder = builder.certs(certificates.clone());
        }
        builder.build()?.get_async_connection().await
    }

    /// Returns a client of one server that takes commands, the `turn`th where there are several.
    async fn client(&self, turn: usize) -> RedisResult<Client> {
        let settings = &self.settings;
        if let Kind::Sentinel(service) = &settings.kind {
            return self.ask_sentinel(service).await;
        }
        let mut addresses = settings.addresses();
        let place = turn % addresses.len();
        let connection = settings.connection(addresses.swap_remove(place))?;
        match settings.certificates() {
            Some(certificates) => Client::build_with_tls(connection, certificates.clone()),
            None => Client::open(connection),
        }
    }

    /// Asks Sentinel for the server that is the primary now.
    async fn ask_sentinel(&self, service: &str) -> RedisResult<Client> {
        let settings = &self.settings;
        let mut builder =
            SentinelClientBuilder::new(settings.addresses(), service, SentinelServerType::Master)?
                .set_client_to_redis_db(settings.database)
                .set_client_to_redis_protocol(ProtocolVersion::RESP2)
                .set_client_to_redis_tcp_settings(Settings::tcp());
        if settings.is_tls {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = settings.certificates() {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        if let Some(user) = &settings.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(user) = &settings.sentinel_user {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = settings.sentinel_password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        builder.build()?.async_get_client().await
    }

    /// Looks whether the server is one that does.
    async fn check(&self, conn: &mut Conn) -> Result<(), Fault> {
        let told = conn.ask_any(redis::cmd("INFO").arg("server")).await?;
        let name = self.settings.name();
        let field = |text: &str, field: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            let mut found = lines
                .filter(|(name, _)| *name == field)
                .map(|(_, value)| value.trim().to_owned());
            found.next().unwrap_or_default()
        };
        let version = field(&told, "redis_version");
        if number(&version).is_none_or(|number| number < OLDEST) {
            return Err(Fault::Unfit(format!(
                "{name} is Redis '{version}': 6.2 or newer is needed"
            )));
        }
        let memory = conn.ask_any(redis::cmd("INFO").arg("memory")).await?;
        if field(&memory, "maxmemory") != "0" && field(&memory, "maxmemory_policy") == "noeviction" {
            tracing::warn!(
                cache = %name,
                "the cache refuses values when its memory is full: set maxmemory-policy allkeys-lru"
            );
        }
        Ok(())
    }
}

/// Reads the first two parts of a version.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, is_old) in [
            ("7.0.15", false),
            ("6.2.0", false),
            ("10.0", false),
            ("6.0.16", true),
            ("5.0", true),
        ] {
            assert_eq!(
                number(version).is_none_or(|number| number < OLDEST),
                is_old,
                "{version}"
            );
        }
        assert_eq!(number(""), None);
    }
}
