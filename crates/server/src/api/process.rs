//! The server itself: who it is, how its back ends are, and asking it to leave.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use muster_model::problem::Code;
use muster_model::wire::cluster::ClusterView;
use muster_model::wire::{Check, PROTOCOL, ServerInfo};
use muster_runtime::clock;
use tokio::sync::oneshot;

use super::Api;
use crate::memory;
use crate::problem::Failure;
use crate::serve::{Asked, Wish};

/// How long the process may take to close its socket.
const CLOSING: Duration = Duration::from_secs(10);

impl Api {
    async fn info(&self) -> ServerInfo {
        let load = self.engine.load().await;
        let settings = &self.settings;
        ServerInfo {
            version: settings.version.clone(),
            protocol: PROTOCOL,
            pid: std::process::id(),
            started_at: settings.started_at,
            active_runs: load.active_runs,
            open_tasks: load.open_tasks,
            draining: load.draining,
            memory_bytes: memory::resident().await,
            database: settings.database.clone(),
            queue: settings.queue.clone(),
            cache: settings.cache.clone(),
        }
    }

    async fn wish(&self, wish: Wish) -> Result<(StatusCode, Json<ServerInfo>), Failure> {
        let (done, heard) = oneshot::channel();
        let unheard = || Failure::new(Code::Unavailable, "the process does not listen to wishes");
        self.wishes
            .send(Asked { wish, done })
            .await
            .map_err(|_| unheard())?;
        // A process that has the same wish in hand already drops the second one: it is granted all the same.
        match clock::deadline(CLOSING, heard).await {
            Ok(_) => Ok((StatusCode::ACCEPTED, Json(self.info().await))),
            Err(clock::Elapsed) => Err(Failure::new(
                Code::Unavailable,
                "the server did not close its socket in time",
            )),
        }
    }
}

/// Who answers, and what it has in hand.
#[utoipa::path(get, path = "/server", tag = "server", responses((status = 200, body = ServerInfo)))]
pub(super) async fn server(State(api): State<Api>) -> Json<ServerInfo> {
    Json(api.info().await)
}

/// Make room for a newer server: stop listening at once, finish what was started, leave.
///
/// When the answer comes, the socket is free.
#[utoipa::path(post, path = "/server/handover", tag = "server", responses((status = 202, body = ServerInfo)))]
pub(super) async fn handover(State(api): State<Api>) -> Result<(StatusCode, Json<ServerInfo>), Failure> {
    api.wish(Wish::HandOver).await
}

/// Leave: stop listening at once, give what was started a while to end, leave.
///
/// When the answer comes, the socket is free.
#[utoipa::path(post, path = "/server/shutdown", tag = "server", responses((status = 202, body = ServerInfo)))]
pub(super) async fn shutdown(State(api): State<Api>) -> Result<(StatusCode, Json<ServerInfo>), Failure> {
    api.wish(Wish::ShutDown).await
}

/// The servers that share the database, and what each has in hand.
#[utoipa::path(get, path = "/cluster", tag = "server", responses((status = 200, body = ClusterView)))]
pub(super) async fn cluster(State(api): State<Api>) -> Result<Json<ClusterView>, Failure> {
    Ok(Json(api.engine.cluster().await?))
}

/// Check every back end.
#[utoipa::path(get, path = "/doctor", tag = "server", responses((status = 200, body = Vec<Check>)))]
pub(super) async fn doctor(State(api): State<Api>) -> Json<Vec<Check>> {
    let mut checks = api.engine.doctor().await;
    let settings = &api.settings;
    // Where each is, is known here; the database says it itself while it answers.
    for check in &mut checks {
        let place = match check.name.as_str() {
            "database" if !check.ok => &settings.database,
            "queue" => &settings.queue,
            "cache" => &settings.cache,
            _ => continue,
        };
        // That one is in this process has no address that would tell anybody anything.
        let place = match place.starts_with("memory:") {
            true => "embedded in this server",
            false => place,
        };
        check.detail = format!("{place}: {}", check.detail);
    }
    Json(checks)
}
