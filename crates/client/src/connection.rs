//! One HTTP/1.1 connection, driven by whoever waits on it: nothing is spawned.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Address;
use crate::trust::{Fingerprint, Trust};

/// How long opening a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing was sent.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The server's certificate is not one that is trusted: nothing was sent.
    #[error("its certificate is not trusted")]
    Untrusted {
        shown: Fingerprint,
        #[source]
        error: io::Error,
    },
    /// The connection had been closed before the request was sent: nothing was sent.
    #[error("the connection was closed")]
    Unsent,
    /// The connection broke; the request may have been carried out.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    /// No answer in time; the request may have been carried out.
    #[error("no answer in time")]
    Timeout,
}

/// The connection's own work (reading, writing) until it ends.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// None once the connection has ended.
    driver: Option<Driver>,
}

async fn secured(stream: TcpStream, host: &str, trust: &Trust) -> Result<TlsStream<TcpStream>, Failure> {
    let failed = |why: String| Failure::Connect(io::Error::other(why));
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    let (config, refused) = trust.config().map_err(failed)?;
    let secured = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    secured.map_err(|error| match refused.take() {
        Some(shown) => Failure::Untrusted { shown, error },
        None => Failure::Connect(error),
    })
}

impl Connection {
    pub(crate) async fn open(address: &Address) -> Result<Self, Failure> {
        let opening = async {
            match address {
                Address::Unix(path) => {
                    let stream = UnixStream::connect(path).await.map_err(Failure::Connect)?;
                    Self::start(TokioIo::new(stream)).await
                }
                Address::Tcp { address, .. } => {
                    let stream = TcpStream::connect(address).await.map_err(Failure::Connect)?;
                    stream.set_nodelay(true).map_err(Failure::Connect)?;
                    Self::start(TokioIo::new(stream)).await
                }
                Address::Tls {
                    host, port, trust, ..
                } => {
                    let stream = TcpStream::connect((host.as_str(), *port))
                        .await
                        .map_err(Failure::Connect)?;
                    stream.set_nodelay(true).map_err(Failure::Connect)?;
                    let stream = secured(stream, host, trust).await?;
                    Self::start(TokioIo::new(stream)).await
                }
            }
        };
        tokio::time::timeout(CONNECT, opening)
            .await
            .unwrap_or_else(|_| Err(Failure::Connect(io::ErrorKind::TimedOut.into())))
    }

    async fn start<T>(stream: T) -> Result<Self, Failure>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .handshake(stream)
            .await
            .map_err(|error| Failure::Connect(io::Error::other(error)))?;
        let driver: Driver = Box::pin(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the server ended");
            }
        });
        Ok(Self {
            sender,
            driver: Some(driver),
        })
    }

    /// Moves the connection's own work on.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(cx).is_ready()
        {
            self.driver = None;
        }
    }

    /// Tells whether another request can be sent, after looking once whether the peer has closed it.
    pub(crate) async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        })
        .await;
        self.driver.is_some() && !self.sender.is_closed()
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let exchange = async {
            poll_fn(|cx| {
                self.drive(cx);
                self.sender.poll_ready(cx)
            })
            .await
            .map_err(|_| Failure::Unsent)?;
            let mut answer = pin!(self.sender.try_send_request(request));
            let driver = &mut self.driver;
            poll_fn(|cx| {
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(answer);
                }
                if let Some(work) = driver
                    && work.as_mut().poll(cx).is_ready()
                {
                    *driver = None;
                }
                // The work above may have brought the answer, or the end of hope for one.
                answer.as_mut().poll(cx)
            })
            .await
            .map_err(|mut error| match error.take_message() {
                Some(_) => Failure::Unsent,
                None => Failure::Broken(error.into_error()),
            })
        };
        tokio::time::timeout(limit, exchange)
            .await
            .unwrap_or(Err(Failure::Timeout))
    }
}
