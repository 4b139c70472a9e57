//! A request as a step of a trace. Only those make one that were let in: a stranger puts nothing into anybody's traces.

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, Response};
use axum::middleware::Next;
use muster_model::trace::HEADER;
use muster_runtime::trace;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::meter::word;

/// Answers a request in its step.
pub(crate) async fn take(route: Option<MatchedPath>, request: Request, next: Next) -> Response<Body> {
    let route = route.as_ref().map_or("(none)", MatchedPath::as_str);
    let step = step(route, word(request.method()), request.headers());
    let response = next.run(request).instrument(step.clone()).await;
    step.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        step.record("otel.status_code", "error");
    }
    response
}

/// Returns the step of a trace that a request of the API is; nobody asks how the probes of a watcher went.
fn step(route: &str, method: &str, headers: &HeaderMap) -> Span {
    if !route.starts_with("/api/") {
        return Span::none();
    }
    let step = tracing::info_span!(
        target: trace::TARGET,
        parent: None,
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    if !step.is_disabled() {
        let asked = headers.get(HEADER).and_then(|value| value.to_str().ok());
        trace::follow(&step, asked.and_then(|text| text.parse().ok()));
    }
    step
}
