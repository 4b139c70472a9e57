//! What a Redis URL says.

use std::path::PathBuf;
use std::time::Duration;

use muster_model::{ErrorKind, Secret, quantity};
use redis::io::tcp::{TcpSettings, socket2};
use redis::{
    ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisResult,
    TlsCertificates,
};

use crate::address::{self, Address};
use crate::error::Error;

/// How long a call may take, connecting included, unless the URL says otherwise.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long an idle subscription may be cut off from its server before it notices.
const ALIVE: Duration = Duration::from_secs(15);
const FORM: &str = "write redis://user:password@host:port/database?prefix=muster:, rediss:// for TLS, \
    redis+unix:///path/to/socket, redis+sentinel://host:port,host:port/service/database or redis+cluster://host:port,host:port";

/// How the server or servers stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    One,
    Unix(PathBuf),
    /// The name of the service that the Sentinels watch.
    Sentinel(String),
    Cluster,
}

/// What a URL says.
pub(super) struct Settings {
    pub(super) kind: Kind,
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) is_tls: bool,
    pub(super) user: Option<String>,
    password: Option<Secret>,
    pub(super) sentinel_user: Option<String>,
    sentinel_password: Option<Secret>,
    pub(super) database: i64,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    certificates: Option<TlsCertificates>,
}

impl Settings {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// `Invalid`, which says what is wrong and never quotes the URL.
    pub(super) fn parse(scheme: &str, rest: &str) -> Result<Self, Error> {
        let is_sentinel = scheme.ends_with("+sentinel");
        let address = match (scheme, rest.strip_prefix("///")) {
            // A socket has no host.
            ("redis+unix", Some(path)) => address::parse(&format!("//localhost/{path}"), 1),
            ("redis+unix", None) => {
                return Err(invalid(
                    "redis+unix:// is followed by the path of a socket from /",
                ));
            }
            _ => address::parse(rest, if is_sentinel { 26379 } else { 6379 }),
        };
        let Address {
            user,
            password,
            hosts,
            path,
            query,
        } = address.map_err(|why| invalid(&why))?;
        let (kind, database) = kind(scheme, &hosts, &path)?;
        if scheme.starts_with("rediss") {
            // The library takes the process's own, and leaves it open which. It fails where there is one already.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let mut settings = Self {
            kind,
            hosts,
            is_tls: scheme.starts_with("rediss"),
            user,
            password: password.map(Secret::new),
            sentinel_user: None,
            sentinel_password: None,
            database: 0,
            prefix: "muster:".to_owned(),
            timeout: TIMEOUT,
            certificates: None,
        };
        settings.set_database(database)?;
        settings.read_query(query)?;
        if settings.user.is_some() && settings.password.is_none() {
            return Err(invalid("a user has a password: user:password@"));
        }
        if settings.kind == Kind::Cluster && settings.database != 0 {
            return Err(invalid("a cluster has one database, 0"));
        }
        Ok(settings)
    }

    fn set_database(&mut self, text: Option<&str>) -> Result<(), Error> {
        let Some(text) = text else { return Ok(()) };
        let number = text.parse().ok().filter(|number| *number >= 0);
        self.database = number.ok_or_else(|| invalid("the database is no number"))?;
        Ok(())
    }

    fn read_query(&mut self, query: Vec<(String, String)>) -> Result<(), Error> {
        let mut files: [Option<String>; 3] = [None, None, None];
        for (name, value) in query {
            match name.as_str() {
                "prefix" => {
                    let is_right = value.len() <= 100
                        && !value
                            .chars()
                            .any(|letter| letter.is_whitespace() || letter.is_control());
                    if !is_right {
                        return Err(invalid(
                            "a prefix has at most 100 bytes, no spaces and no control characters",
                        ));
                    }
                    self.prefix = value;
                }
                "timeout" => {
                    self.timeout = quantity::duration(&value)
                        .map_err(|error| invalid("its timeout is wrong").caused_by(error))?;
                }
                "db" => self.set_database(Some(&value))?,
                "user" => self.user = Some(value),
                "password" => self.password = Some(Secret::new(value)),
                "sentinel_user" => self.sentinel_user = Some(value),
                "sentinel_password" => self.sentinel_password = Some(Secret::new(value)),
                "ca" => files[0] = Some(value),
                "cert" => files[1] = Some(value),
                "key" => files[2] = Some(value),
                _ => {
                    let known = "it takes prefix, timeout, db, user, password, ca, cert, key, sentinel_user and sentinel_password";
                    return Err(invalid(&format!("a parameter is not known: {known}")));
                }
            }
        }
        self.read_certificates(files)
    }

    fn read_certificates(&mut self, [ca, cert, key]: [Option<String>; 3]) -> Result<(), Error> {
        if ca.is_none() && cert.is_none() && key.is_none() {
            return Ok(());
        }
        if !self.is_tls {
            return Err(invalid(
                "ca, cert and key are for TLS: the scheme begins with rediss",
            ));
        }
        let client_tls = match (cert, key) {
            (Some(cert), Some(key)) => Some(ClientTlsConfig {
                client_cert: read(&cert)?,
                client_key: read(&key)?,
            }),
            (None, None) => None,
            _ => return Err(invalid("cert and key go together")),
        };
        let root_cert = ca.map(|ca| read(&ca)).transpose()?;
        let certificates = TlsCertificates {
            client_tls,
            root_cert,
        };
        // Built once for nothing, so that a wrong file is said now.
        let probe = ConnectionAddr::TcpTls {
            host: "localhost".to_owned(),
            port: 1,
            insecure: false,
            tls_params: None,
        };
        redis::Client::build_with_tls(probe, certificates.clone())
            .map_err(|error| invalid("ca, cert or key is no PEM file that can be used").caused_by(error))?;
        self.certificates = Some(certificates);
        Ok(())
    }

    /// Returns what the server is called in the log and in errors.
    pub(super) fn name(&self) -> String {
        let hosts: Vec<String> = self
            .hosts
            .iter()
            .map(|(host, port)| format!("{host}:{port}"))
            .collect();
        let hosts = hosts.join(",");
        match &self.kind {
            Kind::One => format!("Redis at {hosts}"),
            Kind::Unix(path) => format!("Redis at {}", path.display()),
            Kind::Sentinel(service) => format!("Redis '{service}' of Sentinel at {hosts}"),
            Kind::Cluster => format!("Redis Cluster at {hosts}"),
        }
    }

    /// Returns the addresses that the URL names.
    pub(super) fn addresses(&self) -> Vec<ConnectionAddr> {
        if let Kind::Unix(path) = &self.kind {
            return vec![ConnectionAddr::Unix(path.clone())];
        }
        let address = |(host, port): &(String, u16)| {
            if self.is_tls {
                ConnectionAddr::TcpTls {
                    host: host.clone(),
                    port: *port,
                    insecure: false,
                    tls_params: None,
                }
            } else {
                ConnectionAddr::Tcp(host.clone(), *port)
            }
        };
        self.hosts.iter().map(address).collect()
    }

    /// Returns how one of the addresses is reached.
    pub(super) fn connection(&self, address: ConnectionAddr) -> RedisResult<ConnectionInfo> {
        Ok(address
            .into_connection_info()?
            .set_tcp_settings(Self::tcp())
            .set_redis_settings(self.login()))
    }

    /// Returns who logs in where.
    fn login(&self) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default()
            .set_db(self.database)
            // One command less that a user has to be allowed.
            .set_skip_set_lib_name();
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = self.password() {
            login = login.set_password(password);
        }
        login
    }

    pub(super) fn tcp() -> TcpSettings {
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(ALIVE)
            .with_interval(ALIVE / 3);
        TcpSettings::default().set_nodelay(true).set_keepalive(keepalive)
    }

    pub(super) fn password(&self) -> Option<&str> {
        self.password.as_ref().map(Secret::expose)
    }

    pub(super) fn sentinel_password(&self) -> Option<&str> {
        self.sentinel_password.as_ref().map(Secret::expose)
    }

    pub(super) fn certificates(&self) -> Option<&TlsCertificates> {
        self.certificates.as_ref()
    }
}

/// Returns how the servers stand, and the database where the path names one.
fn kind<'a>(
    scheme: &str,
    hosts: &[(String, u16)],
    path: &'a [String],
) -> Result<(Kind, Option<&'a str>), Error> {
    let several = hosts.len() > 1;
    match (scheme, path) {
        ("redis+unix", []) => Err(invalid(
            "redis+unix:// is followed by the path of a socket from /",
        )),
        ("redis+unix", path) => Ok((Kind::Unix(format!("/{}", path.join("/")).into()), None)),
        ("redis" | "rediss", _) if several => Err(invalid(
            "it names several servers: write redis+cluster:// or redis+sentinel://",
        )),
        ("redis" | "rediss", []) => Ok((Kind::One, None)),
        ("redis" | "rediss", [database]) => Ok((Kind::One, Some(database))),
        ("redis+cluster" | "rediss+cluster", []) => Ok((Kind::Cluster, None)),
        ("redis+cluster" | "rediss+cluster", [database]) => Ok((Kind::Cluster, Some(database))),
        ("redis+sentinel" | "rediss+sentinel", [service]) => Ok((Kind::Sentinel(service.clone()), None)),
        ("redis+sentinel" | "rediss+sentinel", [service, database]) => {
            Ok((Kind::Sentinel(service.clone()), Some(database)))
        }
        ("redis+sentinel" | "rediss+sentinel", []) => Err(invalid(
            "the name of the service that Sentinel watches follows the hosts, as in /mymaster",
        )),
        (
            "redis" | "rediss" | "redis+cluster" | "rediss+cluster" | "redis+sentinel" | "rediss+sentinel",
            _,
        ) => Err(invalid("its path has too many parts")),
        _ => Err(invalid("its scheme is unknown")),
    }
}

fn read(path: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::Invalid,
        };
        Error::new(kind, format!("open the cache: read {path}")).caused_by(error)
    })
}

/// Returns the error of a URL that is not understood. It never quotes the URL, which may hold a password.
fn invalid(why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("open the cache's URL: {why}; {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Settings, Error> {
        let (scheme, rest) = url.split_once(':').expect("a scheme");
        Settings::parse(scheme, rest)
    }

    #[test]
    fn each_form_of_the_url_is_read() {
        let settings = parse("redis://me:a%2Fb@host/3?prefix=x.&timeout=500ms").expect("right");
        assert_eq!((settings.kind.clone(), settings.database), (Kind::One, 3));
        assert_eq!(
            (settings.prefix.as_str(), settings.password()),
            ("x.", Some("a/b"))
        );
        assert_eq!(settings.timeout, Duration::from_millis(500));
        assert_eq!(settings.name(), "Redis at host:6379");
        let settings = parse("redis+unix:///run/redis/s.sock?db=2&password=p").expect("right");
        assert_eq!(settings.kind, Kind::Unix("/run/redis/s.sock".into()));
        assert_eq!((settings.database, settings.password()), (2, Some("p")));
        let settings = parse("redis+sentinel://:p@a,b:1/main/4?sentinel_password=q").expect("right");
        assert_eq!(settings.kind, Kind::Sentinel("main".to_owned()));
        assert_eq!((settings.database, settings.sentinel_password()), (4, Some("q")));
        assert_eq!(settings.name(), "Redis 'main' of Sentinel at a:26379,b:1");
        let settings = parse("rediss+cluster://a,b").expect("right");
        assert!(settings.is_tls && settings.kind == Kind::Cluster && settings.prefix == "muster:");
    }

    #[test]
    fn what_is_wrong_in_a_url_is_said_and_no_password_is() {
        for (url, why) in [
            ("redis://u:hunter2@a,b", "redis+cluster://"),
            ("redis://u:hunter2@a/b", "the database is no number"),
            ("redis://u:hunter2@a/-1", "the database is no number"),
            ("redis://u:hunter2@a/1/2", "too many parts"),
            ("redis://u@a", "a user has a password"),
            ("redis://u:hunter2@a?colour=hunter2", "it takes prefix, timeout"),
            ("redis://u:hunter2@a?prefix=a%20b", "a prefix has"),
            ("redis://u:hunter2@a?timeout=0", "its timeout is wrong"),
            ("redis://u:hunter2@a?ca=/x", "begins with rediss"),
            ("rediss://u:hunter2@a?cert=/x", "cert and key go together"),
            ("rediss://u:hunter2@a?ca=/no/such/file", "read /no/such/file"),
            ("redis+sentinel://u:hunter2@a", "the name of the service"),
            ("redis+cluster://u:hunter2@a/1", "a cluster has one database"),
            ("redis+unix://u:hunter2@a/x", "the path of a socket"),
            ("redis+other://u:hunter2@a/x", "its scheme is unknown"),
        ] {
            let error = parse(url).err().expect(url);
            assert!(error.operation.contains(why), "{url}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{url}");
        }
    }
}
