//! Tasks that were started at the prompt and have not ended: asked after, so that their end can be told.

use std::time::Duration;

use muster_client::Client;
use muster_model::TaskId;
use muster_model::problem::Code;
use muster_model::task::TaskState;
use muster_runtime::clock::monotonic;

use crate::render::words;

/// The first look comes this soon.
const SOON: Duration = Duration::from_millis(50);
/// Looks are never further apart.
const SELDOM: Duration = Duration::from_secs(2);

/// Tasks under watch.
#[derive(Default)]
pub(super) struct Watched {
    client: Option<Client>,
    tasks: Vec<Watch>,
}

struct Watch {
    id: TaskId,
    since: Duration,
    due: Duration,
}

impl Watched {
    /// Watches these tasks too.
    pub(super) fn add(&mut self, client: &Client, tasks: impl IntoIterator<Item = TaskId>) {
        self.client = Some(client.clone());
        let now = monotonic();
        self.tasks.extend(tasks.into_iter().map(|id| Watch {
            id,
            since: now,
            due: now + SOON,
        }));
    }

    /// Returns what is to be told of the next task that has ended; waits for ever where none is watched.
    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> String {
        loop {
            let first = (0..self.tasks.len()).min_by_key(|place| self.tasks[*place].due);
            let (Some(place), Some(client)) = (first, self.client.clone()) else {
                return std::future::pending().await;
            };
            tokio::time::sleep(self.tasks[place].due.saturating_sub(monotonic())).await;
            let answer = client.task(self.tasks[place].id).await;
            match answer {
                Ok(task) if task.state == TaskState::Done => {
                    self.tasks.remove(place);
                    return words::summary(&task);
                }
                Err(problem) if problem.code == Code::UnknownTask => {
                    self.tasks.remove(place);
                }
                // Running; or the server does not answer now: the next look says.
                Ok(_) | Err(_) => {
                    let watch = &mut self.tasks[place];
                    let now = monotonic();
                    let pause = (now.saturating_sub(watch.since) / 5).clamp(SOON, SELDOM);
                    watch.due = now + pause;
                }
            }
        }
    }
}
