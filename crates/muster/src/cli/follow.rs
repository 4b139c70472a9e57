//! Following a task to its end, in every way of printing.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use muster_client::{Client, Events, exit};
use muster_model::task::TaskState;
use muster_model::wire::{Event, TaskView};
use muster_model::{Problem, TaskId};
use muster_runtime::clock::monotonic;

use super::args::Mode;
use super::context::Context;
use super::report;
use super::stop::Stop;
use crate::render::live::Live;
use crate::render::progress::Progress;
use crate::render::{Closed, Console, Screen, words};

/// The progress line is looked after this often.
const TICK: Duration = Duration::from_millis(100);
/// The end of a task is asked for at most this often.
const PAUSE: Duration = Duration::from_millis(100);
/// So many events, at most, are shown in one go.
const AT_ONCE: usize = 256;
/// So many bytes, at most, are shown in one go, the last event's aside.
const BYTES_AT_ONCE: usize = 1024 * 1024;

/// Follows a task to its end, prints it, and returns the exit code.
///
/// # Errors
///
/// Where it cannot be followed or printed.
pub async fn follow(context: &mut Context, id: TaskId, mode: Mode) -> Result<u8, Stop> {
    let client = context.client().await?;
    let task = match mode {
        Mode::Live | Mode::Jsonl => stream(context, &client, id, mode).await?,
        Mode::Grouped | Mode::Json | Mode::Quiet => wait(context, &client, id).await?,
    };
    match mode {
        Mode::Grouped => report::grouped(context, &client, id).await?,
        Mode::Json => report::json(context, &client, &task).await?,
        Mode::Live | Mode::Jsonl | Mode::Quiet => {}
    }
    if matches!(mode, Mode::Live | Mode::Grouped) {
        context.notice(&words::summary(&task)).await;
    }
    Ok(exit::of_counts(&task.counts))
}

/// Prints events as they come; returns the task at its end.
async fn stream(context: &mut Context, client: &Client, id: TaskId, mode: Mode) -> Result<TaskView, Stop> {
    let mut events = client.events(id);
    let mut shown = Shown {
        mode,
        live: Live::new(context.console.terminals()),
        progress: Progress::default(),
        task: None,
        screen: Screen::default(),
    };
    let begun = monotonic();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            event = events.next() => {
                let ended = shown.take(event)? || shown.take_ready(&mut events)?;
                shown.flush(&mut context.console).await?;
                if ended {
                    break;
                }
            }
            _ = tick.tick(), if context.console.shows_progress() && mode == Mode::Live => {
                if let Some(line) = shown.progress.due(monotonic().saturating_sub(begun)) {
                    context.console.progress(&line).await;
                }
            }
        }
    }
    shown.live.finish(&mut shown.screen);
    shown.flush(&mut context.console).await?;
    context.console.clear().await;
    match shown.task {
        Some(task) if task.state == TaskState::Done => Ok(task),
        // The stream ends with the task; if it ever did not, the server knows better.
        _ => Ok(client.task(id).await?),
    }
}

/// What has been shown of a task.
struct Shown {
    mode: Mode,
    live: Live,
    progress: Progress,
    task: Option<TaskView>,
    screen: Screen,
}

impl Shown {
    /// Takes an event; tells whether the stream has ended.
    fn take(&mut self, event: Option<Result<(String, Event), Problem>>) -> Result<bool, Stop> {
        let Some(event) = event else { return Ok(true) };
        let (_, event) = event?;
        if self.mode == Mode::Jsonl {
            serde_json::to_writer(&mut *self.screen.out(), &event)?;
            self.screen.out().push(b'\n');
        } else {
            self.progress.event(&event);
            self.live.event(&event, &mut self.screen);
        }
        if let Event::Task(task) = event {
            self.task = Some(task);
        }
        Ok(false)
    }

    /// Writes what there is to show.
    async fn flush(&mut self, console: &mut Console) -> Result<(), Closed> {
        if self.mode == Mode::Jsonl {
            console.flush_json(&mut self.screen).await
        } else {
            console.flush(&mut self.screen).await
        }
    }

    /// Takes the events that are there already, up to a bound.
    fn take_ready(&mut self, events: &mut Events) -> Result<bool, Stop> {
        for _ in 0..AT_ONCE {
            if self.screen.out().len() > BYTES_AT_ONCE {
                break;
            }
            let Some(event) = events.next().now_or_never() else {
                break;
            };
            if self.take(event)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Waits until a task is done, with the progress line, and returns it.
///
/// # Errors
///
/// Where the server cannot be asked.
pub async fn wait(context: &mut Context, client: &Client, id: TaskId) -> Result<TaskView, Stop> {
    let begun = monotonic();
    let mut progress = Progress::default();
    loop {
        let asked = monotonic();
        let task = client.task_when_done(id).await?;
        if task.state == TaskState::Done {
            context.console.clear().await;
            return Ok(task);
        }
        let now = monotonic();
        progress.counts(task.counts);
        if let Some(line) = progress.due(now.saturating_sub(begun)) {
            context.console.progress(&line).await;
        }
        // A server that does not wait is not asked without a pause.
        let waited = now.saturating_sub(asked);
        tokio::time::sleep(PAUSE.saturating_sub(waited)).await;
    }
}
