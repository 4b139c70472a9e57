//! Following a task: one stream of events out of as many connections as it takes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};
use muster_model::problem::Code;
use muster_model::task::TaskState;
use muster_model::wire::Event;
use muster_model::wire::framed::Told;
use muster_model::{Problem, TaskId};

use crate::Client;
use crate::body::Download;
use crate::events::Reader;
use crate::seen::Seen;

/// A server sends at least a comment every 15 seconds: after this long without a byte it is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// A stream that has held this long was no failed try.
const STEADY: Duration = Duration::from_secs(10);
/// So many tries in a row that bring no event, and following ends: about half a minute.
const TRIES: u32 = 20;

/// The events of a task with the ids to resume from, until the task is done. Waiting for the next one is
/// cancel-safe. After an error it ends.
pub struct Events {
    stream: BoxStream<'static, Result<(String, Event), Problem>>,
}

impl Stream for Events {
    type Item = Result<(String, Event), Problem>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.poll_next_unpin(cx)
    }
}

pub(crate) fn events(client: Client, task: TaskId) -> Events {
    let follower = Follower {
        client,
        task,
        last_id: String::new(),
        live: None,
        seen: Seen::default(),
        tries: 0,
        opening: true,
        ended: false,
    };
    let stream = unfold(follower, |mut follower| async move {
        if follower.ended {
            return None;
        }
        let item = follower.next().await;
        follower.ended |= item.is_err();
        Some((item, follower))
    });
    Events {
        stream: stream.boxed(),
    }
}

struct Follower {
    client: Client,
    task: TaskId,
    last_id: String,
    live: Option<Live>,
    seen: Seen,
    /// Tries since the last event.
    tries: u32,
    /// The stream begins: its first event is the task as it stands, even of a task that is done already.
    opening: bool,
    ended: bool,
}

/// One connection's worth of events.
struct Live {
    download: Download,
    reader: Reader,
    ready: VecDeque<Told>,
    since: tokio::time::Instant,
}

impl Follower {
    async fn next(&mut self) -> Result<(String, Event), Problem> {
        loop {
            let told = match &mut self.live {
                Some(live) => match live.next().await {
                    Ok(told) => told,
                    Err(why) => {
                        tracing::debug!(task = %self.task, why, "the event stream ended early");
                        if live.since.elapsed() >= STEADY {
                            self.tries = 0;
                        }
                        self.live = None;
                        continue;
                    }
                },
                None => {
                    self.connect().await?;
                    continue;
                }
            };
            let (id, event) = match told {
                Told::Event(id, event) => (id, event),
                Told::Problem(problem) => {
                    self.live = None;
                    self.told(problem)?;
                    continue;
                }
            };
            if !id.is_empty() {
                self.last_id.clone_from(&id);
            }
            match &event {
                Event::Reset => self.opening = true,
                Event::Task(task) => {
                    let first = std::mem::take(&mut self.opening);
                    self.ended = !first && task.state == TaskState::Done;
                }
                Event::Run(_) | Event::Output(_) => {}
            }
            if self.seen.is_new(&event) {
                // The task as it stands is no progress: every stream begins with it.
                if !matches!(event, Event::Task(_)) {
                    self.tries = 0;
                }
                return Ok((id, event));
            }
        }
    }

    /// Takes a problem that ended the stream: one that may pass is no reason to give up.
    fn told(&self, problem: Problem) -> Result<(), Problem> {
        tracing::debug!(task = %self.task, %problem, "the event stream ended with a problem");
        if may_pass(&problem) { Ok(()) } else { Err(problem) }
    }

    async fn connect(&mut self) -> Result<(), Problem> {
        self.tries += 1;
        if self.tries > 1 {
            let wait = Duration::from_millis((50 << self.tries.min(6)).min(2000));
            tokio::time::sleep(wait).await;
        }
        match self.client.open_events(self.task, &self.last_id).await {
            Ok(download) => {
                self.opening = self.last_id.is_empty();
                self.live = Some(Live {
                    reader: Reader::of(&download),
                    download,
                    ready: VecDeque::new(),
                    since: tokio::time::Instant::now(),
                });
                Ok(())
            }
            Err(problem) => {
                // A server that never answered is a matter for the caller, at once.
                let first = self.last_id.is_empty() && self.tries == 1;
                if may_pass(&problem) && !first && self.tries < TRIES {
                    return Ok(());
                }
                Err(problem)
            }
        }
        .and_then(|()| {
            if self.tries < TRIES {
                return Ok(());
            }
            Err(Problem::new(
                Code::Unavailable,
                format!("the server breaks off every stream of task {}", self.task),
            )
            .hint(format!(
                "the task goes on: `muster check_task {}` says how it stands",
                self.task
            )))
        })
    }
}

fn may_pass(problem: &Problem) -> bool {
    matches!(problem.code, Code::Unavailable | Code::Draining | Code::NotHere)
}

impl Live {
    /// Returns what is told next; the error says why there is nothing.
    async fn next(&mut self) -> Result<Told, String> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Ok(told);
            }
            let bytes = match tokio::time::timeout(SILENCE, self.download.next()).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => return Err("the server ended it".to_owned()),
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("the server fell silent".to_owned()),
            };
            self.reader.feed(bytes, &mut self.ready)?;
        }
    }
}
