//! The keys by which hosts are known.

use axum::extract::State;
use muster_model::wire::host_keys::{HostKeysView, Scan, ScannedHost, Trust};
use serde::Deserialize;

use super::Api;
use crate::extract::{Json, Query};
use crate::problem::Failure;

/// Which hosts.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct KeysQuery {
    /// A host pattern, or a name as it is listed.
    pattern: Option<String>,
    /// The `ssh_config` by which hosts are named instead of the user's; an absolute path.
    ssh_config: Option<String>,
}

/// List the keys of hosts: pinned, and offered by hosts in quarantine.
#[utoipa::path(get, path = "/host-keys", tag = "inventory", params(KeysQuery),
    responses((status = 200, body = Vec<HostKeysView>)))]
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<KeysQuery>,
) -> Result<axum::Json<Vec<HostKeysView>>, Failure> {
    let found = api
        .engine
        .host_keys(query.pattern.as_deref(), query.ssh_config.as_deref());
    Ok(axum::Json(found.await?))
}

/// Ask hosts of which no key is pinned for their keys, without logging in. Nothing is kept.
#[utoipa::path(post, path = "/host-keys/scan", tag = "inventory", request_body = Scan,
    responses((status = 200, body = Vec<ScannedHost>)))]
pub(super) async fn scan(
    State(api): State<Api>,
    Json(scan): Json<Scan>,
) -> Result<axum::Json<Vec<ScannedHost>>, Failure> {
    Ok(axum::Json(api.engine.scan_host_keys(scan).await?))
}

/// Decide about the keys of hosts: all of it is done, or nothing.
#[utoipa::path(post, path = "/host-keys/trust", tag = "inventory", request_body = Trust,
    responses((status = 200, body = Vec<HostKeysView>)))]
pub(super) async fn trust(
    State(api): State<Api>,
    Json(trust): Json<Trust>,
) -> Result<axum::Json<Vec<HostKeysView>>, Failure> {
    Ok(axum::Json(api.engine.trust(trust).await?))
}
