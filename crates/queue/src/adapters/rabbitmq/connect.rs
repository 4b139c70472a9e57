//! From settings to a connection, with an end to every wait.

use std::io;

use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream};
use lapin::uri::AMQPScheme;
use lapin::{Connection, ConnectionProperties};
use muster_model::ErrorKind;
use muster_runtime::clock::deadline;

use super::errors::translate;
use super::hello;
use super::url::Settings;
use crate::error::Error;

/// What an error of TLS says where the other side refused.
const ALERT: &str = "received fatal alert";

/// Looks who is there.
pub(super) async fn greet(settings: &Settings) -> Result<hello::Server, Error> {
    let operation = || format!("connect to {}", settings.address());
    let greeting = async {
        let runtime = lapin::runtime::default_runtime().map_err(io::Error::other)?;
        let mut plain = settings.uri.clone();
        plain.scheme = AMQPScheme::AMQP;
        let mut stream = plain.connect_async(&runtime).await?;
        if let Some(connector) = &settings.tls {
            stream = stream
                .into_rustls(connector, &settings.uri.authority.host)
                .await?;
        }
        let answer = hello::ask(&mut stream).await;
        if settings.tls.is_some() {
            after_tls(answer)
        } else {
            answer
        }
    };
    match deadline(settings.connects_within, greeting).await {
        Ok(Ok(Ok(server))) => Ok(server),
        Ok(Ok(Err((kind, why)))) => Err(Error::new(kind, format!("{}: {why}", operation()))),
        Ok(Err(error)) => Err(unreachable(operation(), error)),
        Err(_) => Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "{}: no answer within {:?}: is RabbitMQ there?",
                operation(),
                settings.connects_within
            ),
        )),
    }
}

/// In TLS 1.3 a server judges our certificate when we believe the handshake done; its alert may come too late to be
/// read, and all that is seen is that it hangs up.
fn after_tls(
    answer: io::Result<Result<hello::Server, hello::Refusal>>,
) -> io::Result<Result<hello::Server, hello::Refusal>> {
    let broke_off =
        "the broker broke off the TLS connection: it may want a certificate, ?certfile=FILE&keyfile=FILE";
    match answer {
        Ok(Err((ErrorKind::Unavailable, _))) => Ok(Err((ErrorKind::Unavailable, broke_off.to_owned()))),
        Err(error) if !error.to_string().contains(ALERT) => {
            Ok(Err((ErrorKind::Unavailable, format!("{broke_off} ({error})"))))
        }
        other => other,
    }
}

/// Says why nobody was reached.
fn unreachable(operation: String, error: io::Error) -> Error {
    let text = error.to_string();
    let (kind, why) = if text.contains("UnknownIssuer") || text.contains("invalid peer certificate") {
        (
            ErrorKind::Denied,
            "the broker's certificate is not trusted: name its authority with ?cacertfile=FILE, and the host as the \
             certificate has it",
        )
    } else if text.contains("InvalidContentType") || text.contains("corrupt message") {
        (
            ErrorKind::Invalid,
            "this port does not speak TLS: RabbitMQ's for amqps:// is 5671",
        )
    } else if text.contains(ALERT) {
        (
            ErrorKind::Denied,
            "the broker refuses the TLS connection: it may want a certificate, ?certfile=FILE&keyfile=FILE",
        )
    } else {
        (
            ErrorKind::Unavailable,
            "it cannot be reached: look at the host and the port, and whether RabbitMQ runs and listens there",
        )
    };
    Error::new(kind, format!("{operation}: {why}")).caused_by(error)
}

/// Opens a connection that calls itself `name` in RabbitMQ's lists.
pub(super) async fn connect(settings: &Settings, name: &str) -> Result<Connection, Error> {
    let operation = || {
        format!(
            "connect to {} as '{}' to the virtual host '{}'",
            settings.address(),
            settings.uri.authority.userinfo.username,
            settings.uri.vhost
        )
    };
    let runtime = lapin::runtime::default_runtime().map_err(|error| translate(operation(), "", error))?;
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let (tls, within) = (settings.tls.clone(), settings.connects_within);
    let opening = Connection::connector(
        settings.uri.clone(),
        runtime,
        async move |mut uri, runtime| {
            let host = uri.authority.host.clone();
            uri.scheme = AMQPScheme::AMQP;
            let reach = async {
                let stream: AsyncTcpStream<_> = uri.connect_async(&runtime).await?;
                match &tls {
                    Some(connector) => stream.into_rustls(connector, &host).await,
                    None => Ok(stream),
                }
            };
            // The library waits on a thread of its own, which outlives our patience: it has an end of its own.
            match deadline(within, reach).await {
                Ok(stream) => Ok(stream?),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        },
        properties,
    );
    match deadline(settings.connects_within, opening).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => match error.kind() {
            lapin::ErrorKind::IOError(inner) if inner.kind() != io::ErrorKind::ConnectionAborted => {
                let inner = io::Error::new(inner.kind(), inner.to_string());
                Err(unreachable(operation(), inner))
            }
            _ => Err(translate(operation(), "", error)),
        },
        Err(_) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("{}: no answer within {:?}", operation(), settings.connects_within),
        )),
    }
}
