//! What the server counts: requests and who is connected; and what the system says about its process.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, Response};
use axum::middleware::Next;
use muster_runtime::clock;
use muster_runtime::meter::{Counters, Gauge, Histograms, MOMENTS, Meters};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{SysconfVar, sysconf};
use tokio::sync::watch;

use crate::memory;
use crate::serve::ServerSettings;

/// What the server counts.
pub(crate) struct Meter {
    requests: Counters<3>,
    seconds: Histograms<2>,
    /// Who follows a task.
    pub(crate) followers: Gauge,
}

impl Meter {
    pub(crate) fn new(meters: &Meters, settings: &ServerSettings) -> Self {
        let build = meters.gauges("muster_build_info", "The release that runs", ["version"]);
        build.of([settings.version.clone().into()]).set(1);
        process(meters, settings);
        Self {
            requests: meters.counters(
                "muster_http_requests_total",
                "Requests, by the pattern of their address and the status of their answer",
                ["route", "method", "status"],
            ),
            seconds: meters.histograms(
                "muster_http_request_seconds",
                "How long answers took, up to their head: of a stream, not to its end",
                ["route", "method"],
                MOMENTS,
            ),
            followers: meters.gauge(
                "muster_event_followers",
                "Streams of events that are being followed",
            ),
        }
    }

    /// Has the open connections counted.
    pub(crate) fn connections(meters: &Meters, connections: watch::Receiver<usize>) {
        meters.sampled(
            "muster_http_connections",
            "Open connections of clients",
            move || Some(*connections.borrow() as f64),
        );
    }
}

/// Counts a request and how long its answer took.
pub(crate) async fn measure(
    State(meter): State<Arc<Meter>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response<Body> {
    // An address that does not exist is a stranger's text.
    let route = route.map_or_else(|| "(none)".to_owned(), |route| route.as_str().to_owned());
    let method = word(request.method());
    let since = clock::monotonic();
    let response = next.run(request).await;
    let took = clock::monotonic().saturating_sub(since);
    meter.seconds.of([route.clone().into(), method.into()]).took(took);
    let status = response.status().as_str().to_owned();
    meter
        .requests
        .of([route.into(), method.into(), status.into()])
        .inc();
    response
}

/// Returns a method; any text could be one.
pub(crate) fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// What every program that Prometheus looks at says of itself, by the names that are usual.
fn process(meters: &Meters, settings: &ServerSettings) {
    let started_at = settings.started_at;
    meters.sampled(
        "process_start_time_seconds",
        "When the process was started, in seconds since 1970",
        move || Some(started_at.0 as f64 / 1e6),
    );
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64;
    meters.sampled(
        "process_cpu_seconds_total",
        "Time of processors, in the system and outside of it",
        move || Some(memory::cpu_ticks()? as f64 / ticks),
    );
    meters.sampled("process_resident_memory_bytes", "Resident memory", || {
        memory::resident_now().map(|bytes| bytes as f64)
    });
    meters.sampled("process_open_fds", "Open files", || {
        std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|files| files.count() as f64)
    });
    meters.sampled("process_max_fds", "At most so many files may be open", || {
        getrlimit(Resource::RLIMIT_NOFILE)
            .ok()
            .map(|(soft, _)| soft as f64)
    });
}
