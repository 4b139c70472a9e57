//! A protocol and its transport, apart.
//!
//! A protocol knows what was said and says what comes next. It has no socket, no file and no clock, so that it runs the
//! same over TCP, over a pipe in memory and, in a test, over a slice that is cut at every byte. What carries it is
//! written once, here: [`converse`] for one connection over any stream, [`serve`] for all who connect, on one thread.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use muster_runtime::CancellationToken;
use muster_runtime::clock::deadline;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// The most bytes that are read, sent or wished for at once. A connection holds a few such pieces, however much goes
/// through it.
pub(crate) const PIECE: usize = 64 * 1024;
/// Who neither says nor takes anything for so long is gone.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One side of a conversation.
///
/// The two take turns: a side that has something to say is not read from meanwhile. That is what bounds its memory, as
/// whoever does not listen is not listened to. Two sides that both sent without end would wait for each other, until
/// their patience ends.
pub(crate) trait Protocol {
    /// What it cannot do by itself, such as reading a file.
    type Wish;

    /// Takes bytes that came. They are cut anywhere.
    fn received(&mut self, bytes: &[u8]);

    /// Learns that nothing more will come.
    fn ended(&mut self);

    /// Says what comes next. Whoever asks does it, and asks again.
    fn next(&mut self) -> Step<Self::Wish>;
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<Wish> {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Wait for bytes: see [`Protocol::received`] and [`Protocol::ended`].
    Receive,
    /// Do this, and tell the protocol what came of it.
    Wish(Wish),
    /// Hang up.
    Close,
}

/// Grants the wishes of a protocol.
pub(crate) trait World<P: Protocol> {
    /// Does it, and tells the protocol what came of it. An error ends the conversation.
    async fn grant(&mut self, wish: P::Wish, protocol: &mut P) -> io::Result<()>;
}

/// Who wishes for nothing needs no world.
impl<P: Protocol<Wish = Infallible>> World<P> for () {
    async fn grant(&mut self, wish: Infallible, _: &mut P) -> io::Result<()> {
        match wish {}
    }
}

/// Whoever wants to see what came of it keeps the world.
impl<P: Protocol, W: World<P>> World<P> for &mut W {
    async fn grant(&mut self, wish: P::Wish, protocol: &mut P) -> io::Result<()> {
        (**self).grant(wish, protocol).await
    }
}

/// Runs one side of a conversation over a stream, to its end.
pub(crate) async fn converse<P, W, S>(protocol: &mut P, mut world: W, mut stream: S) -> io::Result<()>
where
    P: Protocol,
    W: World<P>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = vec![0; PIECE];
    loop {
        match protocol.next() {
            Step::Send(bytes) => in_time(stream.write_all(&bytes)).await?,
            Step::Receive => match in_time(stream.read(&mut buffer)).await? {
                0 => protocol.ended(),
                count => protocol.received(&buffer[..count]),
            },
            Step::Wish(wish) => world.grant(wish, protocol).await?,
            Step::Close => return in_time(stream.shutdown()).await,
        }
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let silent = || io::Error::new(io::ErrorKind::TimedOut, format!("silent for {PATIENCE:?}"));
    deadline(PATIENCE, work).await.map_err(|_| silent())?
}

/// Serves whoever connects, at most `most` at a time, until `stop`.
///
/// Each connection is a future, and all of them are polled by the task that calls this: one thread. It sleeps until the
/// system says (on Linux by epoll) which sockets are ready, and only theirs are polled. No connection waits for another
/// one, and one that failed ends alone; `failed` hears of it. Past `most`, those who connect wait in the system's queue.
pub(crate) async fn serve<P, W>(
    listener: &TcpListener,
    most: usize,
    stop: &CancellationToken,
    mut side: impl FnMut() -> (P, W),
    mut failed: impl FnMut(io::Error),
) -> io::Result<()>
where
    P: Protocol,
    W: World<P>,
{
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(outcome) = open.next(), if !open.is_empty() => {
                if let Err(error) = outcome {
                    failed(error);
                }
            }
            accepted = listener.accept(), if open.len() < most => match accepted {
                Ok((stream, _)) => {
                    let (mut protocol, world) = side();
                    open.push(async move { converse(&mut protocol, world, stream).await });
                }
                // A connection that broke at once, or no file left: when somebody leaves there is one again.
                Err(error) if !open.is_empty() => failed(error),
                Err(error) => return Err(error),
            }
        }
    }
}
