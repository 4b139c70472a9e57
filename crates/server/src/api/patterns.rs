//! Host patterns on their own.

use axum::extract::State;
use muster_model::wire::{Hosts, Targets};

use super::Api;
use crate::extract::Json;
use crate::problem::Failure;

/// Name the hosts that patterns mean.
#[utoipa::path(post, path = "/patterns/expand", tag = "patterns", request_body = Targets,
    responses((status = 200, body = Hosts)))]
pub(super) async fn expand(
    State(api): State<Api>,
    Json(targets): Json<Targets>,
) -> Result<axum::Json<Hosts>, Failure> {
    Ok(axum::Json(api.engine.expand(&targets).await?))
}

/// Fold hosts to the shortest pattern; `hosts` in the answer is empty.
#[utoipa::path(post, path = "/patterns/fold", tag = "patterns", request_body = Targets,
    responses((status = 200, body = Hosts)))]
pub(super) async fn fold(
    State(api): State<Api>,
    Json(targets): Json<Targets>,
) -> Result<axum::Json<Hosts>, Failure> {
    let Hosts { folded, .. } = api.engine.expand(&targets).await?;
    let hosts = Vec::new();
    Ok(axum::Json(Hosts { hosts, folded }))
}
