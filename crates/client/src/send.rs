//! Sending: one request over a connection that is there or a new one, again where that is harmless.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use muster_model::Problem;
use muster_model::problem::Code;
use muster_model::trace::HEADER;
use muster_model::wire::{PROTOCOL, PROTOCOL_HEADER, VERSION_HEADER};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::Download;
use crate::connection::{Connection, Failure};
use crate::{Address, Client};

/// How long the server may think about an answer. A submit of a million hosts takes a while.
const ANSWER: Duration = Duration::from_mins(2);
/// The longest answer that is read whole: an inventory of a million hosts fits.
const ANSWER_BYTES: usize = 512 * 1024 * 1024;
/// The longest problem that is read.
const PROBLEM_BYTES: usize = 1024 * 1024;
/// How many connections wait for the next request.
const IDLE: usize = 4;

/// Where the server is, and the connections to it that wait for the next request.
pub(crate) struct Pool {
    state: Mutex<State>,
}

struct State {
    address: Address,
    /// Where else a server is that does as well; the next one to be tried first.
    others: VecDeque<Address>,
    idle: Vec<Connection>,
}

impl Pool {
    /// Returns a pool without connections yet.
    pub(crate) fn new(address: Address, others: Vec<Address>) -> Self {
        Self {
            state: Mutex::new(State {
                address,
                others: others.into(),
                idle: Vec::new(),
            }),
        }
    }

    /// Returns where the server is.
    pub(crate) fn address(&self) -> Address {
        self.lock().address.clone()
    }

    /// Returns how many servers there are.
    fn servers(&self) -> u32 {
        u32::try_from(self.lock().others.len() + 1).unwrap_or(u32::MAX)
    }

    /// Goes on to the next server, where the one in use is `from` still.
    fn turn_from(&self, from: &Address) {
        let mut state = self.lock();
        if state.address != *from {
            return;
        }
        if let Some(next) = state.others.pop_front() {
            let last = std::mem::replace(&mut state.address, next);
            state.others.push_back(last);
            state.idle.clear();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing under the lock can leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, connection: Connection) {
        let mut state = self.lock();
        if state.idle.len() < IDLE {
            state.idle.push(connection);
        }
    }
}

/// What may be done where a connection breaks before the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Send it again: the second time changes nothing.
    Yes,
    /// Only where it surely was not sent.
    No,
}

/// A request that can be sent more than once.
pub(crate) struct Call {
    method: Method,
    path: String,
    body: Option<Bytes>,
    again: Again,
    accept: &'static str,
    pub(crate) headers: HashMap<&'static str, HeaderValue>,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl AsRef<str>, again: Again) -> Self {
        Self {
            method,
            path: format!("/api/v1{}", path.as_ref()),
            body: None,
            again,
            accept: "application/json",
            headers: HashMap::new(),
        }
    }

    pub(crate) fn get(path: impl AsRef<str>) -> Self {
        Self::new(Method::GET, path, Again::Yes)
    }

    pub(crate) fn json(mut self, value: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(value)
            .map_err(|error| Problem::new(Code::Internal, format!("a request cannot be written: {error}")))?;
        self.body = Some(body.into());
        Ok(self)
    }

    pub(crate) fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }
}

/// Says of the last server's problem that the others were tried as well.
fn of_all(servers: u32, mut problem: Problem) -> Problem {
    problem.detail = format!(
        "none of the {servers} servers answers; the last: {}",
        problem.detail
    );
    problem
}

impl Client {
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Problem> {
        let body = self.call(&call).await?.collect(ANSWER_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Problem::new(
                Code::Internal,
                format!("the server's answer to {} cannot be read: {error}", call.path),
            )
            .hint("the server may be of another version: `muster server status` says which")
        })
    }

    pub(crate) async fn done(&self, call: Call) -> Result<(), Problem> {
        let _ = self.call(&call).await?.collect(ANSWER_BYTES).await?;
        Ok(())
    }

    /// Sends a request, again where that is harmless, and returns the body of a good answer. Where there are several
    /// servers, each next try is at another one.
    pub(crate) async fn call(&self, call: &Call) -> Result<Download, Problem> {
        /// 50 ms, doubling up to a second: about four seconds in all.
        const ROUNDS: u32 = 8;
        let servers = self.pool.servers();
        let finds_another = self.revive.is_some() || servers > 1;
        let most = ROUNDS.saturating_mul(servers);
        let mut tries = 0;
        loop {
            tries += 1;
            let address = self.address();
            let problem = match self.once(call, &address).await {
                Ok(download) => return Ok(download),
                Err(Refusal::Problem(problem)) => {
                    let elsewhere = match problem.code {
                        Code::Draining => finds_another,
                        // The same for ever, unless there is another one.
                        Code::NotHere => tries < servers,
                        // It may have lost its back ends, and others not.
                        Code::Unavailable => call.again == Again::Yes && tries < servers,
                        _ => false,
                    };
                    if !elsewhere || tries == most {
                        return Err(problem);
                    }
                    problem
                }
                Err(Refusal::Failure(failure)) => {
                    let unsent = matches!(
                        failure,
                        Failure::Unsent | Failure::Connect(_) | Failure::Untrusted { .. }
                    );
                    let problem = self.problem_of(&failure, &address);
                    // Where nothing listens at the very first try, waiting does not help.
                    let nobody = matches!(failure, Failure::Connect(_) | Failure::Untrusted { .. });
                    let hopeless = nobody && tries == 1 && !finds_another;
                    if tries == most && servers > 1 {
                        return Err(of_all(servers, problem));
                    }
                    if hopeless || tries == most || !(unsent || call.again == Again::Yes) {
                        return Err(problem);
                    }
                    if matches!(failure, Failure::Unsent) && tries == 1 {
                        continue;
                    }
                    problem
                }
            };
            tracing::debug!(%problem, tries, path = call.path, "sending a request again");
            self.revived().await?;
            self.pool.turn_from(&address);
            // Each server is asked once before anybody waits.
            let round = tries / servers;
            if (round > 0 && tries % servers == 0) && (tries > 1 || self.revive.is_none()) {
                tokio::time::sleep(Duration::from_millis((25 << round.min(6)).min(1000))).await;
            }
        }
    }

    /// Finds the server again, where there is a way.
    pub(crate) async fn revived(&self) -> Result<(), Problem> {
        if let Some(revive) = &self.revive {
            let address = revive().await?;
            let mut state = self.pool.lock();
            if state.address != address {
                state.address = address;
                state.idle.clear();
            }
        }
        Ok(())
    }

    async fn once(&self, call: &Call, address: &Address) -> Result<Download, Refusal> {
        let mut connection = self.connection(address).await.map_err(Refusal::Failure)?;
        let request = self.request(call, address).map_err(Refusal::Problem)?;
        let answer = connection.send(request, ANSWER).await.map_err(Refusal::Failure)?;
        let status = answer.status();
        let download = Download::new(answer, connection, Arc::clone(&self.pool));
        if status.is_success() {
            return Ok(download);
        }
        let body = download.collect(PROBLEM_BYTES).await.map_err(Refusal::Problem)?;
        Err(Refusal::Problem(problem_in(status, &body)))
    }

    async fn connection(&self, address: &Address) -> Result<Connection, Failure> {
        loop {
            let idle = self.pool.lock().idle.pop();
            match idle {
                Some(mut connection) => {
                    if connection.is_usable().await {
                        return Ok(connection);
                    }
                }
                None => return Connection::open(address).await,
            }
        }
    }

    fn request(&self, call: &Call, address: &Address) -> Result<Request<Full<Bytes>>, Problem> {
        let host = match address {
            Address::Unix(_) => "localhost".to_owned(),
            Address::Tcp { address, .. } => address.to_string(),
            Address::Tls { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Address::Tls { host, port: 443, .. } => host.clone(),
            Address::Tls { host, port, .. } => format!("{host}:{port}"),
        };
        let mut builder = Request::builder()
            .method(call.method.clone())
            .uri(&call.path)
            .header(HOST, host)
            .header(ACCEPT, call.accept)
            .header(PROTOCOL_HEADER, PROTOCOL)
            .header(VERSION_HEADER, self.version.clone());
        if let Some(trace) = &self.trace {
            builder = builder.header(HEADER, trace.clone());
        }
        if let Some(token) = address.token() {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
                Problem::new(
                    Code::InvalidConfig,
                    "the server's token holds characters that no token has",
                )
            })?;
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        if call.body.is_some() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in &call.headers {
            builder = builder.header(*name, value.clone());
        }
        builder
            .body(Full::new(call.body.clone().unwrap_or_default()))
            .map_err(|error| Problem::new(Code::Internal, format!("a request cannot be written: {error}")))
    }

    fn problem_of(&self, failure: &Failure, address: &Address) -> Problem {
        match failure {
            Failure::Connect(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Problem::new(
                Code::NotYours,
                format!("the server at {address} does not let you in: {error}"),
            ),
            Failure::Untrusted { shown, error } => {
                return Problem::new(
                    Code::Unavailable,
                    format!("the certificate of {address} is not trusted: {error}; it is {shown}"),
                )
                .hint(
                    "where the server printed the same fingerprint, set MUSTER_SERVER_FINGERPRINT to it; where an \
                     authority of yours made it, set MUSTER_SERVER_CA to that one's file",
                );
            }
            Failure::Connect(error) => Problem::new(
                Code::Unavailable,
                format!("no server answers at {address}: {error}"),
            ),
            Failure::Unsent => Problem::new(
                Code::Unavailable,
                format!("the server at {address} closes every connection"),
            ),
            Failure::Broken(error) => Problem::new(
                Code::Unavailable,
                format!("the connection to the server at {address} broke before it answered: {error}"),
            ),
            Failure::Timeout => Problem::new(
                Code::Unavailable,
                format!(
                    "the server at {address} did not answer within {}s",
                    ANSWER.as_secs()
                ),
            ),
        }
        .hint("`muster doctor` says what is wrong with the server")
    }
}

/// Why there is no good answer.
enum Refusal {
    Failure(Failure),
    Problem(Problem),
}

/// Reads the problem that an answer carries; one is made up where it carries none.
fn problem_in(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let code = match status.as_u16() {
            401 | 403 => Code::Denied,
            404 => Code::NotFound,
            413 => Code::TooLarge,
            426 => Code::VersionMismatch,
            503 => Code::Unavailable,
            400..=499 => Code::InvalidRequest,
            _ => Code::Internal,
        };
        Problem::new(code, format!("the server answered {status}"))
    })
}
