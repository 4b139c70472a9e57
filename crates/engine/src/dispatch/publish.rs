//! Work items on the queue.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use muster_model::{RunKey, TaskId};
use muster_queue::Message;
use muster_runtime::{Backoff, clock, crash_point};
use tracing::Instrument;

use crate::core::{Core, WORK};
use crate::follow::LiveTask;
use crate::steps;

/// One attempt of one run, as it stands in the queue: 16 bytes, big-endian task, index, attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) run: RunKey,
    pub(crate) attempt: u32,
}

impl Work {
    pub(crate) fn encode(self) -> Bytes {
        let mut body = BytesMut::with_capacity(16);
        body.put_u64(self.run.task.0);
        body.put_u32(self.run.index);
        body.put_u32(self.attempt);
        body.freeze()
    }

    pub(crate) fn decode(mut body: Bytes) -> Option<Self> {
        (body.len() == 16).then(|| Self {
            run: RunKey {
                task: TaskId(body.get_u64()),
                index: body.get_u32(),
            },
            attempt: body.get_u32(),
        })
    }
}

impl Core {
    /// Publishes runs (index and attempt) of a task. Tries for as long as the task is dispatched here: what is not
    /// published now is published by whoever takes the task over.
    pub(crate) async fn publish_work(self: &Arc<Self>, live: &LiveTask, runs: &[(u32, u32)]) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        for runs in runs.chunks(1000) {
            crash_point!(WorkReleased);
            let step = steps::publish(live, runs.len());
            let headers = steps::headers(&step);
            loop {
                let messages = runs.iter().map(|&(index, attempt)| Message {
                    priority: live.record.options.priority.level(),
                    persistent: true,
                    headers: headers.clone(),
                    ..Message::new(
                        WORK,
                        Work {
                            run: RunKey {
                                task: live.id(),
                                index,
                            },
                            attempt,
                        }
                        .encode(),
                    )
                });
                let published = self.rooms.queue.publish(WORK, messages.collect());
                let Err(error) = published.instrument(step.clone()).await else {
                    break;
                };
                if !self.found_queue_away(&error) {
                    tracing::warn!(%error, task = %live.id(), "work could not be published yet");
                    if let Err(error) = self.declare().await {
                        tracing::debug!(%error, "the queue of work is not there");
                    }
                }
                tokio::select! {
                    () = self.pause_for_queue(&mut backoff) => {}
                    () = self.tasks.intake().cancelled() => return,
                    // Whoever dispatches decides anew: nothing is handed out of a task that has stopped.
                    () = live.cancel.cancelled() => return,
                    () = expiry(live) => return,
                }
                if !live.is_dispatched() {
                    return;
                }
            }
            crash_point!(WorkPublished);
        }
    }

    /// Publishes one run's next attempt after a while.
    pub(crate) fn publish_later(
        self: &Arc<Self>,
        live: Arc<LiveTask>,
        index: u32,
        attempt: u32,
        wait: Duration,
    ) {
        let core = Arc::clone(self);
        self.tasks.spawn("publish the next attempt", async move {
            tokio::select! {
                () = clock::sleep(wait) => core.publish_work(&live, &[(index, attempt)]).await,
                () = live.cancel.cancelled() => {}
                () = core.tasks.intake().cancelled() => {}
            }
        });
    }
}

/// Returns when a task expires; never where it does not, or has already.
pub(super) async fn expiry(live: &LiveTask) {
    match live.record.options.expires_at {
        Some(at) if at > clock::now() => clock::sleep_until(at).await,
        _ => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_survives_the_queue() {
        let work = Work {
            run: RunKey {
                task: TaskId(u64::MAX),
                index: 7,
            },
            attempt: 3,
        };
        assert_eq!(Work::decode(work.encode()), Some(work));
        assert_eq!(Work::decode(Bytes::from_static(b"short")), None);
    }
}
