//! The life of a server's process: start, serve, leave.
//!
//! Leaving goes in steps: the socket is given up first, so that another server may take over; then nothing
//! new is started, and what was started has a while to end; then everything that is left is told to go.

use std::time::Duration;

use muster_engine::Engine;
use muster_model::problem::Code;
use muster_model::{Problem, Roles, Secret, Timestamp, limits};
use muster_runtime::{Tasks, crash_point, now};
use muster_server::{Asked, Certificate, Handle, Listener, ServerSettings, Wish};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;

use super::lock::Lock;
use super::manager::Manager;
use super::paths::{self, Paths, cannot};
use super::seat::Seat;
use super::signals::{self, Signals};
use super::{idle, log, ready, self_made, token, version};
use crate::settings::{Listen, Settings, listen, masked};
use crate::wiring;

/// How long a starting server waits for another one that starts.
const TURN: Duration = Duration::from_secs(30);
/// How long what is left has to go when the process leaves.
const FAREWELL: Duration = Duration::from_secs(10);
/// As many files as a server may have open, where the system lets it: a connection is one.
const OPEN_FILES: u64 = 65_536;

/// A process with an engine in it.
pub(super) struct Process {
    pub(super) tasks: Tasks,
    pub(super) engine: Engine,
    pub(super) started_at: Timestamp,
    settings: Settings,
}

impl Process {
    /// Starts the engine.
    pub(super) async fn start(settings: &Settings) -> Result<Self, Problem> {
        raise_open_files();
        if !settings.core_dumps {
            keep_memory_private();
        }
        paths::private_state(&settings.state_dir)?;
        let tasks = Tasks::new();
        let started_at = now();
        match wiring::start(settings, &tasks).await {
            Ok(engine) => Ok(Self {
                tasks,
                engine,
                started_at,
                settings: settings.clone(),
            }),
            Err(problem) => {
                tasks.close(FAREWELL).await;
                Err(problem)
            }
        }
    }

    /// Begins to serve.
    pub(super) fn serve(&self, listener: Listener, token: Option<Secret>) -> Result<Handle, Problem> {
        let Settings {
            database,
            queue,
            cache,
            ..
        } = &self.settings;
        let settings = ServerSettings {
            version: version().to_owned(),
            started_at: self.started_at,
            database: masked(database),
            queue: masked(queue),
            cache: masked(cache),
            token,
        };
        muster_server::serve(listener, self.engine.clone(), settings, &self.tasks)
    }

    /// Lets what was started end, for at most `limit`, then ends the rest.
    pub(super) async fn close(self, limit: Duration) {
        self.tasks.intake().cancel();
        self.engine.drain(limit).await;
        self.end().await;
    }

    async fn end(self) {
        let Self { tasks, engine, .. } = self;
        // What still runs is killed and settled, and the rooms close, before the tasks are joined.
        engine.close().await;
        drop(engine);
        let left = tasks.close(FAREWELL).await;
        if left > 0 {
            tracing::warn!(left, "some tasks did not end in time");
        }
    }
}

/// A connection is an open file, and the usual limit of 1024 is less than a server with 1000 slots needs.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = hard.min(OPEN_FILES);
        if soft >= wanted {
            return Ok(());
        }
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// What dies here leaves no memory behind, and no other program of the same user may look into it: credentials are in
/// it while they are used. Programs that are started from here are not touched by that.
fn keep_memory_private() {
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::warn!(%error, "core files of this server cannot be prevented");
    }
}

/// A server that is found by clients.
pub(super) struct Server {
    process: Process,
    handle: Handle,
    seat: Option<Seat>,
    signals: Signals,
    /// Where it may leave by itself.
    start_lock: Option<std::path::PathBuf>,
    /// Who wants to hear how it is.
    manager: Option<Manager>,
}

/// Why a server leaves.
#[derive(Debug)]
enum Why {
    Signal(&'static str),
    Wish(Asked),
    Idle,
}

/// `muster server`.
pub(super) async fn foreground(settings: &Settings, listen: Option<&str>) -> Result<(), Problem> {
    let paths = Paths::of(settings);
    paths.prepare()?;
    let signals = Signals::take()?;
    let manager = Manager::of(settings)?;
    let (process, handle, seat) = match listen {
        Some(text) => {
            let (process, handle) = on_an_address(settings, &paths, text).await?;
            (process, handle, None)
        }
        None => {
            let turn = Lock::take(&paths.start_lock, TURN).await?;
            let (process, handle, seat) = on_socket(settings, &paths).await?;
            drop(turn);
            (process, handle, Some(seat))
        }
    };
    let server = Server {
        process,
        handle,
        seat,
        signals,
        start_lock: None,
        manager,
    };
    if let Some(manager) = &server.manager {
        manager.ready(&server.process.tasks);
    }
    server.run().await;
    Ok(())
}

/// The server that clients start on demand.
pub(super) async fn daemon(settings: &Settings) -> Result<(), Problem> {
    let started = detached(settings).await;
    match started {
        Ok(server) => {
            crash_point!(Serving);
            ready::tell(Ok(()));
            crash_point!(ReadySaid);
            ready::let_go()?;
            server.run().await;
            Ok(())
        }
        Err(problem) => {
            tracing::error!(%problem, "the server cannot start");
            ready::tell(Err(&problem));
            Err(problem)
        }
    }
}

async fn detached(settings: &Settings) -> Result<Server, Problem> {
    // A session of its own: what is typed at the starter's terminal is not for this process. It fails only
    // where it is so already.
    let _ = nix::unistd::setsid();
    let paths = Paths::of(settings);
    paths.prepare()?;
    let file = log::file(&paths.log)?;
    nix::unistd::dup2_stderr(&file).map_err(|errno| cannot(&paths.log, "used", &errno.into()))?;
    log::to_stderr(settings);
    Server::on_demand(settings, &paths).await
}

async fn on_socket(settings: &Settings, paths: &Paths) -> Result<(Process, Handle, Seat), Problem> {
    let mut seat = Seat::take(paths).await?;
    crash_point!(SeatTaken);
    let process = Process::start(settings).await?;
    // Listening comes last: whoever can connect is served.
    let handle = seat
        .listen()
        .and_then(|listener| process.serve(Listener::Unix(listener), None));
    match handle {
        Ok(handle) => {
            tracing::info!(socket = %seat.socket().display(), version = version(), "listening");
            Ok((process, handle, seat))
        }
        Err(problem) => {
            process.close(Duration::ZERO).await;
            Err(problem)
        }
    }
}

async fn on_an_address(settings: &Settings, paths: &Paths, text: &str) -> Result<(Process, Handle), Problem> {
    let place = listen(text)
        .map_err(|why| Problem::new(Code::InvalidRequest, format!("--listen: '{text}' {why}")))?;
    let (Listen::Plain(address) | Listen::Tls(address)) = place;
    let certificate = match (place, &settings.certificate) {
        (Listen::Plain(_), _) => None,
        (Listen::Tls(_), Some((chain, key))) => Some(Certificate::load(chain, key)?),
        (Listen::Tls(_), None) => Some(self_made::kept_or_new(&settings.state_dir)?),
    };
    // A runtime folder goes with the last login or the machine's restart, and clients elsewhere would not know.
    let token_file = match place {
        Listen::Plain(_) => paths.token.clone(),
        Listen::Tls(_) => {
            paths::private_state(&settings.state_dir)?;
            settings.state_dir.join("token")
        }
    };
    let token = token::kept_or_new(&token_file)?;
    let failed = |error: std::io::Error| {
        Problem::new(
            Code::Unavailable,
            format!("{address} cannot be listened on: {error}"),
        )
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let process = Process::start(settings).await?;
    let (scheme, fingerprint) = match &certificate {
        Some(certificate) => ("https", certificate.fingerprint()),
        None => ("http", String::new()),
    };
    let listener = match certificate {
        Some(certificate) => Listener::Tls(listener, certificate),
        None => Listener::Tcp(listener),
    };
    match process.serve(listener, Some(token)) {
        Ok(handle) => {
            tracing::info!(
                url = %format_args!("{scheme}://{address}"),
                fingerprint,
                token = %token_file.display(),
                version = version(),
                "listening"
            );
            Ok((process, handle))
        }
        Err(problem) => {
            process.close(Duration::ZERO).await;
            Err(problem)
        }
    }
}

impl Server {
    /// Starts a server on the user's socket that leaves by itself.
    pub(super) async fn on_demand(settings: &Settings, paths: &Paths) -> Result<Self, Problem> {
        let signals = Signals::take()?;
        // What its user's commands need.
        let mut settings = settings.clone();
        settings.roles = Roles::ALL;
        let (process, handle, seat) = on_socket(&settings, paths).await?;
        Ok(Self {
            process,
            handle,
            seat: Some(seat),
            signals,
            start_lock: Some(paths.start_lock.clone()),
            manager: None,
        })
    }

    /// Serves until there is a reason to leave, and leaves.
    pub(super) async fn run(mut self) {
        loop {
            let why = self.next().await;
            if matches!(why, Why::Idle) && !self.is_alone().await {
                continue;
            }
            self.leave(why).await;
            return;
        }
    }

    async fn next(&mut self) -> Why {
        let Self {
            process,
            handle,
            signals,
            start_lock,
            ..
        } = self;
        let connections = handle.connections();
        let idle = async {
            match start_lock {
                Some(_) => {
                    idle::for_a_while(connections, &process.engine, process.settings.idle_exit).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = signals.next() => Why::Signal(signal),
            Some(asked) = handle.asked() => Why::Wish(asked),
            () = idle => Why::Idle,
        }
    }

    /// Closes the socket of an idle server, unless somebody comes at this moment: then it stays.
    ///
    /// Under the start lock the socket is first put out of sight. Who connected before is in the kernel's
    /// queue and is seen there; who comes after finds nothing, and waits for the lock to start a server.
    async fn is_alone(&mut self) -> bool {
        let (Some(start_lock), Some(seat)) = (&self.start_lock, &mut self.seat) else {
            return false;
        };
        let Ok(Some(_turn)) = Lock::try_take(start_lock) else {
            // Somebody is looking for a server right now.
            return false;
        };
        if let Err(problem) = seat.hide() {
            tracing::warn!(%problem, "nobody can find this server");
        }
        crash_point!(SocketHidden);
        if self.handle.stop_listening_if_idle().await {
            // The place is free before the lock is.
            self.seat = None;
            crash_point!(IdleClosed);
            return true;
        }
        if let Err(problem) = seat.show() {
            tracing::warn!(%problem, "nobody will find this server");
        }
        false
    }

    async fn leave(mut self, why: Why) {
        let limit = match &why {
            // A newer server is there for everybody else.
            Why::Wish(Asked {
                wish: Wish::HandOver, ..
            }) => limits::LONGEST,
            _ => self.process.settings.drain,
        };
        tracing::info!(reason = why.name(), "leaving");
        if let Some(manager) = &self.manager {
            manager.stopping();
        }
        if let Some(seat) = &mut self.seat {
            seat.vacate();
        }
        crash_point!(SocketVacated);
        self.handle.stop_listening().await;
        self.seat = None;
        crash_point!(SeatGivenUp);
        if let Why::Wish(asked) = why {
            let _ = asked.done.send(());
            crash_point!(LeaveAnswered);
        }
        self.process.tasks.intake().cancel();
        self.drain(limit).await;
        crash_point!(Drained);
        let Self {
            process, mut signals, ..
        } = self;
        tokio::select! {
            () = process.end() => {}
            signal = signals.next() => {
                tracing::warn!(signal, "leaving at once");
                signals::leave_at_once();
            }
        }
        tracing::info!("left");
    }

    /// Waits for what was started, until the limit or a signal.
    async fn drain(&mut self, limit: Duration) {
        let drained = self.process.engine.drain(limit);
        let mut drained = std::pin::pin!(drained);
        loop {
            tokio::select! {
                () = drained.as_mut() => return,
                signal = self.signals.next() => {
                    tracing::warn!(signal, "no longer waiting for what was started");
                    return;
                }
                // It is granted already: dropping it answers the client.
                Some(_) = self.handle.asked() => {}
            }
        }
    }
}

impl Why {
    fn name(&self) -> &'static str {
        match self {
            Self::Signal(name) => name,
            Self::Wish(asked) => match asked.wish {
                Wish::HandOver => "a newer server takes over",
                Wish::ShutDown => "a client asked for it",
            },
            Self::Idle => "nothing to do",
        }
    }
}
