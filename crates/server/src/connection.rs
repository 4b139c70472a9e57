//! One connection, from its first byte to its last: HTTP/1.1, and over TLS HTTP/2 where the client asks for it (ALPN).

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use muster_runtime::{CancellationToken, Tasks, clock};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::listener::{Peer, Stream};

/// How long the headers of a request may take, and how long a connection may wait for its next request.
const HEADERS: Duration = Duration::from_secs(30);
/// The most bytes of headers.
const HEADER_BYTES: usize = 64 * 1024;
/// How long a client that the system does not vouch for may be connected before one of its requests is let in: whoever
/// has no token holds none of the connections for longer, whatever it says or does not say meanwhile.
const GRACE: Duration = Duration::from_secs(30);
/// How long the two sides may take to agree on how they are secured.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// At most so many requests at a time on one connection of HTTP/2: a browser asks for a page and what is on it.
const STREAMS: u32 = 64;
/// A connection of HTTP/2 is asked for a sign of life after so much silence. It has as long for that as for taking anything:
/// what it was sent before stands in its way.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long a client may take nothing of what is ready for it. A connection is one of a thousand, and a follower holds what
/// it follows: whoever has stalled comes back when it can, with the id of the last event that it saw.
const STALLED: Duration = Duration::from_secs(60);
/// How long a client that has connected has to ask its first question when the server stops listening.
const FIRST_QUESTION: Duration = Duration::from_secs(1);
/// How long answers in hand have when the process leaves.
const FAREWELL: Duration = Duration::from_secs(2);

/// Told when a request of a connection has been let in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entered(CancellationToken);

impl Entered {
    pub(crate) fn tell(&self) {
        self.0.cancel();
    }
}

/// What a connection lives by.
pub(crate) struct Life {
    pub(crate) peer: Peer,
    pub(crate) router: Router,
    /// How a connection is secured that is to be.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Where the requests of a connection of HTTP/2 are answered beside each other.
    pub(crate) tasks: Tasks,
    /// Cancelled when the answer in hand is to be the last.
    pub(crate) closing: CancellationToken,
    /// Cancelled when the process leaves.
    pub(crate) work: CancellationToken,
}

/// Serves a connection to its end.
pub(crate) async fn serve(stream: Stream, life: Life) {
    match stream {
        Stream::Unix(stream) => speak(bounded(stream), false, life).await,
        Stream::Tcp(stream) => speak(bounded(stream), false, life).await,
        Stream::Tls(stream) => {
            let Some(config) = life.tls.clone() else { return };
            let accepting = TlsAcceptor::from(config).accept(bounded(stream));
            let secured = tokio::select! {
                secured = clock::deadline(HANDSHAKE, accepting) => secured,
                () = life.work.cancelled() => return,
            };
            let stream = match secured {
                Ok(Ok(stream)) => stream,
                // Whoever scans a port, or does not trust the certificate.
                Ok(Err(error)) => return tracing::debug!(%error, "a connection could not be secured"),
                Err(clock::Elapsed) => {
                    return tracing::debug!("a client did not secure its connection in time");
                }
            };
            let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            speak(stream, two, life).await;
        }
    }
}

/// Returns a stream on which nobody can keep this side waiting for long with what it has to say.
fn bounded<S: AsyncRead + AsyncWrite>(stream: S) -> Pin<Box<TimeoutStream<S>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALLED));
    Box::pin(stream)
}

/// A connection of either version of HTTP.
trait Spoken: Future<Output = hyper::Result<()>> {
    /// Lets the answers in hand be the last.
    fn end(self: Pin<&mut Self>);
}

impl<T, S> Spoken for http1::Connection<T, S>
where
    Self: Future<Output = hyper::Result<()>>,
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<T, S> Spoken for http2::Connection<T, S, Beside>
where
    Self: Future<Output = hyper::Result<()>>,
    T: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    Beside: hyper::rt::bounds::Http2ServerConnExec<S::Future, Body>,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Answers requests of one connection beside each other.
#[derive(Clone)]
struct Beside(Tasks);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Beside {
    fn execute(&self, answer: F) {
        self.0.spawn("answer", answer);
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, two: bool, life: Life) {
    let Life {
        peer,
        router,
        tls: _,
        tasks,
        closing,
        work,
    } = life;
    let asked = CancellationToken::new();
    let asks = asked.clone();
    let entered = Entered::default();
    let enters = entered.clone();
    let is_vouched_for = matches!(peer, Peer::User(_) | Peer::Stranger(_));
    let service = service_fn(move |request: Request<Incoming>| {
        asks.cancel();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        request.extensions_mut().insert(enters.clone());
        answer(router.clone(), request)
    });
    let stream = TokioIo::new(stream);
    let mut connection: Pin<Box<dyn Spoken + Send>> = if two {
        Box::pin(
            http2::Builder::new(Beside(tasks))
                .timer(TokioTimer::new())
                .max_header_list_size(HEADER_BYTES as u32)
                .max_concurrent_streams(STREAMS)
                .keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(STALLED)
                .serve_connection(stream, service),
        )
    } else {
        Box::pin(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS)
                .max_buf_size(HEADER_BYTES)
                .serve_connection(stream, service),
        )
    };
    let last_question = async {
        closing.cancelled().await;
        let _ = clock::deadline(FIRST_QUESTION, asked.cancelled()).await;
    };
    let outstays = async {
        let in_time = clock::deadline(GRACE, entered.0.cancelled()).await;
        if is_vouched_for || in_time.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = last_question => None,
        () = outstays => {
            tracing::debug!("a client that was let in by nothing it said is let go");
            return;
        }
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().end();
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
    use axum::Extension;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::oneshot;

    use super::*;

    const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";

    /// A connection to addresses of which one lets in and has a long answer, and what tells when it has ended.
    fn connected(two: bool) -> (DuplexStream, oneshot::Receiver<()>) {
        let (client, server) = duplex(1024);
        let long = async |Extension(entered): Extension<Entered>| {
            entered.tell();
            vec![b'x'; 100_000]
        };
        let life = Life {
            peer: Peer::Far,
            router: Router::new()
                .route("/", get(long))
                .route("/outside", get(async || "no")),
            tls: None,
            tasks: Tasks::new(),
            closing: CancellationToken::new(),
            work: CancellationToken::new(),
        };
        let (tell, ended) = oneshot::channel();
        Tasks::new().spawn("a connection", async move {
            speak(bounded(server), two, life).await;
            let _ = tell.send(());
        });
        (client, ended)
    }

    async fn asked() -> (DuplexStream, oneshot::Receiver<()>) {
        let (mut client, ended) = connected(false);
        client.write_all(QUESTION).await.expect("it is asked");
        (client, ended)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_not_let_in_is_let_go() {
        // One that does not even say which protocol it speaks.
        let begun = clock::monotonic();
        let (_silent, ended) = connected(true);
        ended.await.expect("the end");
        assert_eq!(clock::monotonic().saturating_sub(begun), GRACE);

        // One that agrees on everything and asks for nothing.
        let (client, ended) = connected(true);
        let polite =
            hyper::client::conn::http2::handshake::<_, _, Body>(Beside(Tasks::new()), TokioIo::new(client));
        let (_asks, connection) = polite.await.expect("HTTP/2");
        let begun = clock::monotonic();
        let _ = connection.await;
        ended.await.expect("the end");
        assert!(clock::monotonic().saturating_sub(begun) <= GRACE);

        // One that asks again and again for what is for everybody.
        let (mut client, mut ended) = connected(false);
        let begun = clock::monotonic();
        loop {
            let question = b"GET /outside HTTP/1.1\r\nhost: here\r\n\r\n";
            let mut some = [0; 512];
            let talk = async {
                client.write_all(question).await?;
                client.read(&mut some).await
            };
            tokio::select! {
                biased;
                _ = &mut ended => break,
                said = talk => {
                    if said.is_ok_and(|count| count > 0) {
                        clock::sleep(Duration::from_secs(5)).await;
                    }
                }
            }
        }
        let took = clock::monotonic().saturating_sub(begun);
        assert!(took >= GRACE && took < GRACE * 2, "{took:?}");
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
