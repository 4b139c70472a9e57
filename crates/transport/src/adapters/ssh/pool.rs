//! Warm connections: one login serves many commands, several at a time.
//!
//! How many channels a connection takes is the server's to say (MaxSessions); it is learned from its refusals.
//! Who finds no room shares a login that is under way, or starts one.

mod connection;
mod meter;
mod starts;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_model::Unreachable;
use muster_runtime::{Backoff, CancellationToken, Tasks, clock};
use russh::Channel;
use russh::client::Msg;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

pub(crate) use connection::{Connection, Opened, Place};

use self::meter::Meter;
use self::starts::{Starts, Turn};
use super::connect::{self, Login, Resolved};
use super::explain;
use super::host_key;
use super::trace::{Phase, Trace};
use crate::error::ConnectError;
use crate::open::Settings;
use crate::types::Access;

/// How many commands a connection takes before the server has said anything: OpenSSH takes ten sessions, and one
/// is kept for ending a command.
const CHANNELS: usize = 9;

/// A host that has said nothing for so long is waited for without a place among the logins.
const SILENT: Duration = Duration::from_secs(1);

/// How often a connection that dies under our hands is replaced before that is an answer.
const REPLACEMENTS: u32 = 3;

/// The connections of this process.
pub(crate) struct Pool {
    settings: Settings,
    tasks: Tasks,
    starts: Arc<Starts>,
    meter: Meter,
    hosts: Mutex<HashMap<Resolved, Host>>,
    sweeping: AtomicBool,
    closing: CancellationToken,
}

/// What is known of one host.
struct Host {
    connections: Vec<Arc<Connection>>,
    flights: Vec<Flight>,
    /// How many channels a connection to it takes, as far as is known.
    room: usize,
}

/// A login that is under way, and how many wait for it.
struct Flight {
    number: u64,
    waiting: usize,
    landed: watch::Receiver<Option<Result<(), ConnectError>>>,
}

enum Taken {
    Place(Place),
    Flight(watch::Receiver<Option<Result<(), ConnectError>>>),
}

enum NoChannel {
    /// The server refused: no room.
    Full,
    /// The connection is gone.
    Dead,
    /// The connection does not answer.
    Silent,
}

impl Pool {
    /// Returns an empty pool.
    pub(crate) fn new(settings: Settings, tasks: Tasks) -> Self {
        let starts = Starts::new(settings.logins);
        Self::with(settings, tasks, starts)
    }

    fn with(settings: Settings, tasks: Tasks, starts: Arc<Starts>) -> Self {
        Self {
            starts,
            settings,
            meter: Meter::new(tasks.meters()),
            tasks,
            hosts: Mutex::default(),
            sweeping: AtomicBool::new(false),
            closing: CancellationToken::new(),
        }
    }

    /// The settings of the transport.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where background work runs.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Cancelled when all connections close.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Returns how many connections are open.
    pub(crate) fn connections(&self) -> usize {
        let hosts = self.hosts();
        hosts
            .values()
            .flat_map(|host| &host.connections)
            .filter(|connection| !connection.is_dead())
            .count()
    }

    /// Opens a channel: on a warm connection, or on a new one. `host` is for messages.
    pub(crate) async fn channel(
        self: &Arc<Self>,
        resolved: &Resolved,
        access: &Access,
        host: &str,
    ) -> Result<Opened, ConnectError> {
        let mut deaths = 0;
        // Where a new connection did not last: the end of its time, which its successors do not prolong.
        let mut until: Option<Instant> = None;
        // A warm connection to a host in quarantine is not used either.
        host_key::refuse_quarantined(&self.settings, resolved).await?;
        loop {
            if self.closing.is_cancelled() {
                return Err(broken(host, "muster closes its connections"));
            }
            let place = match self.take(resolved, access, host) {
                Taken::Place(place) => place,
                Taken::Flight(mut landed) => {
                    let landing = landed.wait_for(Option::is_some);
                    let result = match until {
                        None => landing.await,
                        Some(until) => match clock::deadline(left(until), landing).await {
                            Ok(result) => result,
                            Err(_) => {
                                return Err(broken(host, "the connection breaks as soon as it is used"));
                            }
                        },
                    };
                    match result.ok().and_then(|result| result.clone()) {
                        Some(result) => result?,
                        None => return Err(broken(host, "muster stopped connecting")),
                    }
                    continue;
                }
            };
            let connection = Arc::clone(place.connection());
            match self.open_on(place, resolved, access.connect_timeout).await {
                Ok(Some(opened)) => return Ok(opened),
                Ok(None) => {}
                Err(NoChannel::Full) if !connection.proven.load(Ordering::Acquire) => {
                    connection.retire();
                    return Err(ConnectError::new(
                        Unreachable::TooManySessions,
                        format!(
                            "{}: the server takes no session on a new connection: see MaxSessions in its sshd_config",
                            connection.label()
                        ),
                    ));
                }
                Err(NoChannel::Full) => self.learn(resolved, &connection),
                Err(NoChannel::Silent) if !connection.proven.load(Ordering::Acquire) => {
                    connection.retire();
                    return Err(explain::timed_out(resolved, &Phase::In, access.connect_timeout));
                }
                Err(NoChannel::Dead | NoChannel::Silent) => {
                    connection.retire();
                    deaths += 1;
                    let is_new = !connection.proven.load(Ordering::Acquire);
                    if is_new && until.is_none() {
                        until = Some(connection.login.until);
                    }
                    if deaths > REPLACEMENTS || until.is_some_and(|until| left(until).is_zero()) {
                        return Err(match is_new {
                            true => explain::no_session(resolved, connection.ended().as_deref()),
                            false => broken(host, "the connection breaks as soon as it is used"),
                        });
                    }
                }
            }
        }
    }

    /// Opens a channel beside those that a connection has, without regard to its room: for ending a command.
    pub(crate) async fn beside(&self, connection: &Arc<Connection>, limit: Duration) -> Option<Opened> {
        if connection.is_dead() || connection.is_stalled() {
            return None;
        }
        let mut place = Place::take(connection);
        let Ok(opening) = clock::deadline(limit, self.open_channel(connection)).await else {
            // It does not answer: nobody else is to wait for it.
            connection.retire();
            return None;
        };
        let channel = opening.ok()?;
        place.got_channel();
        Some(self.opened(channel, place))
    }

    /// Closes all connections.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        let all: Vec<Arc<Connection>> = self
            .hosts()
            .drain()
            .flat_map(|(_, host)| host.connections)
            .collect();
        for connection in all {
            connection.hang_up().await;
        }
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<Resolved, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place on a connection with room, else joins a login that is under way, else starts one.
    fn take(self: &Arc<Self>, resolved: &Resolved, access: &Access, name: &str) -> Taken {
        let mut hosts = self.hosts();
        let host = hosts.entry(resolved.clone()).or_insert_with(|| Host {
            connections: Vec::new(),
            flights: Vec::new(),
            room: CHANNELS,
        });
        host.connections.retain(|connection| !connection.is_dead());
        let least = host
            .connections
            .iter()
            .filter(|connection| connection.has_room(host.room))
            .min_by_key(|connection| connection.used.load(Ordering::Acquire));
        if let Some(connection) = least {
            return Taken::Place(Place::take(connection));
        }
        if let Some(flight) = host.flights.iter_mut().find(|flight| flight.waiting < host.room) {
            flight.waiting += 1;
            return Taken::Flight(flight.landed.clone());
        }
        let (tx, landed) = watch::channel(None);
        let number = host.flights.last().map_or(0, |flight| flight.number + 1);
        host.flights.push(Flight {
            number,
            waiting: 1,
            landed: landed.clone(),
        });
        drop(hosts);
        self.fly(resolved.clone(), access.clone(), name.to_owned(), number, tx);
        Taken::Flight(landed)
    }

    /// Logs in, in a task of its own: whoever waits may leave.
    fn fly(
        self: &Arc<Self>,
        resolved: Resolved,
        access: Access,
        name: String,
        number: u64,
        tx: watch::Sender<Option<Result<(), ConnectError>>>,
    ) {
        let pool = Arc::clone(self);
        self.tasks.spawn("ssh login", async move {
            let login = pool.meter.begin();
            let result = tokio::select! {
                result = pool.log_in(&resolved, &access, &name) => result,
                () = pool.closing.cancelled() => Err(broken(&name, "muster closes its connections")),
            };
            pool.meter
                .end(login, result.as_ref().err().map(|error| error.reason));
            let mut hosts = pool.hosts();
            if let Some(host) = hosts.get_mut(&resolved) {
                host.flights.retain(|flight| flight.number != number);
                if let Ok(login) = result {
                    host.connections.push(Arc::new(Connection::new(login)));
                    drop(hosts);
                    tx.send_replace(Some(Ok(())));
                    pool.sweep_in_background();
                    return;
                }
            }
            drop(hosts);
            let error = result.err();
            tx.send_replace(Some(Err(
                error.unwrap_or_else(|| broken(&name, "muster closes its connections"))
            )));
        });
    }

    /// Logs in when it is its turn. The time runs from then, and stands still while it waits for another turn:
    /// waiting for other logins of ours is not the host's fault.
    async fn log_in(&self, resolved: &Resolved, access: &Access, name: &str) -> Result<Login, ConnectError> {
        let mut turn = self.starts.turn().await;
        let mut end = Instant::now() + access.connect_timeout;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let mut before: Option<ConnectError> = None;
        loop {
            let trace = Arc::new(Trace::default());
            // On the heap: a login's state is large.
            let attempt = Box::pin(connect::login(&self.settings, resolved, access, end, &trace));
            let error = match (patiently(&mut turn, &trace, attempt).await, before) {
                (Ok(login), _) => {
                    turn.answered();
                    return Ok(login);
                }
                // An attempt that had only the rest of the time says less than the one before it.
                (Err(error), Some(before)) if error.reason == Unreachable::TimedOut => return Err(before),
                (Err(error), _) => error,
            };
            if error.reason != Unreachable::Broken {
                if trace.greeted() && error.reason != Unreachable::TimedOut {
                    turn.answered();
                }
                return Err(error);
            }
            // A server with too many logins at a time hangs up at once (MaxStartups): its turn comes later, and
            // others have theirs meanwhile.
            turn.hung_up();
            let pause = backoff.step();
            if Instant::now() + pause >= end {
                return Err(error);
            }
            tracing::debug!(host = name, %error, "the login broke; trying again");
            before = Some(error);
            clock::sleep(pause).await;
            let waiting = Instant::now();
            turn.again().await;
            end += waiting.elapsed();
        }
    }

    /// Opens a channel on a place. None: the place was one too many, as is known meanwhile.
    async fn open_on(
        &self,
        mut place: Place,
        resolved: &Resolved,
        limit: Duration,
    ) -> Result<Option<Opened>, NoChannel> {
        let connection = Arc::clone(place.connection());
        let proven = connection.proven.load(Ordering::Acquire);
        // One after the other, so that a refusal says exactly how many there is room for. A warm connection may
        // have died unseen: it gets a part of the time, and a new one the rest. A new one has what its login left.
        let rest = left(connection.login.until);
        let limit = if proven || rest.is_zero() { limit / 3 } else { rest };
        let opening = async {
            let _one = connection.opening.lock().await;
            if connection.retired.load(Ordering::Acquire)
                || connection.open.load(Ordering::Acquire) >= self.room(resolved)
            {
                return Ok(None);
            }
            let channel = self.open_channel(&connection).await?;
            place.got_channel();
            Ok(Some(self.opened(channel, place)))
        };
        clock::deadline(limit, opening)
            .await
            .unwrap_or(Err(NoChannel::Silent))
    }

    /// Opens a channel in a task of its own: one that is opened after all when nobody waits any more is closed.
    async fn open_channel(&self, connection: &Arc<Connection>) -> Result<Channel<Msg>, NoChannel> {
        let (tx, rx) = oneshot::channel();
        let connection = Arc::clone(connection);
        self.tasks.spawn("ssh channel", async move {
            let result = connection.login.handle.channel_open_session().await;
            if let Err(Ok(channel)) = tx.send(result) {
                let _ = channel.close().await;
            }
        });
        match rx.await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(russh::Error::ChannelOpenFailure(_))) => Err(NoChannel::Full),
            Ok(Err(_)) | Err(_) => Err(NoChannel::Dead),
        }
    }

    fn opened(&self, channel: Channel<Msg>, place: Place) -> Opened {
        Opened::new(channel, place, self.tasks.clone())
    }

    fn room(&self, resolved: &Resolved) -> usize {
        self.hosts().get(resolved).map_or(CHANNELS, |host| host.room)
    }

    /// Takes a refusal for what it is: there is room for what is open, and for no more.
    fn learn(&self, resolved: &Resolved, connection: &Connection) {
        let open = connection.open.load(Ordering::Acquire);
        if open == 0 {
            // Sessions that nobody follows any more have all its room.
            connection.retire();
            return;
        }
        if let Some(host) = self.hosts().get_mut(resolved) {
            host.room = host.room.min(open);
        }
    }

    /// Starts the sweeper where none is at work. It ends when there is nothing left to be swept: a server without SSH
    /// connections is not woken up for them.
    fn sweep_in_background(self: &Arc<Self>) {
        if self.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let pool = Arc::clone(self);
        let step = (self.settings.idle / 4).clamp(Duration::from_millis(20), Duration::from_secs(5));
        self.tasks.spawn("ssh idle connections", async move {
            let work = pool.tasks.work().clone();
            loop {
                tokio::select! {
                    () = clock::sleep(step) => {}
                    () = work.cancelled() => return,
                    () = pool.closing.cancelled() => return,
                }
                for connection in pool.take_idle() {
                    connection.hang_up().await;
                }
                if pool.has_swept_all() {
                    return;
                }
            }
        });
    }

    /// Tells whether the sweeper may end. Who adds a connection later starts another one.
    fn has_swept_all(&self) -> bool {
        let hosts = self.hosts();
        if hosts.is_empty() {
            self.sweeping.store(false, Ordering::Release);
        }
        hosts.is_empty()
    }

    /// Takes out the connections that nobody needs, and forgets hosts without one.
    fn take_idle(&self) -> Vec<Arc<Connection>> {
        let mut idle = Vec::new();
        self.hosts().retain(|_, host| {
            host.connections.retain(|connection| {
                let over = connection.is_over(self.settings.idle);
                if over {
                    idle.push(Arc::clone(connection));
                }
                !over && !connection.is_dead()
            });
            !host.connections.is_empty() || !host.flights.is_empty()
        });
        idle
    }
}

/// Does a login's work to its end, and gives up its place in the window where the host says nothing.
async fn patiently<T>(turn: &mut Turn, trace: &Trace, mut work: impl Future<Output = T> + Unpin) -> T {
    while turn.has_place()
        && let Some(silence) = trace.silence()
    {
        let rest = SILENT.saturating_sub(silence);
        // Where there is no room beside the window either, it asks again after as long.
        let wait = if rest.is_zero() && !turn.step_aside() {
            SILENT
        } else {
            rest
        };
        if let Ok(done) = clock::deadline(wait, &mut work).await {
            return done;
        }
    }
    work.await
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn broken(host: &str, why: &str) -> ConnectError {
    ConnectError::new(Unreachable::Broken, format!("{host}: {why}"))
}

#[cfg(test)]
mod tests;
