//! Credentials. Secrets come in and never go out.

use axum::extract::State;
use axum::http::StatusCode;
use muster_model::inventory::CredentialName;
use muster_model::wire::credentials::{CredentialView, PutCredential, Rekeyed};
use serde::Deserialize;

use super::Api;
use crate::extract::{Path, Query, SecretJson, value};
use crate::problem::Failure;

/// Whether a credential goes that hosts use.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct RemoveQuery {
    /// Remove it although hosts of the inventory use it.
    force: bool,
}

fn named(name: &str) -> Result<CredentialName, Failure> {
    value("name", name)
}

/// List all credentials: what they hold, never the secrets.
#[utoipa::path(get, path = "/credentials", tag = "credentials",
    responses((status = 200, body = Vec<CredentialView>)))]
pub(super) async fn list(State(api): State<Api>) -> Result<axum::Json<Vec<CredentialView>>, Failure> {
    Ok(axum::Json(api.engine.credentials().await?))
}

/// Show a credential: what it holds, never the secrets.
#[utoipa::path(get, path = "/credentials/{name}", tag = "credentials",
    params(("name" = String, Path, description = "The credential's name.")),
    responses((status = 200, body = CredentialView)))]
pub(super) async fn show(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<axum::Json<CredentialView>, Failure> {
    Ok(axum::Json(api.engine.credential(&named(&name)?).await?))
}

/// Keep a credential, sealed.
#[utoipa::path(put, path = "/credentials/{name}", tag = "credentials",
    params(("name" = String, Path, description = "The credential's name.")),
    request_body = PutCredential, responses((status = 200, body = CredentialView)))]
pub(super) async fn put(
    State(api): State<Api>,
    Path(name): Path<String>,
    SecretJson(credential): SecretJson<PutCredential>,
) -> Result<axum::Json<CredentialView>, Failure> {
    let view = api.engine.put_credential(&named(&name)?, credential).await?;
    Ok(axum::Json(view))
}

/// Remove a credential; one that hosts of the inventory use only with `force`.
#[utoipa::path(delete, path = "/credentials/{name}", tag = "credentials",
    params(("name" = String, Path, description = "The credential's name."), RemoveQuery),
    responses((status = 204)))]
pub(super) async fn remove(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode, Failure> {
    api.engine.remove_credential(&named(&name)?, query.force).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Seal every credential with a new key of the vault. Ended half-way, it goes on where it is asked for again.
#[utoipa::path(post, path = "/credentials/rekey", tag = "credentials",
    responses((status = 200, body = Rekeyed)))]
pub(super) async fn rekey(State(api): State<Api>) -> Result<axum::Json<Rekeyed>, Failure> {
    Ok(axum::Json(api.engine.rekey().await?))
}
