//! The bytes below SSH: acknowledged at once, listened to at first, bounded, and cut when a connection is given up.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use super::trace::Trace;

pub(super) const TOO_MUCH: &str = "the host sent more than 1 MiB before it let anybody in";
const STALLED: &str = "the host does not take what is sent to it";

/// The most that a host may send before it has let us in: keys, lists of algorithms and a banner are some ten
/// KiB. What a host says until then is kept in places that have no other bound (answers to a login, above all).
const BEFORE_LOGIN: usize = 1024 * 1024;

/// A TCP connection that tells the host at once what has arrived, where nothing is said to it anyway.
///
/// Servers leave Nagle's algorithm on: they hold a small packet back until the one before it is acknowledged. The
/// kernel waits up to 40 ms with that, in the hope of something to send along. Between the two a login and every
/// command that prints anything would stand still for so long.
pub(crate) struct Acknowledging {
    inner: TcpStream,
    /// Whether something has come since something was sent.
    owes: bool,
}

impl Acknowledging {
    /// Takes a connection.
    pub(crate) fn new(inner: TcpStream) -> Self {
        Self { inner, owes: false }
    }

    /// The kernel forgets the wish again, so it is told each time before there is a wait.
    fn acknowledge(&mut self) {
        if std::mem::take(&mut self.owes) {
            // It is a matter of speed alone.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            let _ = self.inner.set_quickack(true);
        }
    }
}

impl AsyncRead for Acknowledging {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        match result {
            Poll::Ready(_) => self.owes = true,
            Poll::Pending => self.acknowledge(),
        }
        result
    }
}

impl AsyncWrite for Acknowledging {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, bytes);
        if result.is_ready() {
            self.owes = false;
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        if result.is_ready() {
            self.owes = false;
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// How a stream is watched.
pub(crate) struct Watch {
    /// Told what the host says first.
    pub(crate) trace: Arc<Trace>,
    /// Ends the stream when it is cancelled.
    pub(crate) cut: CancellationToken,
    /// Cancelled when the stream is gone.
    pub(crate) gone: CancellationToken,
    /// How long the host may take to accept what is sent to it.
    pub(crate) patience: Duration,
}

/// A stream that notes what the host says first, and that ends when its token is cancelled, the host says too
/// much before it has let us in, or does not take what is sent to it. None of these is seen to by russh: it
/// looks at nothing else while it is in a key exchange, or while it writes, or where a channel's window is used
/// up; and then a connection that was given up would be there as long as the host likes.
pub(crate) struct Watched<S> {
    inner: S,
    trace: Arc<Trace>,
    /// Whether the greeting is known.
    greeted: bool,
    /// How much may still come before the login; None once it is done.
    room: Option<usize>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    patience: Duration,
    /// Runs while the host does not take what is sent to it.
    stalled: Option<Pin<Box<Sleep>>>,
    _gone: DropGuard,
}

impl<S> Watched<S> {
    /// Wraps a stream.
    pub(crate) fn new(inner: S, watch: Watch) -> Self {
        Self {
            inner,
            trace: watch.trace,
            greeted: false,
            room: Some(BEFORE_LOGIN),
            cut: Box::pin(watch.cut.cancelled_owned()),
            patience: watch.patience,
            stalled: None,
            _gone: watch.gone.drop_guard(),
        }
    }

    fn is_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Takes note of what came.
    fn heard(&mut self, new: &[u8]) -> io::Result<()> {
        if !self.greeted {
            self.greeted = !self.trace.heard(new);
        }
        if let Some(room) = self.room {
            self.room = match room.checked_sub(new.len()) {
                _ if self.trace.is_in() => None,
                Some(room) => Some(room),
                None => return Err(io::Error::new(io::ErrorKind::InvalidData, TOO_MUCH)),
            };
        }
        Ok(())
    }

    /// Bounds how long a write waits for the host.
    fn wrote<T>(&mut self, result: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, STALLED))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_cut(context)?;
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = &result {
            self.heard(buffer.filled().get(before..).unwrap_or_default())?;
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_cut(context)?;
        let result = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.wrote(result, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_cut(context)?;
        let result = Pin::new(&mut self.inner).poll_flush(context);
        self.wrote(result, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_cut(context)?;
        let result = Pin::new(&mut self.inner).poll_shutdown(context);
        self.wrote(result, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_cut(context)?;
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.wrote(result, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
