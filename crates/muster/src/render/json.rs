//! The one JSON object of `--json`, written run by run: no more than one run is held. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_model::wire::{RunView, TaskView};

/// Appends the beginning of the object: the task.
pub fn begin(task: &TaskView, into: &mut Vec<u8>) -> serde_json::Result<()> {
    into.extend_from_slice(b"{\"task\":");
    serde_json::to_writer(&mut *into, task)?;
    into.extend_from_slice(b",\"runs\":[");
    Ok(())
}

/// Appends one run.
pub fn run(run: &RunView, first: bool, into: &mut Vec<u8>) -> serde_json::Result<()> {
    into.extend_from_slice(if first { b"\n" } else { b",\n" });
    serde_json::to_writer(into, run)
}

/// Appends the end of the object.
pub fn end(into: &mut Vec<u8>) {
    into.extend_from_slice(b"]}\n");
}

/// Returns bytes as JSON shows them: text, with U+FFFD for what is none, and only then the bytes in base64.
#[must_use]
pub fn bytes(bytes: Vec<u8>) -> (String, Option<String>) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let bytes = error.as_bytes();
            (
                String::from_utf8_lossy(bytes).into_owned(),
                Some(STANDARD.encode(bytes)),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::task::TaskState;
    use muster_model::wire::TaskReport;
    use muster_model::{Counts, RunState, TaskId, Timestamp};

    use super::*;

    #[test]
    fn what_is_written_run_by_run_is_the_report() {
        let (stdout, stdout_base64) = bytes(vec![b'a', 0xff]);
        assert_eq!(stdout, "a\u{fffd}");
        let run_view = RunView {
            host: "10.4.3.4".into(),
            state: RunState::Succeeded,
            attempt: 1,
            exit_code: Some(0),
            signal: None,
            error: None,
            stdout,
            stdout_base64,
            stderr: String::new(),
            stderr_base64: None,
            stdout_bytes: 2,
            stderr_bytes: 0,
            truncated: false,
            queued_at: Timestamp(0),
            started_at: Some(Timestamp(1)),
            finished_at: Some(Timestamp(2)),
        };
        let task = TaskView {
            id: TaskId(45334),
            kind: "command".into(),
            command: "df -h".into(),
            state: TaskState::Done,
            created_at: Timestamp(0),
            finished_at: Some(Timestamp(2)),
            output_removed_at: None,
            counts: Counts {
                total: 2,
                succeeded: 2,
                ..Counts::default()
            },
        };
        for runs in [vec![], vec![run_view.clone()], vec![run_view.clone(), run_view]] {
            let mut written = Vec::new();
            begin(&task, &mut written).expect("written");
            for (place, view) in runs.iter().enumerate() {
                run(view, place == 0, &mut written).expect("written");
            }
            end(&mut written);
            let report: TaskReport = serde_json::from_slice(&written).expect("JSON");
            assert_eq!(
                report,
                TaskReport {
                    task: task.clone(),
                    runs
                }
            );
        }
    }
}
