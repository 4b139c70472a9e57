//! Runs: what a task did on each host, and what the host printed.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, header};
use muster_engine::OutputReader;
use muster_model::problem::Code;
use muster_model::wire::RunPage;
use muster_model::{Problem, RunState, Stream};
use serde::Deserialize;

use super::Api;
use super::tasks::task_id;
use crate::extract::{Path, Query, number};
use crate::problem::{Failure, clipped};

/// The most runs on a page.
const PAGE: u64 = 10_000;
/// The runs on a page that does not say how many.
const USUAL_PAGE: u64 = 1000;
/// How much output stands with a run where the query does not say.
const USUAL_OUTPUT: u64 = 64 * 1024;
/// The most output that stands with a run; a stream of its own has no limit.
const OUTPUT: u64 = 64 * 1024 * 1024;

/// Which runs, and how much of their output.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct RunsQuery {
    /// From this place in the task's targets on.
    #[param(value_type = Option<u32>)]
    from: Option<String>,
    /// At most so many: 1 to 10000, 1000 where it is not given.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// Only these states, separated by commas.
    state: Option<String>,
    /// Output of which both streams together are longer is left out: bytes, 65536 where it is not given.
    #[param(value_type = Option<u64>)]
    output_limit: Option<String>,
}

/// What a query for runs asks, read.
#[derive(Debug, PartialEq, Eq)]
struct Which {
    from: u32,
    limit: u32,
    states: Vec<RunState>,
    output_limit: u64,
}

impl RunsQuery {
    fn which(&self) -> Result<Which, Failure> {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let from = number("from", self.from.as_deref(), 0..=u64::from(u32::MAX))?.unwrap_or(0);
        let limit = number("limit", self.limit.as_deref(), 1..=PAGE)?.unwrap_or(USUAL_PAGE);
        let output_limit =
            number("output_limit", self.output_limit.as_deref(), 0..=OUTPUT)?.unwrap_or(USUAL_OUTPUT);
        let states = match self.state.as_deref() {
            None => Vec::new(),
            Some(list) => list
                .split(',')
                .map(|name| crate::extract::value("state", name))
                .collect::<Result<_, _>>()?,
        };
        Ok(Which {
            from: small(from),
            limit: small(limit),
            states,
            output_limit,
        })
    }
}

/// List a task's runs, in host order, with their output where it is short.
#[utoipa::path(get, path = "/tasks/{id}/runs", tag = "runs",
    params(("id" = u64, Path, description = "The task's number."), RunsQuery),
    responses((status = 200, body = RunPage)))]
pub(super) async fn list(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<RunsQuery>,
) -> Result<axum::Json<RunPage>, Failure> {
    let Which {
        from,
        limit,
        states,
        output_limit,
    } = query.which()?;
    let runs = api
        .engine
        .runs(task_id(&id)?, from, limit, states, output_limit)
        .await?;
    Ok(axum::Json(runs))
}

/// Read what a run wrote to standard output, as far as it is there.
#[utoipa::path(get, path = "/tasks/{id}/runs/{index}/stdout", tag = "runs",
    params(
        ("id" = u64, Path, description = "The task's number."),
        ("index" = u32, Path, description = "The host's place in the task's targets, from 0."),
    ),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub(super) async fn stdout(
    State(api): State<Api>,
    Path(run): Path<(String, String)>,
) -> Result<Response<Body>, Failure> {
    output(&api, run, Stream::Stdout).await
}

/// Read what a run wrote to standard error, as far as it is there.
#[utoipa::path(get, path = "/tasks/{id}/runs/{index}/stderr", tag = "runs",
    params(
        ("id" = u64, Path, description = "The task's number."),
        ("index" = u32, Path, description = "The host's place in the task's targets, from 0."),
    ),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub(super) async fn stderr(
    State(api): State<Api>,
    Path(run): Path<(String, String)>,
) -> Result<Response<Body>, Failure> {
    output(&api, run, Stream::Stderr).await
}

async fn output(api: &Api, (id, index): (String, String), stream: Stream) -> Result<Response<Body>, Failure> {
    let id = task_id(&id)?;
    let index: u32 = index.parse().map_err(|_| {
        Failure::new(
            Code::InvalidRequest,
            format!(
                "index: '{}' is not a run's place: a whole number from 0",
                clipped(&index)
            ),
        )
    })?;
    let reader = api.engine.output(id, index, stream).await?;
    let mut response = Response::new(Body::from_stream(pieces(reader)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    Ok(response)
}

/// Reads on when the client has taken what was read. A reader that fails breaks the connection: an answer
/// that ended early must not look whole.
fn pieces(
    reader: OutputReader,
) -> impl futures_util::Stream<Item = Result<bytes::Bytes, Problem>> + Send + 'static {
    futures_util::stream::try_unfold(reader, |mut reader| async move {
        Ok(reader.next().await?.map(|bytes| (bytes, reader)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_a_list() {
        let query = RunsQuery {
            state: Some("failed,lost".to_owned()),
            output_limit: Some("0".to_owned()),
            ..RunsQuery::default()
        };
        let expected = Which {
            from: 0,
            limit: 1000,
            states: vec![RunState::Failed, RunState::Lost],
            output_limit: 0,
        };
        assert_eq!(query.which().ok(), Some(expected));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let query = RunsQuery {
            state: Some("failed,,lost".to_owned()),
            ..RunsQuery::default()
        };
        assert!(format!("{:?}", query.which()).contains("state: '' is not a run state"));
        let query = RunsQuery {
            from: Some("-1".to_owned()),
            ..RunsQuery::default()
        };
        assert!(format!("{:?}", query.which()).contains("from: '-1' is not a whole number"));
    }
}
