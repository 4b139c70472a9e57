//! The accept loop: takes connections while there is room for them, and stops when it is told to.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use muster_runtime::{Backoff, CancellationToken, Tasks, clock};
use rustls::ServerConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::connection::{self, Life};
use crate::listener::{Listener, Stream, Users};
use crate::serve::Asked;

/// At most so many connections at a time; more wait in the kernel's queue.
const CONNECTIONS: usize = 1024;

/// Holds a server: says what it does, and tells it to stop. Dropping it stops nothing.
#[derive(Debug)]
pub struct Handle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) connections: watch::Receiver<usize>,
    pub(crate) asked: mpsc::Receiver<Asked>,
}

/// What the accept loop is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Close the socket; with `if_idle` only where nobody is connected or waits to be.
    Stop {
        if_idle: bool,
        stopped: oneshot::Sender<bool>,
    },
}

impl Handle {
    /// Returns the next wish of a client. Cancel-safe. None where the server has ended.
    pub async fn asked(&mut self) -> Option<Asked> {
        self.asked.recv().await
    }

    /// Returns the number of open connections, to be watched.
    #[must_use]
    pub fn connections(&self) -> watch::Receiver<usize> {
        self.connections.clone()
    }

    /// Closes the listening socket. Requests in hand are answered, and each connection ends with its answer.
    pub async fn stop_listening(&self) {
        self.stop(false).await;
    }

    /// Closes the listening socket where nobody is connected and nobody waits to be; tells whether it did.
    /// Between the look and the close nobody gets in who is not served.
    pub async fn stop_listening_if_idle(&self) -> bool {
        self.stop(true).await
    }

    async fn stop(&self, if_idle: bool) -> bool {
        let (stopped, done) = oneshot::channel();
        if self
            .commands
            .send(Command::Stop { if_idle, stopped })
            .await
            .is_err()
        {
            // The loop has ended: the socket is closed.
            return true;
        }
        done.await.unwrap_or(true)
    }
}

/// What can happen to the accept loop.
enum Event {
    Told(Command),
    Accepted(std::io::Result<Stream>, OwnedSemaphorePermit),
    Over,
}

/// What a connection needs, beside its stream.
pub(crate) struct Accepting {
    pub(crate) listener: Listener,
    pub(crate) router: Router,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) users: Users,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) connections: Arc<watch::Sender<usize>>,
    pub(crate) tasks: Tasks,
}

/// Accepts until told to stop.
pub(crate) async fn run(mut accepting: Accepting) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let closing = accepting.tasks.work().child_token();
    let mut backoff = fresh_backoff();
    loop {
        match accepting.next(&room).await {
            Event::Over => break,
            Event::Told(Command::Stop { if_idle, stopped }) => {
                if if_idle && accepting.is_busy() {
                    let _ = stopped.send(false);
                    continue;
                }
                accepting.take_the_rest(&room, &closing).await;
                drop(accepting);
                closing.cancel();
                let _ = stopped.send(true);
                return;
            }
            Event::Accepted(Ok(stream), permit) => {
                backoff = fresh_backoff();
                accepting.connect(stream, permit, &closing);
            }
            Event::Accepted(Err(error), permit) => {
                drop(permit);
                if accepting.pause(&error, &mut backoff).await.is_break() {
                    break;
                }
            }
        }
    }
}

fn fresh_backoff() -> Backoff {
    Backoff::new(Duration::from_millis(10), Duration::from_secs(1))
}

impl Accepting {
    async fn next(&mut self, room: &Arc<Semaphore>) -> Event {
        let listener = &self.listener;
        let accept = async {
            match Arc::clone(room).acquire_owned().await {
                Ok(permit) => Event::Accepted(listener.accept().await, permit),
                // The semaphore is never closed.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.tasks.work().cancelled() => Event::Over,
            Some(command) = self.commands.recv() => Event::Told(command),
            event = accept => event,
        }
    }

    fn is_busy(&self) -> bool {
        *self.connections.borrow() > 0 || self.listener.has_waiting()
    }

    /// Takes those that connected before the end: closing the socket would break them off.
    async fn take_the_rest(&self, room: &Arc<Semaphore>, closing: &CancellationToken) {
        while self.listener.has_waiting()
            && let Ok(permit) = Arc::clone(room).try_acquire_owned()
        {
            match clock::deadline(Duration::from_secs(1), self.listener.accept()).await {
                Ok(Ok(stream)) => self.connect(stream, permit, closing),
                _ => return,
            }
        }
    }

    fn connect(&self, stream: Stream, permit: OwnedSemaphorePermit, closing: &CancellationToken) {
        let life = Life {
            peer: stream.peer(&self.users),
            router: self.router.clone(),
            tls: self.tls.clone(),
            tasks: self.tasks.clone(),
            closing: closing.clone(),
            work: self.tasks.work().clone(),
        };
        let counted = Counted::new(&self.connections);
        self.tasks.spawn("connection", async move {
            connection::serve(stream, life).await;
            drop(counted);
            drop(permit);
        });
    }

    /// Waits after a failed accept: with no file descriptors left, trying again at once would only burn time.
    async fn pause(&self, error: &std::io::Error, backoff: &mut Backoff) -> ControlFlow<()> {
        if error.kind() == std::io::ErrorKind::ConnectionAborted {
            return ControlFlow::Continue(());
        }
        tracing::warn!(%error, "a connection could not be accepted");
        tokio::select! {
            () = self.tasks.work().cancelled() => ControlFlow::Break(()),
            () = clock::sleep(backoff.step()) => ControlFlow::Continue(()),
        }
    }
}

/// Counts a connection for as long as it lives.
struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(connections: &Arc<watch::Sender<usize>>) -> Self {
        connections.send_modify(|open| *open += 1);
        Self(Arc::clone(connections))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open = open.saturating_sub(1));
    }
}
