//! Putting the server together.

use std::sync::Arc;

use muster_engine::Engine;
use muster_model::{Problem, Secret, Timestamp};
use muster_runtime::Tasks;
use tokio::sync::{mpsc, oneshot, watch};

use crate::accept::{self, Accepting, Handle};
use crate::api::{self, Api};
use crate::guard::Guard;
use crate::listener::{Listener, Users};
use crate::meter::Meter;

/// What the server tells about itself, and what it lets in.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The version of the binary.
    pub version: String,
    /// Since when the process runs.
    pub started_at: Timestamp,
    /// The database's URL, without secrets.
    pub database: String,
    /// The queue's URL, without secrets.
    pub queue: String,
    /// The cache's URL, without secrets.
    pub cache: String,
    /// What a client must show that does not come by a Unix socket; None: none is let in there.
    pub token: Option<Secret>,
}

/// What a client may wish of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Stop listening at once, finish what was started, and leave.
    HandOver,
    /// Leave.
    ShutDown,
}

/// A client's wish. The client is answered when `done` is sent, or dropped.
#[derive(Debug)]
pub struct Asked {
    /// What it wishes.
    pub wish: Wish,
    /// To be sent when the socket is closed and free for another process.
    pub done: oneshot::Sender<()>,
}

/// Serves the API on `listener` until told to stop by the handle, or until `tasks` end.
///
/// # Errors
///
/// `invalid-config` where the listener is reachable from other machines without TLS; `internal` where the API's
/// description cannot be written, or TLS cannot be set up.
pub fn serve(
    listener: Listener,
    engine: Engine,
    settings: ServerSettings,
    tasks: &Tasks,
) -> Result<Handle, Problem> {
    listener.check()?;
    let tls = match &listener {
        Listener::Tls(_, certificate) => {
            certificate.watch(tasks);
            Some(certificate.config()?)
        }
        Listener::Unix(_) | Listener::Tcp(_) => None,
    };
    let users = Users::look_up();
    let (wishes, asked) = mpsc::channel(4);
    let guard = Guard {
        token: settings.token.clone(),
        user: users.our_name(),
    };
    let meter = Arc::new(Meter::new(tasks.meters(), &settings));
    let api = Api {
        engine,
        meter,
        settings: Arc::new(settings),
        wishes,
        work: tasks.work().clone(),
    };
    let router = api::router(api, Arc::new(guard))?;
    let (commands, told) = mpsc::channel(4);
    let (counter, connections) = watch::channel(0);
    Meter::connections(tasks.meters(), connections.clone());
    tasks.spawn(
        "accept",
        accept::run(Accepting {
            listener,
            router,
            tls,
            users,
            commands: told,
            connections: Arc::new(counter),
            tasks: tasks.clone(),
        }),
    );
    Ok(Handle {
        commands,
        connections,
        asked,
    })
}
