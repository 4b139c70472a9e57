//! The bytes below SSH: listened to at first, and cut when a login is given up.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::trace::Trace;

/// A stream that notes what the host says first, and that ends when its token is cancelled. Without the
/// second, a login that is given up in the middle of a key exchange would leave a connection that nobody
/// owns: russh does not look at its handle then.
pub(crate) struct Watched<S> {
    inner: S,
    /// None once the greeting is known.
    trace: Option<Arc<Trace>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Watched<S> {
    /// Wraps a stream.
    pub(crate) fn new(inner: S, trace: Arc<Trace>, cut: CancellationToken) -> Self {
        Self {
            inner,
            trace: Some(trace),
            cut: Box::pin(cut.cancelled_owned()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        if let (Poll::Ready(Ok(())), Some(trace)) = (&result, &self.trace) {
            let new = buffer.filled().get(before..).unwrap_or_default();
            if !trace.heard(new) {
                self.trace = None;
            }
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
        Pin::new(&mut self.inner).poll_write(context, bytes)
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
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
