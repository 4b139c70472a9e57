//! Tasks: submit, find, follow, cancel, retry.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::response::IntoResponse;
use muster_engine::{Accepted, TaskFilter};
use muster_model::problem::Code;
use muster_model::task::TaskState;
use muster_model::wire::{Event, Plan, Retry, Submit, TaskListing, TaskPage, TaskView};
use muster_model::{RunState, TaskId, TaskRecord};
use serde::Deserialize;

use super::Api;
use crate::events;
use crate::extract::{Json, Path, Query, number, optional, value};
use crate::guard::Owner;
use crate::problem::{Failure, clipped};

/// The most tasks on a page.
const PAGE: u64 = 500;
/// The longest that an answer waits for the end of a task.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The tasks on a page that does not say how many.
const USUAL_PAGE: u64 = 100;

/// Submit a task: run a command or a script on hosts.
///
/// When the answer is 201, the task is durable, whatever dies afterwards. The same `request_id` sent again
/// gives the same task. With `dry_run` nothing is written, and the answer is 200 with the plan.
#[utoipa::path(post, path = "/tasks", tag = "tasks", request_body = Submit, responses(
    (status = 201, body = TaskView, headers(("Location" = String, description = "The task's address."))),
    (status = 200, body = Plan, description = "With `dry_run`: what would be done."),
))]
pub(super) async fn submit(
    State(api): State<Api>,
    owner: Owner,
    Json(submit): Json<Submit>,
) -> Result<Response<Body>, Failure> {
    match api.engine.submit(&owner.0, submit).await? {
        Accepted::Task(task) => Ok(created(&task)),
        Accepted::Planned(plan) => Ok(axum::Json(plan).into_response()),
    }
}

fn created(task: &TaskRecord) -> Response<Body> {
    let location = format!("/api/v1/tasks/{}", task.id);
    let headers = [(header::LOCATION, location)];
    (StatusCode::CREATED, headers, axum::Json(TaskView::from(task))).into_response()
}

/// Which tasks.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct TasksQuery {
    /// `running`, `done`, or a state that at least one of the task's runs is in.
    state: Option<String>,
    /// Only tasks submitted at or after this time (RFC 3339).
    since: Option<String>,
    /// Only tasks of this user.
    user: Option<String>,
    /// Only tasks whose command contains this text, letters' case aside.
    text: Option<String>,
    /// Only tasks with a smaller number.
    #[param(value_type = Option<u64>)]
    before: Option<String>,
    /// At most so many: 1 to 500, 100 where it is not given.
    #[param(value_type = Option<u64>)]
    limit: Option<String>,
}

impl TasksQuery {
    /// Returns the filter, which asks for one task more than the page has room for, and the page's size.
    fn filter(self) -> Result<(TaskFilter, usize), Failure> {
        let page = number("limit", self.limit.as_deref(), 1..=PAGE)?.unwrap_or(USUAL_PAGE);
        let (state, with_run_state) = match self.state.as_deref() {
            None => (None, None),
            Some("running") => (Some(TaskState::Running), None),
            Some("done") => (Some(TaskState::Done), None),
            Some(other) => match other.parse::<RunState>() {
                Ok(state) => (None, Some(state)),
                Err(why) => {
                    let detail = format!("state: {why}, or a task's state: running, done");
                    return Err(Failure::new(Code::InvalidRequest, detail));
                }
            },
        };
        let since = match self.since.as_deref() {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                let detail = format!(
                    "since: '{}' is not a time: write it as 2026-01-31T12:00:00Z",
                    clipped(text)
                );
                Failure::new(Code::InvalidRequest, detail)
            })?),
        };
        let filter = TaskFilter {
            state,
            with_run_state,
            since,
            owner: self.user,
            text: self.text,
            before: optional("before", self.before.as_deref())?,
            limit: u32::try_from(page + 1).unwrap_or(u32::MAX),
        };
        Ok((filter, usize::try_from(page).unwrap_or(usize::MAX)))
    }
}

/// List tasks, newest first.
#[utoipa::path(get, path = "/tasks", tag = "tasks", params(TasksQuery), responses((status = 200, body = TaskPage)))]
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<TasksQuery>,
) -> Result<axum::Json<TaskPage>, Failure> {
    let (filter, page) = query.filter()?;
    let found = api.engine.tasks(filter).await?;
    let tasks: Vec<TaskListing> = found.iter().take(page).map(TaskListing::from).collect();
    let more = found.len() > page;
    let next_before = tasks.last().filter(|_| more).map(|listing| listing.task.id);
    Ok(axum::Json(TaskPage { tasks, next_before }))
}

/// Show a task.
///
/// With `Prefer: wait=N` (RFC 7240) the answer comes when the task is done, at the latest after N seconds.
#[utoipa::path(get, path = "/tasks/{id}", tag = "tasks",
    params(
        ("id" = u64, Path, description = "The task's number."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait for the task's end, at most N seconds, \
            and no more than 30."),
    ),
    responses((status = 200, body = TaskView)))]
pub(super) async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<axum::Json<TaskView>, Failure> {
    let id = task_id(&id)?;
    let task = tokio::select! {
        task = api.engine.task_when_done(id, preferred_wait(&headers)) => task?,
        // The client asks this server's successor.
        () = api.work.cancelled() => api.engine.task(id).await?,
    };
    Ok(axum::Json(TaskView::from(&task)))
}

/// Returns how long a client would wait. What is not understood is no preference, as RFC 7240 has it.
fn preferred_wait(headers: &HeaderMap) -> Duration {
    let preferences = headers.get_all("prefer").iter();
    let seconds = preferences
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.trim().strip_prefix("wait="))
        .find_map(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_WAIT)
}

/// Cancel a task. The answer comes at once; its runs end as their hosts answer.
#[utoipa::path(post, path = "/tasks/{id}/cancel", tag = "tasks",
    params(("id" = u64, Path, description = "The task's number.")),
    responses((status = 200, body = TaskView)))]
pub(super) async fn cancel(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<axum::Json<TaskView>, Failure> {
    let task = api.engine.cancel(task_id(&id)?).await?;
    Ok(axum::Json(TaskView::from(&task)))
}

/// Submit a new task for the hosts of this one that did not succeed.
#[utoipa::path(post, path = "/tasks/{id}/retry", tag = "tasks",
    params(("id" = u64, Path, description = "The task's number.")),
    request_body = Retry,
    responses((status = 201, body = TaskView, headers(("Location" = String, description = "The new task's address.")))))]
pub(super) async fn retry(
    State(api): State<Api>,
    owner: Owner,
    Path(id): Path<String>,
    Json(retry): Json<Retry>,
) -> Result<Response<Body>, Failure> {
    let task = api.engine.retry(&owner.0, task_id(&id)?, retry).await?;
    Ok(created(&task))
}

/// Where to take an event stream up again.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// The id of the last event that was seen; the header `Last-Event-ID` comes before it.
    last_event_id: Option<String>,
}

/// Follow a task live, until it is done: as server-sent events, or as frames where `Accept` names them.
///
/// The stream begins with a `task` event, or, where it is taken up again by `Last-Event-ID`, with what came
/// after that event; it ends after a `task` event whose state is `done`. A `problem` event, whose data is a
/// problem detail, ends a stream that cannot go on.
///
/// A frame (`application/vnd.muster.events`) is `head length: u32 | body length: u32 | head | body`, both lengths
/// little-endian. The head is JSON: `{"id": …, "event": …}` with the same ids and events, or `{"problem": …}`. The body
/// of an output event is its bytes as the host wrote them, at most 256 KiB, in place of `data` and `data_base64`. A
/// frame whose lengths are both 0 says only that the stream is alive.
#[utoipa::path(get, path = "/tasks/{id}/events", tag = "tasks",
    params(
        ("id" = u64, Path, description = "The task's number."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen."),
        EventsQuery,
    ),
    responses((status = 200, content(
        (Event = "text/event-stream"),
        ("application/vnd.muster.events"),
    ))))]
pub(super) async fn events(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response<Body>, Failure> {
    let id = task_id(&id)?;
    let resume = match headers.get("last-event-id").map(|value| value.to_str()) {
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => {
            return Err(Failure::new(
                Code::InvalidRequest,
                "Last-Event-ID: the value is no id of an event",
            ));
        }
        None => query.last_event_id.as_deref(),
    };
    let watcher = api
        .engine
        .watch(id, resume.filter(|text| !text.is_empty()))
        .await?;
    let form = events::Form::wanted(&headers);
    let counted = api.meter.followers.enter();
    Ok(events::answer(watcher, form, api.work.clone(), counted))
}

/// Reads the task's number in an address.
pub(super) fn task_id(text: &str) -> Result<TaskId, Failure> {
    value("id", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: TasksQuery) -> Result<(TaskFilter, usize), String> {
        query.filter().map_err(|failure| format!("{failure:?}"))
    }

    fn state(text: &str) -> TasksQuery {
        TasksQuery {
            state: Some(text.to_owned()),
            ..TasksQuery::default()
        }
    }

    #[test]
    fn a_state_is_of_the_task_or_of_its_runs() {
        let (task, _) = filter(state("running")).expect("a state");
        assert_eq!(
            (task.state, task.with_run_state),
            (Some(TaskState::Running), None)
        );
        let (task, _) = filter(state("timed_out")).expect("a state");
        assert_eq!(
            (task.state, task.with_run_state),
            (None, Some(RunState::TimedOut))
        );
        let why = filter(state("happy")).expect_err("no state");
        assert!(why.contains("'happy' is not a run state"), "{why}");
        assert!(why.contains("running, done"), "{why}");
    }

    #[test]
    fn one_more_task_is_asked_for_than_the_page_holds() {
        let (filter_, page) = filter(TasksQuery::default()).expect("a filter");
        assert_eq!((filter_.limit, page), (101, 100));
        for limit in ["0", "501", "-1", "x", ""] {
            let query = TasksQuery {
                limit: Some(limit.to_owned()),
                ..TasksQuery::default()
            };
            let why = filter(query).expect_err("no limit");
            assert!(why.contains("is not a whole number from 1 to 500"), "{why}");
        }
    }

    #[test]
    fn a_time_that_is_none_is_named() {
        let query = TasksQuery {
            since: Some("yesterday".to_owned()),
            ..TasksQuery::default()
        };
        let why = filter(query).expect_err("no time");
        assert!(why.contains("since: 'yesterday' is not a time"), "{why}");
    }

    #[test]
    fn a_wait_is_bounded_and_nonsense_is_no_wait() {
        for (prefer, seconds) in [
            ("wait=1", 1),
            ("respond-async, wait=10", 10),
            ("wait=86400", 30),
            ("wait=-1", 0),
            ("wait=", 0),
            ("return=minimal", 0),
        ] {
            let mut headers = HeaderMap::new();
            assert_eq!(preferred_wait(&headers), Duration::ZERO);
            headers.insert("prefer", header::HeaderValue::from_static(prefer));
            assert_eq!(preferred_wait(&headers), Duration::from_secs(seconds), "{prefer}");
        }
    }
}
