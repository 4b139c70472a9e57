//! How things are said: states, outcomes, counts, spans of time. Pure.

use std::time::Duration;

use muster_model::task::TaskState;
use muster_model::wire::TaskView;
use muster_model::{Counts, Problem, RunState};

use super::sanitise;

/// What is known of a run's end, from wherever it comes.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// The state.
    pub state: RunState,
    /// The exit code.
    pub exit_code: Option<i32>,
    /// The signal, without `SIG`.
    pub signal: Option<&'a str>,
    /// What went wrong.
    pub error: Option<&'a str>,
}

impl Ending<'_> {
    /// Returns the ending as words: `failed, exit code 3`, `unreachable: connection refused`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = state(self.state).to_owned();
        match (self.exit_code, self.signal) {
            (_, Some(signal)) => {
                words.push_str(", signal ");
                words.push_str(&sanitise::line(signal));
            }
            (Some(code), None) => {
                words.push_str(", exit code ");
                words.push_str(&code.to_string());
            }
            (None, None) => {}
        }
        if let Some(error) = self.error {
            words.push_str(": ");
            words.push_str(&sanitise::line(error));
        }
        words
    }
}

/// Returns a state as a word for people.
#[must_use]
pub fn state(state: RunState) -> &'static str {
    match state {
        RunState::TimedOut => "timed out",
        other => other.as_str(),
    }
}

/// Returns `1 host` or `19 hosts`.
#[must_use]
pub fn hosts(count: usize) -> String {
    match count {
        1 => "1 host".to_owned(),
        _ => format!("{count} hosts"),
    }
}

/// Returns the counts that are not zero: `2 succeeded, 1 failed`.
#[must_use]
pub fn counts(counts: &Counts) -> String {
    let order = [
        RunState::Succeeded,
        RunState::Failed,
        RunState::TimedOut,
        RunState::Unreachable,
        RunState::Cancelled,
        RunState::Expired,
        RunState::Lost,
        RunState::Skipped,
        RunState::Started,
        RunState::Queued,
    ];
    let parts: Vec<String> = order
        .into_iter()
        .filter(|of| counts.of(*of) > 0)
        .map(|of| format!("{} {}", counts.of(of), state(of)))
        .collect();
    if parts.is_empty() {
        "no runs".to_owned()
    } else {
        parts.join(", ")
    }
}

/// Returns the last line of a followed task: `task 45334 done in 1.2s: 2 succeeded`.
#[must_use]
pub fn summary(task: &TaskView) -> String {
    let state = match (task.state, task.finished_at) {
        (TaskState::Done, Some(end)) => format!("done in {}", span(end.since(task.created_at))),
        (TaskState::Done, None) => "done".to_owned(),
        (TaskState::Running, _) => "running".to_owned(),
    };
    format!("task {} {state}: {}", task.id, counts(&task.counts))
}

/// Returns a span of time in its two largest units: `0.3s`, `12s`, `3m05s`, `2h10m`, `4d3h`.
#[must_use]
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", span.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// Returns a problem as it is shown: what was wrong, and a line with what to do.
#[must_use]
pub fn problem(problem: &Problem) -> String {
    let detail: Vec<_> = problem.detail.lines().map(sanitise::line).collect();
    let mut text = format!("muster: {}\n", detail.join("\n  "));
    if let Some(hint) = &problem.hint {
        for (place, hint) in hint.lines().enumerate() {
            text.push_str(if place == 0 { "  hint: " } else { "        " });
            text.push_str(&sanitise::line(hint));
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use muster_model::problem::Code;

    use super::*;

    #[test]
    fn endings_say_what_is_known() {
        let ending = |state, exit_code, signal, error| {
            Ending {
                state,
                exit_code,
                signal,
                error,
            }
            .words()
        };
        assert_eq!(
            ending(RunState::Failed, Some(3), None, None),
            "failed, exit code 3"
        );
        assert_eq!(
            ending(RunState::Failed, None, Some("KILL"), None),
            "failed, signal KILL"
        );
        assert_eq!(
            ending(RunState::Unreachable, None, None, Some("refused\x1b[2J")),
            "unreachable: refused␛[2J"
        );
        assert_eq!(
            ending(RunState::TimedOut, None, None, Some("ran longer than 5s")),
            "timed out: ran longer than 5s"
        );
    }

    #[test]
    fn counts_leave_out_what_is_zero() {
        let of = Counts {
            total: 5,
            started: 1,
            succeeded: 3,
            timed_out: 1,
            ..Counts::default()
        };
        assert_eq!(counts(&of), "3 succeeded, 1 timed out, 1 started");
    }

    #[test]
    fn spans_are_short() {
        for (millis, text) in [
            (0, "0.0s"),
            (1234, "1.2s"),
            (59_900, "59s"),
            (185_000, "3m05s"),
            (7_800_000, "2h10m"),
            (356_400_000, "4d3h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_problem_is_told_with_its_hint() {
        let told = problem(&Problem::new(Code::UnknownGroup, "there is no group 'x'").hint("see\nthis"));
        assert_eq!(told, "muster: there is no group 'x'\n  hint: see\n        this\n");
    }
}
