//! The progress line: what it says, and when it is drawn. Pure: the console does the drawing.

use std::collections::HashMap;
use std::time::Duration;

use muster_model::wire::Event;
use muster_model::{Counts, RunState};

/// Nothing is drawn before a command has taken this long.
const QUIET: Duration = Duration::from_millis(500);
/// The line is drawn at most this often.
const EVERY: Duration = Duration::from_millis(100);

/// How far a task is.
#[derive(Debug, Default)]
pub struct Progress {
    counts: Counts,
    states: HashMap<u32, RunState>,
    drawn: Option<Duration>,
}

impl Progress {
    /// Takes the counts as they stand.
    pub fn counts(&mut self, counts: Counts) {
        self.counts = counts;
    }

    /// Takes an event into account.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Task(task) => {
                // The events that follow tell every run's story from its beginning, and the counts with it.
                if self.counts.total == 0 {
                    self.counts.total = task.counts.total;
                    self.counts.queued = task.counts.total;
                }
            }
            Event::Run(run) => {
                let before = self
                    .states
                    .insert(run.index, run.state)
                    .unwrap_or(RunState::Queued);
                let place = self.counts.of_mut(before);
                *place = place.saturating_sub(1);
                *self.counts.of_mut(run.state) += 1;
            }
            Event::Reset | Event::Output(_) => {}
        }
    }

    /// Returns the line to draw where it is time to, `elapsed` after the command began.
    pub fn due(&mut self, elapsed: Duration) -> Option<String> {
        let due = elapsed >= QUIET && self.drawn.is_none_or(|drawn| elapsed >= drawn + EVERY);
        if !due || self.counts.total == 0 {
            return None;
        }
        self.drawn = Some(elapsed);
        Some(self.line(elapsed))
    }

    fn line(&self, elapsed: Duration) -> String {
        let counts = &self.counts;
        let done = counts.total.saturating_sub(counts.open());
        let mut line = format!("{done}/{} done", counts.total);
        let bad = counts.failures() + counts.cancelled + counts.skipped;
        if bad > 0 {
            line.push_str(&format!(", {bad} failed"));
        }
        if counts.started > 0 {
            line.push_str(&format!(", {} running", counts.started));
        }
        line.push_str(&format!(", {}s", elapsed.as_secs()));
        line
    }
}

#[cfg(test)]
mod tests {
    use muster_model::TaskId;
    use muster_model::wire::RunEvent;

    use super::*;

    fn run(index: u32, state: RunState) -> Event {
        Event::Run(RunEvent {
            task: TaskId(1),
            index,
            host: String::new(),
            state,
            attempt: 1,
            exit_code: None,
            signal: None,
            error: None,
            stdout_bytes: 0,
            stderr_bytes: 0,
            truncated: false,
        })
    }

    #[test]
    fn the_line_is_drawn_late_and_seldom() {
        let mut progress = Progress::default();
        progress.counts(Counts {
            total: 500,
            queued: 500,
            ..Counts::default()
        });
        for (index, state) in [
            (0, RunState::Started),
            (0, RunState::Succeeded),
            (1, RunState::Started),
            (2, RunState::Unreachable),
        ] {
            progress.event(&run(index, state));
        }
        let millis = Duration::from_millis;
        assert_eq!(progress.due(millis(400)), None);
        assert_eq!(
            progress.due(millis(1500)).as_deref(),
            Some("2/500 done, 1 failed, 1 running, 1s")
        );
        assert_eq!(progress.due(millis(1550)), None);
        assert!(progress.due(millis(1600)).is_some());
    }
}
