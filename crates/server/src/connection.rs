//! One connection: HTTP/1.1 from its first byte to its last.

use std::convert::Infallible;
use std::error::Error;
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
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use crate::listener::{Peer, Stream};

/// How long the headers of a request may take, and how long a connection may wait for its next request.
const HEADERS: Duration = Duration::from_secs(30);
/// The most bytes of headers.
const HEADER_BYTES: usize = 64 * 1024;
/// How long a client may take nothing of what is ready for it. A connection is one of a thousand, and a follower holds what
/// it follows: whoever has stalled comes back when it can, with the id of the last event that it saw.
const STALLED: Duration = Duration::from_secs(60);
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
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALLED));
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
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
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
        if has_stalled(&error) {
            tracing::warn!(
                "a client took nothing for {} s: its connection is closed, and it may go on where it was",
                STALLED.as_secs()
            );
            return;
        }
        // Clients go whenever they like, in the middle of an answer too.
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(router: Router, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    router.oneshot(request).await
}

fn has_stalled(error: &hyper::Error) -> bool {
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use muster_runtime::Tasks;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::oneshot;

    use super::*;

    const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";

    /// A connection on which something was asked that has a long answer, and what tells when it has ended.
    async fn asked() -> (DuplexStream, oneshot::Receiver<()>) {
        let (mut client, server) = duplex(1024);
        let life = Life {
            peer: Peer::Unknown,
            router: Router::new().route("/", get(|| async { vec![b'x'; 100_000] })),
            closing: CancellationToken::new(),
            work: CancellationToken::new(),
        };
        let (tell, ended) = oneshot::channel();
        Tasks::new().spawn("a connection", async move {
            speak(server, life).await;
            let _ = tell.send(());
        });
        client.write_all(QUESTION).await.expect("it is asked");
        (client, ended)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_let_go_and_its_connection_with_it() {
        let (_client, ended) = asked().await;
        let begun = clock::monotonic();
        ended.await.expect("the end");
        let took = clock::monotonic().saturating_sub(begun);
        assert!(took >= STALLED && took < STALLED * 2, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_little_at_a_time_has_all_the_time_it_needs() {
        let (mut client, ended) = asked().await;
        let mut taken = 0;
        let mut some = [0; 512];
        loop {
            let count = client.read(&mut some).await.expect("the answer");
            if count == 0 {
                break;
            }
            taken += count;
            clock::sleep(STALLED / 2).await;
        }
        assert!(taken > 100_000, "{taken}");
        ended.await.expect("the end");
    }
}
