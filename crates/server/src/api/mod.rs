//! The addresses of the API, one file for each of its subjects, and the document that describes them.

mod credentials;
mod describe;
pub(crate) mod health;
mod host_keys;
mod inventory;
mod patterns;
mod process;
mod runs;
mod tasks;

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use bytes::Bytes;
use muster_engine::Engine;
use muster_model::problem::Code;
use muster_model::{Problem, Role};
use muster_runtime::CancellationToken;
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::guard::{self, Guard};
use crate::meter::{self, Meter};
use crate::serve::{Asked, ServerSettings};
use crate::{problem, step};

pub use describe::openapi;

/// What handlers have at hand.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) engine: Engine,
    pub(crate) settings: Arc<ServerSettings>,
    /// What clients wish of the process goes there.
    pub(crate) wishes: mpsc::Sender<Asked>,
    /// Cancelled when the process leaves: event streams end then.
    pub(crate) work: CancellationToken,
    /// What is counted.
    pub(crate) meter: Arc<Meter>,
}

/// The addresses of every server, whatever its roles.
fn of_the_process() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(process::server))
        .routes(routes!(process::handover))
        .routes(routes!(process::shutdown))
        .routes(routes!(process::cluster))
        .routes(routes!(process::doctor))
}

fn routes() -> OpenApiRouter<Api> {
    let api = of_the_process()
        .routes(routes!(tasks::list, tasks::submit))
        .routes(routes!(tasks::show))
        .routes(routes!(tasks::cancel))
        .routes(routes!(tasks::retry))
        .routes(routes!(tasks::events))
        .routes(routes!(runs::list))
        .routes(routes!(runs::stdout))
        .routes(routes!(runs::stderr))
        .routes(routes!(patterns::expand))
        .routes(routes!(patterns::fold))
        .routes(routes!(
            inventory::hosts,
            inventory::add_hosts,
            inventory::set_hosts,
            inventory::remove_hosts
        ))
        .routes(routes!(inventory::names))
        .routes(routes!(inventory::facts))
        .routes(routes!(inventory::explain))
        .routes(routes!(inventory::export, inventory::import))
        .routes(routes!(host_keys::list))
        .routes(routes!(host_keys::scan))
        .routes(routes!(host_keys::trust))
        .routes(routes!(inventory::groups))
        .routes(routes!(inventory::group, inventory::remove_group))
        .routes(routes!(inventory::add_members, inventory::remove_members))
        .routes(routes!(credentials::list))
        .routes(routes!(credentials::rekey))
        .routes(routes!(credentials::show, credentials::put, credentials::remove));
    OpenApiRouter::with_openapi(describe::head())
        .merge(of_health())
        .nest("/api/v1", api)
}

/// What every server answers to those who watch it, whatever it does.
fn of_health() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// Returns everything that the server answers to.
pub(crate) fn router(api: Api, guard: Arc<Guard>) -> Result<Router, Problem> {
    let (router, document) = routes().split_for_parts();
    let document = describe::finish(document).to_pretty_json().map_err(|error| {
        Problem::new(
            Code::Internal,
            format!("the API's description cannot be written: {error}"),
        )
    })?;
    let document = Bytes::from(document);
    let describe =
        move || async move { ([(header::CONTENT_TYPE, "application/json")], document).into_response() };
    let meter = Arc::clone(&api.meter);
    let router = match api.engine.roles().has(Role::Api) {
        true => router,
        // The rest is for others: whoever comes here with it is told where to go.
        false => of_health()
            .nest("/api/v1", of_the_process())
            .split_for_parts()
            .0
            .route("/api/v1/{*rest}", any(problem::not_here)),
    };
    let router = router
        .route("/api/v1/openapi.json", get(describe))
        .with_state(api);
    // Outermost: who is not let in is counted too.
    Ok(guarded(router, guard).layer(axum::middleware::from_fn_with_state(meter, meter::measure)))
}

/// Puts the guard in front of addresses, and problems behind them.
pub(crate) fn guarded(router: Router, guard: Arc<Guard>) -> Router {
    router
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(axum::middleware::from_fn(step::take))
        .layer(axum::middleware::from_fn_with_state(guard, guard::enter))
}
