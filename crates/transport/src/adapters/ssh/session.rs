//! A session: one channel for one command, and the way to end the command by a second channel.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use muster_model::ErrorKind;
use muster_runtime::{CancellationToken, Tasks, clock};
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};

use super::connect::Resolved;
use super::follow::Follow;
use super::pool::{Connection, Opened, Place, Pool};
use crate::adapters::command::pipe::Reader;
use crate::adapters::command::{Delivery, End, Gate, Running, Side, TreeKiller, feed};
use crate::adapters::shell::{Launch, Shell, launch};
use crate::error::Error;
use crate::port;
use crate::types::{Access, Exec};

/// How long a second channel on a connection may take before another connection is tried.
const SECOND_CHANNEL: Duration = Duration::from_secs(2);

/// Room for one command.
pub(crate) struct Session {
    pool: Arc<Pool>,
    resolved: Resolved,
    access: Access,
    host: String,
    opened: Option<Opened>,
}

impl Session {
    /// Returns the session of an open channel.
    pub(crate) fn new(
        pool: Arc<Pool>,
        resolved: Resolved,
        access: Access,
        host: String,
        opened: Opened,
    ) -> Self {
        Self {
            pool,
            resolved,
            access,
            host,
            opened: Some(opened),
        }
    }
}

#[async_trait]
impl port::Session for Session {
    async fn start(&mut self, exec: Exec) -> Result<Box<dyn port::Running>, Error> {
        let again = || Error::new(ErrorKind::Conflict, "a session starts one command only");
        if self.opened.is_none() {
            return Err(again());
        }
        let launch = launch::launch(&exec, Shell::OfTheUser)?;
        let opened = self.opened.take().ok_or_else(again)?;
        let (end, let_go) = (End::default(), CancellationToken::new());
        let started = start(&self.pool, opened, launch, end.clone(), let_go.clone()).await?;
        let beside = Beside {
            pool: Arc::clone(&self.pool),
            resolved: self.resolved.clone(),
            access: self.access.clone(),
            host: self.host.clone(),
            connection: started.connection,
            channel: started.channel,
            let_go,
        };
        let killer = TreeKiller::new(beside, exec.mark, exec.sudo, end.clone());
        Ok(Box::new(Running::new(started.reader, Arc::new(killer), end)))
    }
}

/// A program that the server has started.
struct Started {
    reader: Reader,
    connection: Weak<Connection>,
    channel: Weak<ChannelWriteHalf<Msg>>,
}

/// Starts a program on a channel, with whoever feeds and follows it.
async fn start(
    pool: &Pool,
    opened: Opened,
    launch: Launch,
    end: End,
    let_go: CancellationToken,
) -> Result<Started, Error> {
    let Some((channel, place)) = opened.into_parts() else {
        return Err(Error::new(ErrorKind::Internal, "the channel is gone"));
    };
    let (mut read, write) = channel.split();
    let write = Arc::new(write);
    let connection = Arc::clone(place.connection());
    let operation = |what: &str| format!("starting a command on {}: {what}", connection.label());
    // Whoever gives this future up leaves no channel that nobody owns: not while the question is on its way either,
    // which a connection that is held up does not take at once.
    let mut asked = Asked::new(Arc::clone(&write), place, pool.tasks().clone());
    write.exec(true, launch.line()).await.map_err(|error| {
        Error::new(ErrorKind::Unavailable, operation("the connection is gone")).caused_by(error)
    })?;
    let mut early = None;
    match clock::deadline(pool.settings().answer, answer(&mut read)).await {
        Ok(Answer::Yes) => {}
        Ok(Answer::Said(message)) => early = Some(message),
        Ok(Answer::No) => {
            return Err(Error::new(
                ErrorKind::Denied,
                operation("the server does not run commands for this user"),
            ));
        }
        Ok(Answer::Broken) => {
            let why = connection.ended();
            let why = why.as_deref().unwrap_or("the host closed the channel");
            return Err(Error::new(
                ErrorKind::OutcomeUnknown,
                operation(&format!(
                    "the connection broke before it was known to have started ({why})"
                )),
            ));
        }
        Err(_) => {
            let limit = pool.settings().answer.as_secs_f32();
            return Err(Error::new(
                ErrorKind::OutcomeUnknown,
                operation(&format!(
                    "the host does not say whether it has started, for {limit} s"
                )),
            ));
        }
    }
    let Some(place) = asked.answered() else {
        return Err(Error::new(ErrorKind::Internal, "the channel is gone"));
    };
    let (gate, said) = Gate::new();
    let (delivery, reader) = Delivery::new(&launch.input, gate, end.clone());
    if launch.input.is_empty() {
        let _ = write.eof().await;
    } else {
        let sink = write.make_writer();
        pool.tasks().spawn("ssh input", async move {
            tokio::select! {
                () = feed::feed(launch.input, said, Box::pin(sink)) => {}
                () = end.over() => {}
            }
        });
    }
    let started = Started {
        reader,
        connection: Arc::downgrade(&connection),
        channel: Arc::downgrade(&write),
    };
    let follow = Follow::new(read, early, write, place, pool.closing().clone(), let_go);
    pool.tasks().spawn("ssh command", follow.run(delivery));
    Ok(started)
}

/// A command that the server is being asked to run, and has not said yes to: dropped, it closes the channel.
struct Asked {
    write: Arc<ChannelWriteHalf<Msg>>,
    place: Option<Place>,
    tasks: Tasks,
}

impl Asked {
    fn new(write: Arc<ChannelWriteHalf<Msg>>, place: Place, tasks: Tasks) -> Self {
        Self {
            write,
            place: Some(place),
            tasks,
        }
    }

    /// Whoever follows the command now closes the channel.
    fn answered(&mut self) -> Option<Place> {
        self.place.take()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let write = Arc::clone(&self.write);
            self.tasks.spawn("ssh close", async move {
                let _ = clock::deadline(Duration::from_secs(1), write.close()).await;
                drop(place);
            });
        }
    }
}

enum Answer {
    Yes,
    No,
    /// A command that says something runs.
    Said(ChannelMsg),
    Broken,
}

/// Waits for the server's yes or no.
async fn answer(read: &mut ChannelReadHalf) -> Answer {
    loop {
        match read.wait().await {
            Some(ChannelMsg::Success) => return Answer::Yes,
            Some(ChannelMsg::Failure) => return Answer::No,
            Some(ChannelMsg::Close) | None => return Answer::Broken,
            Some(ChannelMsg::WindowAdjusted { .. }) => {}
            Some(message) => return Answer::Said(message),
        }
    }
}

/// The way to run a program beside a command: on the same connection where that has room, else on another.
struct Beside {
    pool: Arc<Pool>,
    resolved: Resolved,
    access: Access,
    host: String,
    connection: Weak<Connection>,
    channel: Weak<ChannelWriteHalf<Msg>>,
    let_go: CancellationToken,
}

#[async_trait]
impl Side for Beside {
    async fn run(&self, launch: Launch) -> Result<Reader, Error> {
        let same = match self.connection.upgrade() {
            Some(connection) => self.pool.beside(&connection, SECOND_CHANNEL).await,
            None => None,
        };
        let opened = match same {
            Some(opened) => opened,
            None => self
                .pool
                .channel(&self.resolved, &self.access, &self.host)
                .await
                .map_err(|error| {
                    Error::new(
                        ErrorKind::Unavailable,
                        "connecting to end the command's processes",
                    )
                    .caused_by(error)
                })?,
        };
        let (end, let_go) = (End::default(), CancellationToken::new());
        Ok(start(&self.pool, opened, launch, end, let_go).await?.reader)
    }

    async fn signal(&self, hard: bool) {
        if let Some(channel) = self.channel.upgrade() {
            let signal = if hard { Sig::KILL } else { Sig::TERM };
            let _ = clock::deadline(SECOND_CHANNEL, channel.signal(signal)).await;
        }
    }

    fn let_go(&self) {
        self.let_go.cancel();
    }
}
