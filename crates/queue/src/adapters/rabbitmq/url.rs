//! From `amqp://` and `amqps://` URLs to settings. A URL may hold a password: nothing here quotes it.

use std::path::Path;
use std::time::Duration;

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};
use muster_model::ErrorKind;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::Error;

/// How often both sides say that they are there. Twice that is what a silent broker has.
const HEARTBEAT: u16 = 20;
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
const KNOWN: &str = "heartbeat (seconds), connection_timeout (milliseconds), cacertfile, certfile, keyfile, verify \
                     (verify_peer alone), auth_mechanism (plain or external)";

/// Where the broker is and who we are there. It holds a password: it has no `Debug`.
pub(super) struct Settings {
    pub(super) uri: AMQPUri,
    pub(super) tls: Option<RustlsConnector>,
    pub(super) connects_within: Duration,
}

impl Settings {
    /// Reads a URL, and the certificates that it names.
    pub(super) fn read(url: &str) -> Result<Self, Error> {
        let (url, query) = url.split_once('?').unwrap_or((url, ""));
        if url.contains('#') {
            return Err(invalid("it has a '#': in a password, write %23"));
        }
        let mut uri: AMQPUri = url
            .parse()
            .map_err(|_| invalid("it is not of the form amqp://user:password@host:port/vhost"))?;
        // Of hosts in brackets the library knows nothing.
        if let Some((_, rest)) = url.rsplit_once("@[").or_else(|| url.split_once("//[")) {
            let host = rest.split_once(']').map(|(host, _)| host.to_owned());
            uri.authority.host = host.ok_or_else(|| invalid("its address has no ']'"))?;
        }
        // A path that is a slash alone is the default, and not the virtual host without a name.
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        let over_tls = uri.scheme == AMQPScheme::AMQPS;
        let options = Options::read(query)?;
        if !over_tls && options.certificates.names_any() {
            return Err(invalid("certificates are for amqps:// alone"));
        }
        uri.query.heartbeat = Some(options.heartbeat);
        uri.query.auth_mechanism = Some(options.mechanism);
        let tls = if over_tls {
            Some(options.certificates.connector()?)
        } else {
            None
        };
        Ok(Self {
            uri,
            tls,
            connects_within: options.connects_within,
        })
    }

    /// Returns host and port, for messages.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }
}

/// What stands behind the question mark.
struct Options {
    heartbeat: u16,
    connects_within: Duration,
    mechanism: SASLMechanism,
    certificates: Certificates,
}

impl Options {
    fn read(query: &str) -> Result<Self, Error> {
        let mut options = Self {
            heartbeat: HEARTBEAT,
            connects_within: CONNECTION_TIMEOUT,
            mechanism: SASLMechanism::Plain,
            certificates: Certificates::default(),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value).ok_or_else(|| invalid(format!("{name} is not well encoded")))?;
            match name {
                "heartbeat" => {
                    let seconds = value.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
                    options.heartbeat = seconds.ok_or_else(|| invalid("heartbeat is 1 to 3600 seconds"))?;
                }
                "connection_timeout" => {
                    let millis = value.parse().ok().filter(|millis| (1..=600_000).contains(millis));
                    let millis =
                        millis.ok_or_else(|| invalid("connection_timeout is 1 to 600000 milliseconds"))?;
                    options.connects_within = Duration::from_millis(millis);
                }
                "cacertfile" => options.certificates.authority = Some(value),
                "certfile" => options.certificates.certificate = Some(value),
                "keyfile" => options.certificates.key = Some(value),
                "verify" if value == "verify_peer" => {}
                "verify" => {
                    return Err(invalid(
                        "the broker's certificate is always checked: verify=verify_peer, and cacertfile=FILE for an \
                         authority of your own",
                    ));
                }
                "auth_mechanism" => {
                    options.mechanism = match value.to_lowercase().as_str() {
                        "plain" => SASLMechanism::Plain,
                        "external" => SASLMechanism::External,
                        _ => return Err(invalid("auth_mechanism is plain or external")),
                    };
                }
                _ => return Err(invalid(format!("it takes {KNOWN}"))),
            }
        }
        Ok(options)
    }
}

/// Paths of PEM files.
#[derive(Default)]
struct Certificates {
    authority: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Certificates {
    fn names_any(&self) -> bool {
        self.authority.is_some() || self.certificate.is_some() || self.key.is_some()
    }

    /// Trusts the named authority and no other, or, where none is named, those of the system.
    fn connector(&self) -> Result<RustlsConnector, Error> {
        let cannot = |error| invalid("TLS cannot be set up").caused_by(error);
        let trusted = match &self.authority {
            Some(path) => RustlsConnectorConfig::default().with_parsable_certificates(certificates(path)?),
            None => RustlsConnectorConfig::new_with_native_certs().map_err(cannot)?,
        };
        match (&self.certificate, &self.key) {
            (None, None) => trusted.connector_with_no_client_auth().map_err(cannot),
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                let secret = PrivateKeyDer::from_pem_file(Path::new(key)).map_err(|error| {
                    invalid(format!(
                        "no private key in PEM form can be read from keyfile {key}"
                    ))
                    .caused_by(error)
                })?;
                trusted.connector_with_single_cert(chain, secret).map_err(cannot)
            }
            _ => Err(invalid("certfile and keyfile go together")),
        }
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = || format!("no certificate in PEM form can be read from {path}");
    let found = CertificateDer::pem_file_iter(Path::new(path))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| invalid(unreadable()).caused_by(error))?;
    if found.is_empty() {
        return Err(invalid(unreadable()));
    }
    Ok(found)
}

/// Undoes percent encoding.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn invalid(why: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("open the queue's URL: {why}; write amqp://user:password@host:5672/vhost"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_who_where_and_how() {
        let settings = Settings::read(
            "amqp://me:p%40ss@broker.example:5673/my%2fhost?heartbeat=7&connection_timeout=1500",
        );
        let settings = settings.ok().unwrap();
        let uri = settings.uri;
        assert_eq!(
            (
                uri.authority.host.as_str(),
                uri.authority.port,
                uri.vhost.as_str()
            ),
            ("broker.example", 5673, "my/host")
        );
        assert_eq!(uri.authority.userinfo.username, "me");
        assert!(uri.authority.userinfo.password == "p@ss");
        assert_eq!(uri.query.heartbeat, Some(7));
        assert_eq!(settings.connects_within, Duration::from_millis(1500));
        assert!(settings.tls.is_none());
    }

    #[test]
    fn defaults_are_rabbitmqs_own() {
        for (url, host, port, vhost) in [
            ("amqp://broker", "broker", 5672, "/"),
            ("amqp://broker/", "broker", 5672, "/"),
            ("amqp://broker/%2f", "broker", 5672, "/"),
            ("amqp://10.0.0.1/a", "10.0.0.1", 5672, "a"),
            ("amqp://[::1]:5674/a", "::1", 5674, "a"),
            ("amqp://me:x@[fe80::1]/a", "fe80::1", 5672, "a"),
        ] {
            let uri = Settings::read(url).ok().unwrap().uri;
            let found = (
                uri.authority.host.as_str(),
                uri.authority.port,
                uri.vhost.as_str(),
            );
            assert_eq!(found, (host, port, vhost), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_the_password_is_not() {
        for (url, part) in [
            ("amqp://me:hunter2@", "form"),
            ("amqp://me:hunter2@host:port/x", "form"),
            ("amqp://me:hunt#er2@host", "%23"),
            ("amqp://me:hunter2@host?heartbeat=0", "heartbeat"),
            (
                "amqp://me:hunter2@host?connection_timeout=soon",
                "connection_timeout",
            ),
            ("amqp://me:hunter2@host?colour=blue", "cacertfile"),
            ("amqp://me:hunter2@host?cacertfile=/x", "amqps://"),
            ("amqps://me:hunter2@host?verify=verify_none", "always checked"),
            (
                "amqps://me:hunter2@host?cacertfile=/nowhere/ca.pem",
                "/nowhere/ca.pem",
            ),
            ("amqps://me:hunter2@host?cacertfile=/dev/null", "/dev/null"),
            ("amqp://me:hunter2@host?auth_mechanism=magic", "plain or external"),
        ] {
            let error = Settings::read(url).err().unwrap();
            assert_eq!(error.kind, ErrorKind::Invalid, "{url}");
            assert!(error.operation.contains(part), "{url}: {}", error.operation);
            assert!(!format!("{error:?}").contains("hunter2"), "{url}");
        }
    }
}
