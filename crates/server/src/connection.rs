//! One connection: HTTP/1.1 from its first byte to its last.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use muster_runtime::{CancellationToken, clock};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt;

use crate::listener::{Peer, Stream};

/// How long the headers of a request may take, and how long a connection may wait for its next request.
const HEADERS: Duration = Duration::from_secs(30);
/// The most bytes of headers.
const HEADER_BYTES: usize = 64 * 1024;
/// How long a client that has connected has to ask its first question when the server stops listening.
const FIRST_QUESTION: Duration = Duration::from_secs(1);
/// How long answers in hand have when the process leaves.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a connection lives by.
pub(crate) struct Life {
    pub(crate) peer: Peer,
    pub(crate) router: Router,
    /// Cancelled when the answer in hand is to be the last.
    pub(crate) closing: CancellationToken,
    /// Cancelled when the process leaves.
    pub(crate) work: CancellationToken,
}

/// Serves a connection to its end.
pub(crate) async fn serve(stream: Stream, life: Life) {
    match stream {
        Stream::Unix(stream) => speak(stream, life).await,
        Stream::Tcp(stream) => speak(stream, life).await,
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, life: Life) {
    let Life {
        peer,
        router,
        closing,
        work,
    } = life;
    let asked = CancellationToken::new();
    let asks = asked.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        asks.cancel();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        answer(router.clone(), request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let last_question = async {
        closing.cancelled().await;
        let _ = clock::deadline(FIRST_QUESTION, asked.cancelled()).await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = last_question => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            let last_words = async {
                work.cancelled().await;
                clock::sleep(FAREWELL).await;
            };
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = last_words => return,
            }
        }
    };
    if let Err(error) = ended {
        // Clients go whenever they like, in the middle of an answer too.
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(router: Router, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    router.oneshot(request).await
}
