//! From a URL to the port.

use std::sync::Arc;

use muster_model::{ErrorKind, quantity};

use crate::adapters::embedded::Embedded;
use crate::error::Error;
use crate::port::Cache;

/// How much the embedded cache holds unless its URL says otherwise, in bytes.
const LIMIT: u64 = 64 << 20;
/// The smallest limit that a URL may state.
const LEAST: u64 = 1 << 20;

/// Opens `memory:` or `memory:?limit=64MiB`, the cache inside this process; a Redis by `redis://`, `rediss://`,
/// `redis+unix://`, `redis+sentinel://` or `redis+cluster://`; or `memcached://`.
///
/// A server that is away now is used when it is there: nothing depends on a cache. That is said in the log.
///
/// # Errors
///
/// `Invalid` for a URL that is not understood, `Unsupported` naming the feature that is missing. Of servers, what will
/// not pass by itself: `Denied` for a login, a permission or a certificate, `Unsupported` for a version.
pub async fn open(url: &str) -> Result<Arc<dyn Cache>, Error> {
    let (scheme, rest) = url.split_once(':').ok_or_else(|| invalid("it has no scheme"))?;
    match scheme {
        "memory" => Ok(Arc::new(Embedded::new(limit(rest)?))),
        #[cfg(feature = "memcached")]
        "memcached" => Ok(Arc::new(crate::adapters::memcached::Memcached::open(rest).await?)),
        #[cfg(feature = "redis")]
        _ if is_redis(scheme) => Ok(Arc::new(crate::adapters::redis::Redis::open(scheme, rest).await?)),
        _ if scheme == "memcached" || is_redis(scheme) => {
            let feature = if is_redis(scheme) { "redis" } else { "memcached" };
            Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "open {scheme}: it needs the feature '{feature}', without which this program was built; memory: is there"
                ),
            ))
        }
        _ => Err(invalid("its scheme is unknown")),
    }
}

/// Tells whether a scheme is one of Redis'.
fn is_redis(scheme: &str) -> bool {
    scheme == "redis" || scheme == "rediss" || scheme.starts_with("redis+") || scheme.starts_with("rediss+")
}

/// Returns the error of a URL that is not understood. It never quotes the URL, which may hold a password.
fn invalid(why: &str) -> Error {
    let right = "write memory: or memory:?limit=64MiB";
    Error::new(
        ErrorKind::Invalid,
        format!("open the cache's URL: {why}; {right}"),
    )
}

fn limit(rest: &str) -> Result<u64, Error> {
    let Some(query) = rest.strip_prefix('?') else {
        return if rest.is_empty() {
            Ok(LIMIT)
        } else {
            Err(invalid("memory: takes no path"))
        };
    };
    let mut limit = LIMIT;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some(("limit", size)) = pair.split_once('=') else {
            return Err(invalid("memory: takes limit alone"));
        };
        limit = quantity::size(size).map_err(|error| invalid("its limit is wrong").caused_by(error))?;
        if limit < LEAST {
            return Err(invalid("its limit is below 1MiB"));
        }
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a scheme like one of Redis' is without Redis, and with it.
    const UNKNOWN: ErrorKind = if cfg!(feature = "redis") {
        ErrorKind::Invalid
    } else {
        ErrorKind::Unsupported
    };

    #[tokio::test]
    async fn urls_are_read_strictly() {
        for (url, expected) in [
            ("memory:", None),
            ("memory:?limit=2MiB", None),
            #[cfg(not(feature = "redis"))]
            ("redis://user:hunter2@host", Some(ErrorKind::Unsupported)),
            #[cfg(not(feature = "memcached"))]
            ("memcached://host", Some(ErrorKind::Unsupported)),
            ("redis+other://user:hunter2@host", Some(UNKNOWN)),
            ("", Some(ErrorKind::Invalid)),
            ("memory", Some(ErrorKind::Invalid)),
            ("memory:x", Some(ErrorKind::Invalid)),
            ("memory:?limit=1", Some(ErrorKind::Invalid)),
            ("memory:?limit=lots", Some(ErrorKind::Invalid)),
            ("memory:?colour=blue", Some(ErrorKind::Invalid)),
            ("amqp://user:hunter2@host", Some(ErrorKind::Invalid)),
        ] {
            let error = open(url).await.err();
            assert_eq!(error.as_ref().map(|error| error.kind), expected, "{url}");
            assert!(!format!("{error:?}").contains("hunter2"), "{url}");
        }
    }
}
