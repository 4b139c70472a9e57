//! A pooled connection, the places on it, and the channels in those places.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_runtime::{Tasks, clock};
use russh::Channel;
use russh::client::Msg;
use tokio::time::Instant;

use crate::adapters::ssh::connect::Login;

/// How long a server may take to part in good order.
const GOOD_BYE: Duration = Duration::from_secs(1);

/// A connection that is logged in.
pub(crate) struct Connection {
    pub(super) login: Login,
    /// Places taken.
    pub(super) used: AtomicUsize,
    /// Channels that the server has open for us.
    pub(super) open: AtomicUsize,
    /// Whether it ever had a channel.
    pub(super) proven: AtomicBool,
    /// Commands whose output nobody reads at the moment: they hold up the whole connection.
    stalled: AtomicUsize,
    /// Takes no new commands.
    pub(super) retired: AtomicBool,
    idle_since: Mutex<Instant>,
    pub(super) opening: tokio::sync::Mutex<()>,
}

/// A place on a connection.
pub(crate) struct Place {
    connection: Arc<Connection>,
    has_channel: bool,
}

/// A channel for one command.
pub(crate) struct Opened {
    channel: Option<Channel<Msg>>,
    place: Option<Place>,
    tasks: Tasks,
}

impl Connection {
    /// Returns a connection that nobody uses yet.
    pub(super) fn new(login: Login) -> Self {
        Self {
            login,
            used: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            proven: AtomicBool::new(false),
            stalled: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            idle_since: Mutex::new(Instant::now()),
            opening: tokio::sync::Mutex::new(()),
        }
    }

    /// `user@host:port`, for messages.
    pub(crate) fn label(&self) -> &str {
        &self.login.label
    }

    /// Says for people why the connection ended, where it did.
    pub(crate) fn ended(&self) -> Option<String> {
        self.login.ended()
    }

    /// Asks the server for a sign of life; returns once everything that it had sent before has been received.
    pub(crate) async fn ping(&self) -> bool {
        // russh says the same where the connection ends while it waits.
        self.login.handle.send_ping().await.is_ok() && !self.is_dead()
    }

    /// Tells that output of a command on it waits for its reader, for as long as the result lives.
    pub(crate) fn stall(self: &Arc<Self>) -> Stalled {
        self.stalled.fetch_add(1, Ordering::AcqRel);
        Stalled(Arc::clone(self))
    }

    /// Tells whether output on it waits for its reader.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire) > 0
    }

    /// Tells whether the connection is known to be gone.
    pub(crate) fn is_dead(&self) -> bool {
        self.login.handle.is_closed()
    }

    /// Lets no new command come on it.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Tells whether a command may come on it, where connections to the host take `room` channels.
    pub(super) fn has_room(&self, room: usize) -> bool {
        !self.retired.load(Ordering::Acquire)
            && !self.is_stalled()
            && self.used.load(Ordering::Acquire) < room
    }

    /// Tells whether it has nothing to do and is not kept warm any longer. Called with the pool locked, under
    /// which places are taken.
    pub(super) fn is_over(&self, limit: Duration) -> bool {
        self.used.load(Ordering::Acquire) == 0
            && (self.retired.load(Ordering::Acquire)
                || self
                    .idle_since
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .elapsed()
                    >= limit)
    }

    /// Says goodbye to the server.
    pub(super) async fn hang_up(&self) {
        self.retire();
        self.login.hang_up(GOOD_BYE).await;
    }
}

/// See [`Connection::stall`].
pub(crate) struct Stalled(Arc<Connection>);

impl Drop for Stalled {
    fn drop(&mut self) {
        self.0.stalled.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Place {
    /// Takes a place.
    pub(super) fn take(connection: &Arc<Connection>) -> Self {
        connection.used.fetch_add(1, Ordering::AcqRel);
        Self {
            connection: Arc::clone(connection),
            has_channel: false,
        }
    }

    /// The connection.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The server has opened a channel for it.
    pub(super) fn got_channel(&mut self) {
        self.has_channel = true;
        self.connection.open.fetch_add(1, Ordering::AcqRel);
        self.connection.proven.store(true, Ordering::Release);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.has_channel {
            self.connection.open.fetch_sub(1, Ordering::AcqRel);
        }
        *self
            .connection
            .idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.connection.used.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Opened {
    /// Joins a channel with its place.
    pub(super) fn new(channel: Channel<Msg>, place: Place, tasks: Tasks) -> Self {
        Self {
            channel: Some(channel),
            place: Some(place),
            tasks,
        }
    }

    /// Takes both out: from now on whoever has them closes the channel.
    pub(crate) fn into_parts(mut self) -> Option<(Channel<Msg>, Place)> {
        self.channel.take().zip(self.place.take())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some((channel, place)) = self.channel.take().zip(self.place.take()) {
            self.tasks.spawn("ssh close", async move {
                let _ = clock::deadline(Duration::from_secs(1), channel.close()).await;
                drop(place);
            });
        }
    }
}
