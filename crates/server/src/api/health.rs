//! For those who watch the server: probes, which anybody may ask, and what it counts.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use muster_model::wire::Readiness;
use muster_runtime::meter;

use super::Api;
use crate::problem::Failure;

/// The addresses that answer without a login: they tell nothing that is not for everybody, and change nothing.
pub(crate) const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Whether the process lives: it does where it answers.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the server takes work: not where it is leaving, or its database does not answer. Without the queue, a server
/// that takes tasks takes them still, and says that the queue fails; one that executes alone is not ready.
///
/// Answers within a good second. What was found is good for a second, however many ask.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    security(()),
    responses((status = 200, body = Readiness), (status = 503, description = "It takes no work, and why.", body = Readiness))
)]
pub(super) async fn readyz(State(api): State<Api>) -> (StatusCode, Json<Readiness>) {
    let readiness = api.engine.readiness().await;
    let status = match readiness.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(readiness))
}

/// What the server counts, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"))
)]
pub(super) async fn metrics(State(api): State<Api>) -> Result<impl IntoResponse, Failure> {
    let text = api.engine.metrics().await?;
    Ok(([(header::CONTENT_TYPE, meter::MEDIA_TYPE)], text))
}
