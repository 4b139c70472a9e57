//! The body of an answer, as a stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use muster_model::Problem;
use muster_model::problem::Code;

use crate::connection::Connection;
use crate::send::Pool;

/// How long the server may be silent in the middle of an answer.
const SILENCE: Duration = Duration::from_mins(1);

/// The bytes of an answer as they come. Dropped before its end, it closes its connection.
pub struct Download {
    media_type: Option<HeaderValue>,
    incoming: Incoming,
    connection: Option<Connection>,
    pool: Arc<Pool>,
}

impl Download {
    pub(crate) fn new(mut answer: Response<Incoming>, connection: Connection, pool: Arc<Pool>) -> Self {
        Self {
            media_type: answer.headers_mut().remove(CONTENT_TYPE),
            incoming: answer.into_body(),
            connection: Some(connection),
            pool,
        }
    }

    /// Tells whether the bytes are of this media type.
    pub(crate) fn is(&self, media_type: &str) -> bool {
        self.media_type
            .as_ref()
            .is_some_and(|found| found.as_bytes() == media_type.as_bytes())
    }

    /// Returns the next bytes; None at the end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// `unavailable` where the connection breaks or the server falls silent before the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        match tokio::time::timeout(SILENCE, self.next()).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(broken(&format!("the connection to the server broke: {error}"))),
            Err(_) => Err(broken("the server has fallen silent in the middle of an answer")),
        }
    }

    /// Returns the next bytes, however long they take; None at the end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        let incoming = &mut self.incoming;
        let connection = &mut self.connection;
        let next = poll_fn(|cx| {
            if let Some(connection) = connection {
                connection.drive(cx);
            }
            loop {
                match Pin::new(&mut *incoming).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(bytes) if bytes.is_empty() => {}
                        Ok(bytes) => return Poll::Ready(Ok(Some(bytes))),
                        // Trailers say nothing that we want.
                        Err(_) => {}
                    },
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => return Poll::Ready(Ok(None)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await?;
        if next.is_none()
            && let Some(connection) = self.connection.take()
        {
            self.pool.put(connection);
        }
        Ok(next)
    }

    /// Reads the rest, at most `limit` bytes.
    pub(crate) async fn collect(mut self, limit: usize) -> Result<Bytes, Problem> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.chunk().await? {
            if whole.len() + bytes.len() > limit {
                return Err(Problem::new(
                    Code::Internal,
                    format!("the server's answer is longer than {limit} bytes"),
                ));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }
}

fn broken(detail: &str) -> Problem {
    Problem::new(Code::Unavailable, detail).hint("try again; `muster doctor` says how the server is")
}
