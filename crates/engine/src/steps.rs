//! The steps of a task that traces show: `write`, `publish`, and for each run `run` with `connect`, `start`, `exec` and
//! `settle` below it. Their names and attributes stand here together; where nobody listens they cost nothing.
//!
//! A trace goes with the task in the database (the request that made it), and from the one who hands a run out to the one
//! who carries it out in the header `traceparent` of the message: so it holds together over processes and takeovers.

use muster_model::run::Change;
use muster_model::trace::HEADER;
use muster_model::{Outcome, RunState};
use muster_runtime::trace::{self, TARGET};
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::core::WORK;
use crate::dispatch::Work;
use crate::follow::LiveTask;

/// A task is written down.
pub(crate) fn write(hosts: usize) -> Span {
    info_span!(target: TARGET, "write", muster.hosts = hosts)
}

/// Runs of a task are handed out.
pub(crate) fn publish(live: &LiveTask, runs: usize) -> Span {
    let step = info_span!(
        target: TARGET,
        parent: None,
        "publish",
        otel.kind = "producer",
        messaging.operation.type = "send",
        messaging.destination.name = WORK,
        messaging.batch.message_count = runs,
        muster.task = live.id().0,
    );
    trace::follow(&step, live.record.options.trace);
    step
}

/// Returns the headers by which what is handed out in a step is found below it.
pub(crate) fn headers(step: &Span) -> Vec<(String, String)> {
    let at = trace::of(step);
    at.map(|at| (HEADER.to_owned(), at.to_string()))
        .into_iter()
        .collect()
}

/// An attempt of a run, from the delivery of its message to the settled result.
pub(crate) fn run(work: Work, headers: &[(String, String)]) -> Span {
    let step = info_span!(
        target: TARGET,
        parent: None,
        "run",
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.operation.type = "process",
        messaging.destination.name = WORK,
        muster.task = work.run.task.0,
        muster.run = %work.run,
        muster.attempt = work.attempt,
        muster.host = Empty,
        muster.state = Empty,
    );
    if !step.is_disabled() {
        let header = headers.iter().find(|(name, _)| name == HEADER);
        trace::follow(&step, header.and_then(|(_, value)| value.parse().ok()));
    }
    step
}

/// Notes in the step that is entered, a run's, which host it is about.
pub(crate) fn note_host(name: &str) {
    Span::current().record("muster.host", name);
}

/// Notes in the step that is entered, a run's, how its attempt ended.
pub(crate) fn note_end(change: &Change) {
    match change {
        Change::Settle { outcome, .. } | Change::Again { outcome } | Change::Withdraw { outcome } => {
            let step = Span::current();
            step.record("muster.state", outcome.state.as_str());
            note_outcome(&step, outcome);
        }
        Change::Start { .. } => {}
    }
}

/// A host is connected to and logged in on, unless a connection to it is there already.
pub(crate) fn connect() -> Span {
    info_span!(target: TARGET, "connect", otel.kind = "client", otel.status_code = Empty)
}

/// The start of a command is written down.
pub(crate) fn start() -> Span {
    info_span!(target: TARGET, "start")
}

/// A command runs on its host. It finds this step in its environment, and may go on below it.
pub(crate) fn exec() -> Span {
    info_span!(
        target: TARGET,
        "exec",
        otel.kind = "client",
        otel.status_code = Empty,
        process.exit.code = Empty,
    )
}

/// Notes how a command ended.
pub(crate) fn note_outcome(step: &Span, outcome: &Outcome) {
    if let Some(code) = outcome.exit_code {
        step.record("process.exit.code", code);
    }
    if outcome.state != RunState::Succeeded {
        note_failure(step);
    }
}

/// Notes that a step failed.
pub(crate) fn note_failure(step: &Span) {
    step.record("otel.status_code", "error");
}

/// A result is written down.
pub(crate) fn settle() -> Span {
    info_span!(target: TARGET, "settle")
}
