//! The inventory: hosts and groups.

use axum::extract::State;
use axum::http::StatusCode;
use muster_model::host::HostRecord;
use muster_model::problem::Code;
use muster_model::wire::GroupView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use crate::extract::{Json, Path, Query};
use crate::problem::Failure;

/// Which hosts.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct PatternQuery {
    /// A host pattern.
    pattern: Option<String>,
}

impl PatternQuery {
    /// Returns the pattern of a request that cannot do without.
    fn needed(self) -> Result<String, Failure> {
        self.pattern.filter(|pattern| !pattern.is_empty()).ok_or_else(|| {
            Failure::new(Code::InvalidRequest, "pattern: the query names no hosts")
                .hint("name them by a pattern, such as ?pattern=web[1-4]")
        })
    }
}

/// How many were removed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Removed {
    /// How many.
    removed: u64,
}

/// Hosts for a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Members {
    /// Host patterns.
    hosts: Vec<String>,
}

/// List the hosts of the inventory that a pattern names; all of them without one.
#[utoipa::path(get, path = "/hosts", tag = "inventory", params(PatternQuery),
    responses((status = 200, body = Vec<HostRecord>)))]
pub(super) async fn hosts(
    State(api): State<Api>,
    Query(query): Query<PatternQuery>,
) -> Result<axum::Json<Vec<HostRecord>>, Failure> {
    Ok(axum::Json(api.engine.hosts(query.pattern.as_deref()).await?))
}

/// Add hosts; none is added where one of them exists.
#[utoipa::path(post, path = "/hosts", tag = "inventory", request_body = Vec<HostRecord>,
    responses((status = 204)))]
pub(super) async fn add_hosts(
    State(api): State<Api>,
    Json(hosts): Json<Vec<HostRecord>>,
) -> Result<StatusCode, Failure> {
    api.engine.put_hosts(hosts, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Set hosts: those that exist are replaced.
#[utoipa::path(put, path = "/hosts", tag = "inventory", request_body = Vec<HostRecord>,
    responses((status = 204)))]
pub(super) async fn set_hosts(
    State(api): State<Api>,
    Json(hosts): Json<Vec<HostRecord>>,
) -> Result<StatusCode, Failure> {
    api.engine.put_hosts(hosts, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove the hosts that a pattern names; none is removed where one does not exist.
#[utoipa::path(delete, path = "/hosts", tag = "inventory", params(PatternQuery),
    responses((status = 200, body = Removed)))]
pub(super) async fn remove_hosts(
    State(api): State<Api>,
    Query(query): Query<PatternQuery>,
) -> Result<axum::Json<Removed>, Failure> {
    let removed = api.engine.remove_hosts(&query.needed()?).await?;
    Ok(axum::Json(Removed { removed }))
}

/// List all groups.
#[utoipa::path(get, path = "/groups", tag = "inventory", responses((status = 200, body = Vec<GroupView>)))]
pub(super) async fn groups(State(api): State<Api>) -> Result<axum::Json<Vec<GroupView>>, Failure> {
    Ok(axum::Json(api.engine.groups().await?))
}

/// Show a group.
#[utoipa::path(get, path = "/groups/{name}", tag = "inventory",
    params(("name" = String, Path, description = "The group's name.")),
    responses((status = 200, body = GroupView)))]
pub(super) async fn group(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<axum::Json<GroupView>, Failure> {
    Ok(axum::Json(api.engine.group(&name).await?))
}

/// Remove a group. Its hosts stay in the inventory.
#[utoipa::path(delete, path = "/groups/{name}", tag = "inventory",
    params(("name" = String, Path, description = "The group's name.")),
    responses((status = 200, body = Removed)))]
pub(super) async fn remove_group(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<axum::Json<Removed>, Failure> {
    let removed = api.engine.remove_from_group(&name, &[]).await?;
    Ok(axum::Json(Removed { removed }))
}

/// Add hosts to a group; it is made where it is missing.
#[utoipa::path(post, path = "/groups/{name}/hosts", tag = "inventory",
    params(("name" = String, Path, description = "The group's name.")),
    request_body = Members, responses((status = 200, body = GroupView)))]
pub(super) async fn add_members(
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(members): Json<Members>,
) -> Result<axum::Json<GroupView>, Failure> {
    Ok(axum::Json(api.engine.add_to_group(&name, &members.hosts).await?))
}

/// Remove hosts from a group.
#[utoipa::path(delete, path = "/groups/{name}/hosts", tag = "inventory",
    params(("name" = String, Path, description = "The group's name."), PatternQuery),
    responses((status = 200, body = Removed)))]
pub(super) async fn remove_members(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<PatternQuery>,
) -> Result<axum::Json<Removed>, Failure> {
    let removed = api.engine.remove_from_group(&name, &[query.needed()?]).await?;
    Ok(axum::Json(Removed { removed }))
}
