//! The client: one method for each route.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper::Method;
use hyper::header::HeaderValue;
use muster_model::wire::cluster::ClusterView;
use muster_model::wire::{
    Check, Hosts, Plan, Retry, RunPage, ServerInfo, Submit, Targets, TaskPage, TaskView,
};
use muster_model::{Problem, Stream, TaskId, TraceParent};

use crate::body::Download;
use crate::follow::Events;
use crate::request::{RunsQuery, TasksQuery};
use crate::send::{Again, Call, Pool};
use crate::{Address, follow};

/// Finds the server again, or starts it, when it has gone; returns where it is now.
pub type Revive = Arc<dyn Fn() -> BoxFuture<'static, Result<Address, Problem>> + Send + Sync>;

/// A client of a server, or of several on one database: where one is away or stopping, it goes on to the next. Cheap to
/// clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) pool: Arc<Pool>,
    pub(crate) revive: Option<Revive>,
    pub(crate) version: HeaderValue,
    pub(crate) trace: Option<HeaderValue>,
}

impl Client {
    /// Returns a client of the server at `address`; `version` is the version of the program that uses it.
    #[must_use]
    pub fn new(address: Address, version: &str) -> Self {
        Self::of_several(address, Vec::new(), version)
    }

    /// Returns a client of the server at `first`, and of `others` that do as well.
    #[must_use]
    pub fn of_several(first: Address, others: Vec<Address>, version: &str) -> Self {
        Self {
            pool: Arc::new(Pool::new(first, others)),
            revive: None,
            version: HeaderValue::from_str(version).unwrap_or(HeaderValue::from_static("0.0.0")),
            trace: None,
        }
    }

    /// Returns the client with a way to find the server again when it has gone or hands over.
    #[must_use]
    pub fn reviving(mut self, revive: Revive) -> Self {
        self.revive = Some(revive);
        self
    }

    /// Returns the client with the step of a trace that its requests belong to.
    #[must_use]
    pub fn in_trace(mut self, at: Option<TraceParent>) -> Self {
        self.trace = at.and_then(|at| HeaderValue::from_str(&at.to_string()).ok());
        self
    }

    /// Returns where the server is.
    #[must_use]
    pub fn address(&self) -> Address {
        self.pool.address()
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
        self.done(Call::new(Method::POST, "/server/handover", Again::No))
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

    /// Returns a task when it is done, or after a second, or sooner where the server does not wait.
    ///
    /// # Errors
    ///
    /// `unknown-task`.
    pub async fn task_when_done(&self, id: TaskId) -> Result<TaskView, Problem> {
        let mut call = Call::get(format!("/tasks/{id}"));
        call.headers.insert("prefer", HeaderValue::from_static("wait=1"));
        self.json(call).await
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
        // Frames where the server has them: an older one sends server-sent events alone.
        let mut call = Call::get(format!("/tasks/{id}/events"))
            .accept("application/vnd.muster.events, text/event-stream;q=0.5");
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

    /// Returns the servers that share the database, and what each has in hand.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn cluster(&self) -> Result<ClusterView, Problem> {
        self.json(Call::get("/cluster")).await
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
}
