//! From a URL to the port.

use std::sync::Arc;

use muster_model::{ErrorKind, quantity};
use muster_runtime::Tasks;

use crate::adapters::embedded::{Embedded, Limits};
#[cfg(feature = "rabbitmq")]
use crate::adapters::rabbitmq::RabbitMq;
use crate::error::Error;
use crate::port::Queue;

/// Opens a queue.
///
/// - `memory:`, the queue inside this process; `memory:?limit=1GiB&messages=4000000` states its limits.
/// - `amqp://user:password@host:port/vhost`, RabbitMQ; `amqps://` over TLS, with
///   `?cacertfile=FILE&certfile=FILE&keyfile=FILE`. Also `heartbeat` (seconds) and `connection_timeout` (milliseconds).
///
/// `limit` bounds the memory of all queues together, `messages` the messages of each queue. What the
/// adapter does in the background runs in `tasks` and ends with its `work` token, or when the queue is
/// closed or dropped.
///
/// # Errors
///
/// `Invalid` for a URL that is not understood, `Unsupported` naming the feature that is missing. Of a broker that
/// cannot be used, what is wrong: `Unavailable` (not reached), `Denied` (user, password, certificate), `NotFound` (the
/// virtual host), `Unsupported` (too old, or no RabbitMQ).
pub async fn open(url: &str, tasks: &Tasks) -> Result<Arc<dyn Queue>, Error> {
    let (scheme, rest) = url.split_once(':').ok_or_else(|| invalid("it has no scheme"))?;
    match scheme {
        "memory" => Ok(Arc::new(Embedded::new(limits(rest)?, tasks))),
        #[cfg(feature = "rabbitmq")]
        "amqp" | "amqps" => Ok(Arc::new(RabbitMq::open(url, tasks).await?)),
        #[cfg(not(feature = "rabbitmq"))]
        "amqp" | "amqps" => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "open {scheme}: this build has no RabbitMQ adapter (feature 'rabbitmq'), 'memory:' is there"
            ),
        )),
        _ => Err(invalid("its scheme is unknown")),
    }
}

/// Returns the error of a URL that is not understood. It never quotes the URL, which may hold a password.
fn invalid(why: &str) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!(
            "open the queue's URL: {why}; write memory:, memory:?limit=1GiB&messages=4000000 or amqp://user:password@host:5672/vhost"
        ),
    )
}

fn limits(rest: &str) -> Result<Limits, Error> {
    let mut limits = Limits::default();
    let Some(query) = rest.strip_prefix('?') else {
        return if rest.is_empty() {
            Ok(limits)
        } else {
            Err(invalid("memory: takes no path"))
        };
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("limit", size)) => {
                limits.bytes =
                    quantity::size(size).map_err(|error| invalid("its limit is wrong").caused_by(error))?;
                if limits.bytes < Limits::LEAST_BYTES {
                    return Err(invalid("its limit is below 1MiB"));
                }
            }
            Some(("messages", count)) => {
                limits.messages = count
                    .parse()
                    .ok()
                    .filter(|count| *count > 0)
                    .ok_or_else(|| invalid("messages is no number above 0"))?;
            }
            _ => return Err(invalid("memory: takes limit and messages alone")),
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn kind(url: &str) -> Option<ErrorKind> {
        open(url, &Tasks::new()).await.err().map(|error| error.kind)
    }

    #[tokio::test]
    async fn urls_are_read_strictly() {
        assert_eq!(kind("memory:").await, None);
        assert_eq!(kind("memory:?limit=64MiB&messages=10").await, None);
        let with_a_word_too_many = "amqp://user:secret@host?colour=blue";
        let expected = if cfg!(feature = "rabbitmq") {
            ErrorKind::Invalid
        } else {
            ErrorKind::Unsupported
        };
        assert_eq!(kind(with_a_word_too_many).await, Some(expected));
        for url in [
            "",
            "memory",
            "memory:x",
            "memory:?limit=1",
            "memory:?limit=lots",
            "memory:?messages=0",
            "memory:?colour=blue",
            "redis://host",
        ] {
            assert_eq!(kind(url).await, Some(ErrorKind::Invalid), "{url}");
        }
    }

    #[tokio::test]
    async fn an_error_never_quotes_the_password_of_a_url() {
        for url in ["amqp://user:hunter2@host:port", "wrong://user:hunter2@host"] {
            let error = open(url, &Tasks::new()).await.err();
            assert!(
                error.is_some_and(|error| !format!("{error:?} {error}").contains("hunter2")),
                "{url}"
            );
        }
    }
}
