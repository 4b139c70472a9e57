//! The client: one method for each route.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use muster_model::host::HostRecord;
use muster_model::problem::Code;
use muster_model::wire::{
    Check, GroupView, Hosts, PROTOCOL, PROTOCOL_HEADER, Plan, Retry, RunPage, ServerInfo, Submit, Targets,
    TaskPage, TaskView, VERSION_HEADER,
};
use muster_model::{Problem, Stream, TaskId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::body::Download;
use crate::connection::{Connection, Failure};
use crate::follow::Events;
use crate::request::{Query, RunsQuery, TasksQuery, encode};
use crate::{Address, follow};

/// How long the server may think about an answer. A submit of a million hosts takes a while.
const ANSWER: Duration = Duration::from_mins(2);
/// The longest answer that is read whole: an inventory of a million hosts fits.
const ANSWER_BYTES: usize = 512 * 1024 * 1024;
/// The longest problem that is read.
const PROBLEM_BYTES: usize = 1024 * 1024;
/// How many connections wait for the next request.
const IDLE: usize = 4;

/// Finds the server again, or starts it, when it has gone; returns where it is now.
pub type Revive = Arc<dyn Fn() -> BoxFuture<'static, Result<Address, Problem>> + Send + Sync>;

/// A client of one server. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    pool: Arc<Pool>,
    revive: Option<Revive>,
    version: HeaderValue,
}

/// Where the server is, and the connections to it that wait for the next request.
pub(crate) struct Pool {
    state: Mutex<State>,
}

struct State {
    address: Address,
    idle: Vec<Connection>,
}

impl Pool {
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
enum Again {
    /// Send it again: the second time changes nothing.
    Yes,
    /// Only where it surely was not sent.
    No,
}

/// A request that can be sent more than once.
struct Call {
    method: Method,
    path: String,
    body: Option<Bytes>,
    again: Again,
    accept: &'static str,
    headers: HashMap<&'static str, HeaderValue>,
}

impl Call {
    fn new(method: Method, path: impl AsRef<str>, again: Again) -> Self {
        Self {
            method,
            path: format!("/api/v1{}", path.as_ref()),
            body: None,
            again,
            accept: "application/json",
            headers: HashMap::new(),
        }
    }

    fn get(path: impl AsRef<str>) -> Self {
        Self::new(Method::GET, path, Again::Yes)
    }

    fn json(mut self, value: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(value)
            .map_err(|error| Problem::new(Code::Internal, format!("a request cannot be written: {error}")))?;
        self.body = Some(body.into());
        Ok(self)
    }

    fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }
}

impl Client {
    /// Returns a client of the server at `address`; `version` is the version of the program that uses it.
    #[must_use]
    pub fn new(address: Address, version: &str) -> Self {
        Self {
            pool: Arc::new(Pool {
                state: Mutex::new(State {
                    address,
                    idle: Vec::new(),
                }),
            }),
            revive: None,
            version: HeaderValue::from_str(version).unwrap_or(HeaderValue::from_static("0.0.0")),
        }
    }

    /// Returns the client with a way to find the server again when it has gone or hands over.
    #[must_use]
    pub fn reviving(mut self, revive: Revive) -> Self {
        self.revive = Some(revive);
        self
    }

    /// Returns where the server is.
    #[must_use]
    pub fn address(&self) -> Address {
        self.pool.lock().address.clone()
    }

    /// Says who answers.
    ///
    /// # Errors
    ///
    /// `unavailable` where nobody does.
    pub async fn server(&self) -> Result<ServerInfo, Problem> {
        self.json(Call::get("/server")).await
    }

    /// Asks the server to finish its work and make room for a newer one.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn handover(&self) -> Result<(), Problem> {
        self.done(Call::new(Method::POST, "/server/handover", Again::Yes))
            .await
    }

    /// Asks the server to leave.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn shutdown(&self) -> Result<(), Problem> {
        self.done(Call::new(Method::POST, "/server/shutdown", Again::No))
            .await
    }

    /// Submits a task. Sent again where the connection breaks: `request_id` makes that harmless.
    ///
    /// # Errors
    ///
    /// Those of the server; nothing was started then, except where the code is `unavailable`.
    pub async fn submit(&self, submit: &Submit) -> Result<TaskView, Problem> {
        debug_assert!(!submit.dry_run, "a dry run gives a plan");
        self.json(Call::new(Method::POST, "/tasks", Again::Yes).json(submit)?)
            .await
    }

    /// Returns what a task would do. `submit.dry_run` must be set.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn plan(&self, submit: &Submit) -> Result<Plan, Problem> {
        debug_assert!(submit.dry_run, "without it a task would start");
        self.json(Call::new(Method::POST, "/tasks", Again::Yes).json(submit)?)
            .await
    }

    /// Lists tasks, newest first.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn tasks(&self, query: &TasksQuery) -> Result<TaskPage, Problem> {
        self.json(Call::get(format!("/tasks{}", query.query()))).await
    }

    /// Returns a task.
    ///
    /// # Errors
    ///
    /// `unknown-task`.
    pub async fn task(&self, id: TaskId) -> Result<TaskView, Problem> {
        self.json(Call::get(format!("/tasks/{id}"))).await
    }

    /// Returns a page of a task's runs.
    ///
    /// # Errors
    ///
    /// `unknown-task`.
    pub async fn runs(&self, id: TaskId, query: &RunsQuery) -> Result<RunPage, Problem> {
        self.json(Call::get(format!("/tasks/{id}/runs{}", query.query())))
            .await
    }

    /// Downloads one stream of a run's output, as far as it is there.
    ///
    /// # Errors
    ///
    /// `unknown-task`, `unknown-run`.
    pub async fn output(&self, id: TaskId, index: u32, stream: Stream) -> Result<Download, Problem> {
        let name = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let call = Call::get(format!("/tasks/{id}/runs/{index}/{name}")).accept("application/octet-stream");
        self.call(&call).await
    }

    /// Follows a task from its beginning to its end.
    #[must_use]
    pub fn events(&self, id: TaskId) -> Events {
        follow::events(self.clone(), id)
    }

    /// Opens the event stream once, from after `resume` where that is not empty.
    pub(crate) async fn open_events(&self, id: TaskId, resume: &str) -> Result<Download, Problem> {
        let mut call = Call::get(format!("/tasks/{id}/events")).accept("text/event-stream");
        if !resume.is_empty()
            && let Ok(value) = HeaderValue::from_str(resume)
        {
            call.headers.insert("last-event-id", value);
        }
        self.call(&call).await
    }

    /// Cancels a task.
    ///
    /// # Errors
    ///
    /// `unknown-task`; `conflict` where it is done.
    pub async fn cancel(&self, id: TaskId) -> Result<TaskView, Problem> {
        self.json(Call::new(Method::POST, format!("/tasks/{id}/cancel"), Again::Yes))
            .await
    }

    /// Submits a new task for the hosts of a task that did not succeed. Sent again as [`Client::submit`].
    ///
    /// # Errors
    ///
    /// `unknown-task`; `conflict` where it is not done or everything succeeded.
    pub async fn retry(&self, id: TaskId, retry: &Retry) -> Result<TaskView, Problem> {
        self.json(Call::new(Method::POST, format!("/tasks/{id}/retry"), Again::Yes).json(retry)?)
            .await
    }

    /// Returns the hosts that targets name.
    ///
    /// # Errors
    ///
    /// `invalid-pattern`, `unknown-group`, `target-too-large`.
    pub async fn expand(&self, targets: &Targets) -> Result<Hosts, Problem> {
        self.json(Call::new(Method::POST, "/patterns/expand", Again::Yes).json(targets)?)
            .await
    }

    /// Returns the shortest pattern for the hosts that targets name; `hosts` is empty in the answer.
    ///
    /// # Errors
    ///
    /// Those of [`Client::expand`].
    pub async fn fold(&self, targets: &Targets) -> Result<Hosts, Problem> {
        self.json(Call::new(Method::POST, "/patterns/fold", Again::Yes).json(targets)?)
            .await
    }

    /// Returns the hosts of the inventory that a pattern names; all of them without one.
    ///
    /// # Errors
    ///
    /// Those of [`Client::expand`].
    pub async fn hosts(&self, pattern: Option<&str>) -> Result<Vec<HostRecord>, Problem> {
        let mut query = Query::default();
        query.add("pattern", pattern);
        self.json(Call::get(format!("/hosts{}", query.0))).await
    }

    /// Adds hosts to the inventory.
    ///
    /// # Errors
    ///
    /// `already-exists` naming one; nothing was added then.
    pub async fn add_hosts(&self, hosts: &[HostRecord]) -> Result<(), Problem> {
        self.done(Call::new(Method::POST, "/hosts", Again::No).json(&hosts)?)
            .await
    }

    /// Adds hosts to the inventory, replacing those that exist.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn set_hosts(&self, hosts: &[HostRecord]) -> Result<(), Problem> {
        self.done(Call::new(Method::PUT, "/hosts", Again::Yes).json(&hosts)?)
            .await
    }

    /// Removes the hosts that a pattern names from the inventory; returns how many.
    ///
    /// # Errors
    ///
    /// `unknown-host` naming one that is not there; nothing was removed then.
    pub async fn remove_hosts(&self, pattern: &str) -> Result<u64, Problem> {
        let mut query = Query::default();
        query.add("pattern", Some(pattern));
        self.removed(format!("/hosts{}", query.0)).await
    }

    /// Returns all groups.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn groups(&self) -> Result<Vec<GroupView>, Problem> {
        self.json(Call::get("/groups")).await
    }

    /// Returns one group.
    ///
    /// # Errors
    ///
    /// `unknown-group`.
    pub async fn group(&self, name: &str) -> Result<GroupView, Problem> {
        self.json(Call::get(format!("/groups/{}", encode(name)))).await
    }

    /// Adds hosts to a group, making it where it is missing.
    ///
    /// # Errors
    ///
    /// Those of [`Client::expand`]; `invalid-request` for a name that is none.
    pub async fn add_to_group(&self, name: &str, patterns: &[String]) -> Result<GroupView, Problem> {
        #[derive(Serialize)]
        struct Members<'a> {
            hosts: &'a [String],
        }
        let path = format!("/groups/{}/hosts", encode(name));
        self.json(Call::new(Method::POST, path, Again::Yes).json(&Members { hosts: patterns })?)
            .await
    }

    /// Removes the hosts that a pattern names from a group, without one the whole group; returns how many.
    ///
    /// # Errors
    ///
    /// `unknown-group`.
    pub async fn remove_from_group(&self, name: &str, pattern: Option<&str>) -> Result<u64, Problem> {
        let mut query = Query::default();
        query.add("pattern", pattern);
        let path = match pattern {
            Some(_) => format!("/groups/{}/hosts{}", encode(name), query.0),
            None => format!("/groups/{}", encode(name)),
        };
        self.removed(path).await
    }

    async fn removed(&self, path: String) -> Result<u64, Problem> {
        #[derive(Deserialize)]
        struct Removed {
            removed: u64,
        }
        let Removed { removed } = self.json(Call::new(Method::DELETE, path, Again::No)).await?;
        Ok(removed)
    }

    /// Checks every back end.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn doctor(&self) -> Result<Vec<Check>, Problem> {
        self.json(Call::get("/doctor")).await
    }

    /// Returns the OpenAPI document.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn openapi(&self) -> Result<serde_json::Value, Problem> {
        self.json(Call::get("/openapi.json")).await
    }

    async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Problem> {
        let body = self.call(&call).await?.collect(ANSWER_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Problem::new(
                Code::Internal,
                format!("the server's answer to {} cannot be read: {error}", call.path),
            )
            .hint("the server may be of another version: `muster server status` says which")
        })
    }

    async fn done(&self, call: Call) -> Result<(), Problem> {
        let _ = self.call(&call).await?.collect(ANSWER_BYTES).await?;
        Ok(())
    }

    /// Sends a request, again where that is harmless, and returns the body of a good answer.
    async fn call(&self, call: &Call) -> Result<Download, Problem> {
        /// 50 ms, doubling up to a second: about four seconds in all.
        const TRIES: u32 = 8;
        let mut tries = 0;
        loop {
            tries += 1;
            let problem = match self.once(call).await {
                Ok(download) => return Ok(download),
                Err(Refusal::Problem(problem)) => {
                    if problem.code != Code::Draining || self.revive.is_none() || tries == TRIES {
                        return Err(problem);
                    }
                    problem
                }
                Err(Refusal::Failure(failure)) => {
                    let unsent = matches!(failure, Failure::Unsent | Failure::Connect(_));
                    let problem = self.problem_of(&failure);
                    // Where nothing listens at the very first try, waiting does not help.
                    let hopeless =
                        matches!(failure, Failure::Connect(_)) && tries == 1 && self.revive.is_none();
                    if hopeless || tries == TRIES || !(unsent || call.again == Again::Yes) {
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
            if tries > 1 || self.revive.is_none() {
                tokio::time::sleep(Duration::from_millis((25 << tries.min(6)).min(1000))).await;
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

    async fn once(&self, call: &Call) -> Result<Download, Refusal> {
        let address = self.address();
        let mut connection = self.connection(&address).await.map_err(Refusal::Failure)?;
        let request = self.request(call, &address).map_err(Refusal::Problem)?;
        let answer = connection.send(request, ANSWER).await.map_err(Refusal::Failure)?;
        let status = answer.status();
        let download = Download::new(answer.into_body(), connection, Arc::clone(&self.pool));
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
        };
        let mut builder = Request::builder()
            .method(call.method.clone())
            .uri(&call.path)
            .header(HOST, host)
            .header(ACCEPT, call.accept)
            .header(PROTOCOL_HEADER, PROTOCOL)
            .header(VERSION_HEADER, self.version.clone());
        if let Address::Tcp {
            token: Some(token), ..
        } = address
        {
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

    fn problem_of(&self, failure: &Failure) -> Problem {
        let address = self.address();
        match failure {
            Failure::Connect(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Problem::new(
                Code::NotYours,
                format!("the server at {address} does not let you in: {error}"),
            ),
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
