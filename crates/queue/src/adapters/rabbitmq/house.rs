//! What all parts of one opened queue share, and the task that keeps its connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Event;
use muster_model::ErrorKind;
use muster_runtime::clock::{deadline, sleep};
use muster_runtime::{Backoff, CancellationToken, Tasks};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::WAITS;
use super::link::Link;
use super::topology::Topology;
use super::url::Settings;
use crate::adapters::calls::Calls;
use crate::error::Error;

/// Between tries to connect again: from, to at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// A connection that lived so long was a good one: the next try begins at once.
const GOOD: Duration = Duration::from_secs(10);
/// How often a connection is looked at that says nothing by itself.
const LOOKS: Duration = Duration::from_secs(1);
/// How long everything may take to say goodbye.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// How the connection stands.
#[derive(Clone)]
pub(super) enum State {
    /// It is there.
    Up(Arc<Link>),
    /// It is not, and is being made again; why.
    Down(Arc<str>),
    /// It has been closed for good.
    Closed,
}

/// What is shared.
pub(super) struct House {
    settings: Settings,
    pub(super) tasks: Tasks,
    pub(super) topology: Mutex<Topology>,
    pub(super) calls: Calls,
    state: watch::Sender<State>,
    /// Cancelled when the queue is closed or dropped.
    pub(super) closed: CancellationToken,
}

impl House {
    /// Connects, and keeps the connection from then on.
    pub(super) async fn open(settings: Settings, tasks: &Tasks) -> Result<Arc<Self>, Error> {
        let link = Link::open(&settings).await?;
        let house = Arc::new(Self {
            settings,
            tasks: tasks.clone(),
            topology: Mutex::default(),
            calls: Calls::default(),
            state: watch::Sender::new(State::Down("not connected yet".into())),
            closed: tasks.work().child_token(),
        });
        let link = Arc::new(link);
        house.state.send_replace(State::Up(Arc::clone(&link)));
        tasks.spawn("queue-connection", Arc::clone(&house).keep(link));
        Ok(house)
    }

    /// Fails once the queue is closed.
    pub(super) fn check_open(&self, operation: &str) -> Result<(), Error> {
        if self.closed.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, operation));
        }
        Ok(())
    }

    /// Returns the connection, once it is there; `Unavailable` where it is not by `until`.
    pub(super) async fn link(&self, operation: &str, until: Instant) -> Result<Arc<Link>, Error> {
        self.check_open(operation)?;
        let mut state = self.state.subscribe();
        let there = state.wait_for(|state| match state {
            State::Up(link) => link.is_whole(),
            State::Down(_) => false,
            State::Closed => true,
        });
        match tokio::time::timeout_at(until, there).await {
            Ok(Ok(state)) => match &*state {
                State::Up(link) => return Ok(Arc::clone(link)),
                _ => return Err(Error::new(ErrorKind::Cancelled, operation)),
            },
            Ok(Err(_)) => return Err(Error::new(ErrorKind::Cancelled, operation)),
            Err(_) => {}
        }
        Err(self.unavailable(operation))
    }

    /// Returns the connection where it is there now.
    pub(super) fn link_now(&self, operation: &str) -> Result<Arc<Link>, Error> {
        self.check_open(operation)?;
        match &*self.state.borrow() {
            State::Up(link) if link.is_whole() => return Ok(Arc::clone(link)),
            State::Closed => return Err(Error::new(ErrorKind::Cancelled, operation)),
            _ => {}
        }
        Err(self.unavailable(operation))
    }

    /// Returns the connection, whenever it is there; None once the queue is closed.
    pub(super) async fn link_whenever(&self) -> Option<Arc<Link>> {
        let mut state = self.state.subscribe();
        let there = state.wait_for(|state| match state {
            State::Up(link) => link.is_whole(),
            State::Down(_) => false,
            State::Closed => true,
        });
        match &*there.await.ok()? {
            State::Up(link) => Some(Arc::clone(link)),
            _ => None,
        }
    }

    fn unavailable(&self, operation: &str) -> Error {
        let why = match &*self.state.borrow() {
            State::Down(why) => Arc::clone(why),
            _ => "it has just broken".into(),
        };
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "{operation}: no connection to RabbitMQ at {}",
                self.settings.address()
            ),
        )
        .caused_by(String::from(&*why))
    }

    /// Waits until another connection than this one is there, or the time is over.
    pub(super) async fn next_link(&self, old: &Arc<Link>, until: Instant) {
        let mut state = self.state.subscribe();
        let other = state.wait_for(|state| match state {
            State::Up(link) => !Arc::ptr_eq(link, old),
            State::Down(_) => false,
            State::Closed => true,
        });
        let _ = tokio::time::timeout_at(until, other).await;
    }

    /// Does what may be done twice: on the next connection again where this one breaks.
    pub(super) async fn attempt<T, F>(
        &self,
        operation: &str,
        work: impl Fn(Arc<Link>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let until = Instant::now() + WAITS;
        loop {
            let link = self.link(operation, until).await?;
            match work(Arc::clone(&link)).await {
                Err(error)
                    if error.kind == ErrorKind::Unavailable && !link.is_whole() && Instant::now() < until =>
                {
                    self.next_link(&link, until).await;
                }
                Err(error) if self.closed.is_cancelled() => {
                    return Err(Error::new(ErrorKind::Cancelled, operation).caused_by(error));
                }
                other => return other,
            }
        }
    }

    /// Ends everything, and waits for that.
    pub(super) async fn close(&self) {
        self.closed.cancel();
        self.calls.close();
        let mut state = self.state.subscribe();
        let gone = state.wait_for(|state| matches!(state, State::Closed));
        let _ = deadline(LEAVES_WITHIN, gone).await;
    }

    /// Keeps the connection until the queue is closed.
    async fn keep(self: Arc<Self>, mut link: Arc<Link>) {
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        loop {
            let since = Instant::now();
            let why = tokio::select! {
                biased;
                () = self.closed.cancelled() => None,
                why = watch_over(&link) => Some(why),
            };
            let Some(why) = why else {
                break;
            };
            tracing::warn!(
                broker = self.settings.address(),
                why,
                "the connection to RabbitMQ is lost"
            );
            self.state.send_replace(State::Down(why.into()));
            // In this order: a consumer that is being opened looks at the one while it holds the other.
            link.lost.cancel();
            self.topology.lock().connection_lost();
            if since.elapsed() >= GOOD {
                backoff = Backoff::new(AGAIN.0, AGAIN.1);
            }
            // The old one has nothing left to wait for; what of it still stands is closed as it is dropped.
            let next = tokio::select! {
                biased;
                () = self.closed.cancelled() => None,
                next = self.connect_again(&mut backoff) => Some(next),
            };
            let Some(next) = next else {
                break;
            };
            link = next;
            tracing::info!(broker = self.settings.address(), "connected to RabbitMQ again");
            self.state.send_replace(State::Up(Arc::clone(&link)));
        }
        let _ = deadline(LEAVES_WITHIN, link.close()).await;
        self.state.send_replace(State::Closed);
        self.calls.close();
    }

    async fn connect_again(&self, backoff: &mut Backoff) -> Arc<Link> {
        loop {
            sleep(backoff.step()).await;
            let outcome = async {
                let link = Link::open(&self.settings).await?;
                let topology = self.topology.lock().all();
                topology.declare(&link).await?;
                Ok::<Link, Error>(link)
            };
            match outcome.await {
                Ok(link) => return Arc::new(link),
                Err(error) => {
                    let why = chain(&error);
                    tracing::warn!(why, "RabbitMQ cannot be reached yet");
                    self.state.send_replace(State::Down(why.into()));
                }
            }
        }
    }
}

/// Returns an error with what it came from, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Returns why a connection is over, once it is; notes meanwhile whether the broker takes messages.
async fn watch_over(link: &Link) -> String {
    let mut publishing = pin!(link.publishing.events_listener());
    let mut consuming = pin!(link.consuming.events_listener());
    loop {
        let (event, publishes) = tokio::select! {
            event = publishing.next() => (event, true),
            event = consuming.next() => (event, false),
            () = sleep(LOOKS) => {
                if !link.is_whole() {
                    return "it broke".to_owned();
                }
                // An alarm that was there before we listened has said so to nobody.
                if link.publishing.status().blocked() && link.blocked.borrow().is_none() {
                    link.blocked.send_replace(Some("no reason given".to_owned()));
                }
                continue;
            }
        };
        match event {
            Some(Event::ConnectionBlocked(why)) if publishes => {
                tracing::warn!(why, "RabbitMQ takes no messages: it is in alarm");
                link.blocked.send_replace(Some(why));
            }
            Some(Event::ConnectionUnblocked) if publishes => {
                tracing::info!("RabbitMQ takes messages again");
                link.blocked.send_replace(None);
            }
            // A channel's errors come here too: what counts is whether the connection stands.
            Some(Event::Error(error)) if !link.is_whole() => return chain(&error),
            Some(_) => {}
            None => return "it ended".to_owned(),
        }
    }
}
