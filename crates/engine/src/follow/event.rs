//! Events of runs, out of what is known of them.

use muster_model::event::Ending;
use muster_model::wire::RunEvent;
use muster_model::{RunRecord, RunState, TaskId};

pub(super) fn run_event(
    task: TaskId,
    index: u32,
    host: String,
    state: RunState,
    attempt: u32,
    ending: Ending,
) -> RunEvent {
    RunEvent {
        task,
        index,
        host,
        state,
        attempt,
        exit_code: ending.exit_code,
        signal: ending.signal,
        error: ending.error,
        stdout_bytes: ending.stdout_bytes,
        stderr_bytes: ending.stderr_bytes,
        truncated: ending.truncated,
    }
}

pub(super) fn ending_of(run: &RunRecord) -> Ending {
    Ending {
        exit_code: run.exit_code,
        signal: run.signal.clone(),
        error: run.error.clone(),
        stdout_bytes: run.stdout_bytes,
        stderr_bytes: run.stderr_bytes,
        truncated: run.truncated,
    }
}

pub(super) fn run_event_of(run: &RunRecord) -> RunEvent {
    run_event(
        run.key.task,
        run.key.index,
        run.host.clone(),
        run.state,
        run.attempt,
        ending_of(run),
    )
}
