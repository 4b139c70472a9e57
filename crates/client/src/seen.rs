//! What a follower has seen already, for streams that begin anew. Pure.

use std::collections::HashMap;

use muster_model::RunState;
use muster_model::wire::Event;

/// Remembers how far each run has been seen: a few bytes for each run.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    runs: HashMap<u32, Mark>,
}

#[derive(Debug, Default)]
struct Mark {
    /// Attempt and place of the last output.
    output: Option<(u32, u64)>,
    /// Attempt and step of the last state.
    state: Option<(u32, u8)>,
}

impl Seen {
    /// Tells whether the event says something new, and remembers it.
    pub(crate) fn is_new(&mut self, event: &Event) -> bool {
        match event {
            Event::Reset => false,
            Event::Task(_) => true,
            Event::Run(run) => {
                let mark = self.runs.entry(run.index).or_default();
                advance(&mut mark.state, (run.attempt, step(run.state)))
            }
            Event::Output(output) => {
                let mark = self.runs.entry(output.index).or_default();
                advance(&mut mark.output, (output.attempt, output.offset))
            }
        }
    }
}

fn advance<T: PartialOrd>(mark: &mut Option<T>, to: T) -> bool {
    let new = mark.as_ref().is_none_or(|mark| to > *mark);
    if new {
        *mark = Some(to);
    }
    new
}

/// Within an attempt a run only ever goes forward.
fn step(state: RunState) -> u8 {
    match state {
        RunState::Queued => 0,
        RunState::Started => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use muster_model::wire::{OutputEvent, RunEvent};
    use muster_model::{Stream, TaskId};

    use super::*;

    fn output(index: u32, attempt: u32, offset: u64) -> Event {
        Event::Output(OutputEvent {
            task: TaskId(1),
            index,
            host: "h".into(),
            attempt,
            stream: Stream::Stdout,
            offset,
            bytes: "x".into(),
        })
    }

    fn run(index: u32, attempt: u32, state: RunState) -> Event {
        Event::Run(RunEvent {
            task: TaskId(1),
            index,
            host: "h".into(),
            state,
            attempt,
            exit_code: None,
            signal: None,
            error: None,
            stdout_bytes: 0,
            stderr_bytes: 0,
            truncated: false,
        })
    }

    #[test]
    fn a_stream_that_begins_anew_repeats_nothing() {
        let first = [
            run(0, 1, RunState::Started),
            output(0, 1, 0),
            output(0, 1, 20),
            run(0, 2, RunState::Queued),
            run(0, 2, RunState::Started),
            output(0, 2, 0),
            output(1, 1, 0),
            run(1, 1, RunState::Succeeded),
        ];
        let mut seen = Seen::default();
        assert!(first.iter().all(|event| seen.is_new(event)));
        assert!(!seen.is_new(&Event::Reset));
        assert!(first.iter().all(|event| !seen.is_new(event)));
        assert!(seen.is_new(&output(0, 2, 9)), "what comes after is new");
        assert!(seen.is_new(&run(0, 2, RunState::Failed)));
    }
}
