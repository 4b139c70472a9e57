//! The inventory: hosts and groups.

use axum::extract::State;
use axum::http::StatusCode;
use muster_model::host::HostRecord;
use muster_model::inventory::Document;
use muster_model::problem::Code;
use muster_model::wire::{
    Explanations, GroupCount, GroupView, HostFacts, Import, ImportReport, Members, Targets,
};
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

/// Which hosts, by their names and by what is known of them.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct TargetQuery {
    /// A host pattern.
    pattern: Option<String>,
    /// A selector: of these hosts, those that it fits.
    #[serde(rename = "where")]
    #[param(rename = "where")]
    selector: Option<String>,
}

impl From<TargetQuery> for Targets {
    fn from(query: TargetQuery) -> Self {
        Self {
            hosts: query.pattern.into_iter().collect(),
            exclude: Vec::new(),
            selector: query.selector,
        }
    }
}

/// Names that begin alike.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct NamesQuery {
    /// What the names begin with; `@` before the names of groups.
    prefix: String,
    /// At most so many (0 counts as 100; at most 10,000).
    limit: u32,
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

/// List the hosts of the inventory that a pattern and a selector name; all of them without both.
#[utoipa::path(get, path = "/hosts", tag = "inventory", params(TargetQuery),
    responses((status = 200, body = Vec<HostRecord>)))]
pub(super) async fn hosts(
    State(api): State<Api>,
    Query(query): Query<TargetQuery>,
) -> Result<axum::Json<Vec<HostRecord>>, Failure> {
    Ok(axum::Json(api.engine.hosts(&query.into()).await?))
}

/// List names of hosts or groups that begin alike, for completion.
#[utoipa::path(get, path = "/names", tag = "inventory", params(NamesQuery),
    responses((status = 200, body = Vec<String>)))]
pub(super) async fn names(
    State(api): State<Api>,
    Query(query): Query<NamesQuery>,
) -> Result<axum::Json<Vec<String>>, Failure> {
    let limit = match query.limit {
        0 => 100,
        limit => limit.min(10_000),
    };
    Ok(axum::Json(api.engine.names(&query.prefix, limit).await?))
}

/// List what hosts said of themselves; a task of kind `facts` asks them.
#[utoipa::path(get, path = "/facts", tag = "inventory", params(TargetQuery),
    responses((status = 200, body = Vec<HostFacts>)))]
pub(super) async fn facts(
    State(api): State<Api>,
    Query(query): Query<TargetQuery>,
) -> Result<axum::Json<Vec<HostFacts>>, Failure> {
    Ok(axum::Json(api.engine.facts(&query.into()).await?))
}

/// Say which part of the targets lets each host in or keeps it out.
#[utoipa::path(post, path = "/patterns/explain", tag = "patterns", request_body = Targets,
    responses((status = 200, body = Explanations)))]
pub(super) async fn explain(
    State(api): State<Api>,
    Json(targets): Json<Targets>,
) -> Result<axum::Json<Explanations>, Failure> {
    Ok(axum::Json(api.engine.explain(&targets).await?))
}

/// Give out the whole inventory, without facts.
#[utoipa::path(get, path = "/inventory", tag = "inventory", responses((status = 200, body = Document)))]
pub(super) async fn export(State(api): State<Api>) -> Result<axum::Json<Document>, Failure> {
    Ok(axum::Json(api.engine.document().await?))
}

/// Take over an inventory, all of it or nothing; or say what that would do.
#[utoipa::path(post, path = "/inventory", tag = "inventory", request_body = Import,
    responses((status = 200, body = ImportReport)))]
pub(super) async fn import(
    State(api): State<Api>,
    Json(import): Json<Import>,
) -> Result<axum::Json<ImportReport>, Failure> {
    Ok(axum::Json(api.engine.import(import).await?))
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

/// List all groups, counted.
#[utoipa::path(get, path = "/groups", tag = "inventory", responses((status = 200, body = Vec<GroupCount>)))]
pub(super) async fn groups(State(api): State<Api>) -> Result<axum::Json<Vec<GroupCount>>, Failure> {
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
    let removed = api.engine.remove_from_group(&name, &Members::default()).await?;
    Ok(axum::Json(Removed { removed }))
}

/// Put hosts and groups into a group; it is made where it is missing.
#[utoipa::path(post, path = "/groups/{name}/members", tag = "inventory",
    params(("name" = String, Path, description = "The group's name.")),
    request_body = Members, responses((status = 200, body = GroupView)))]
pub(super) async fn add_members(
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(members): Json<Members>,
) -> Result<axum::Json<GroupView>, Failure> {
    Ok(axum::Json(api.engine.add_to_group(&name, &members).await?))
}

/// Take hosts and groups out of a group.
#[utoipa::path(delete, path = "/groups/{name}/members", tag = "inventory",
    params(("name" = String, Path, description = "The group's name.")),
    request_body = Members, responses((status = 200, body = Removed)))]
pub(super) async fn remove_members(
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(members): Json<Members>,
) -> Result<axum::Json<Removed>, Failure> {
    if members == Members::default() {
        return Err(
            Failure::new(Code::InvalidRequest, "hosts, groups: the request names neither")
                .hint("DELETE /api/v1/groups/{name} removes the group itself"),
        );
    }
    let removed = api.engine.remove_from_group(&name, &members).await?;
    Ok(axum::Json(Removed { removed }))
}
