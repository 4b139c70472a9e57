//! What this process hears from the queue: notices of runs, and cancels.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use muster_model::event::Notice;
use muster_model::{Problem, RunKey, RunState, TaskId};
use muster_queue::{Consumer, Error, ExchangeKind, Message, QueueOptions};
use muster_runtime::{clock, crash_point};

use crate::core::{CANCELS, Core, EVENTS, WORK};
use crate::fault;

/// How many notices are handed over before they are acknowledged.
const BATCH: usize = 500;

impl Core {
    /// Declares the exchanges and the queue that every process uses.
    pub(crate) async fn declare(&self) -> Result<(), Error> {
        let queue = &self.rooms.queue;
        queue.declare_exchange(WORK, ExchangeKind::Direct).await?;
        queue.declare_exchange(EVENTS, ExchangeKind::Topic).await?;
        queue.declare_exchange(CANCELS, ExchangeKind::Fanout).await?;
        queue.declare_queue(WORK, crate::execute::queue_options()).await?;
        queue.bind(WORK, WORK, WORK, &[]).await
    }

    /// Begins to listen.
    pub(crate) async fn listen(self: &Arc<Self>) -> Result<(), Error> {
        let own = QueueOptions {
            auto_delete: true,
            ..QueueOptions::default()
        };
        let queue = &self.rooms.queue;
        let (events, cancels) = (format!("{EVENTS}.{}", self.me), format!("{CANCELS}.{}", self.me));
        queue.declare_queue(&events, own.clone()).await?;
        queue.bind(&events, EVENTS, "task.#", &[]).await?;
        queue.declare_queue(&cancels, own).await?;
        queue.bind(&cancels, CANCELS, "", &[]).await?;
        let notices = queue.consume(&events, 10_000).await?;
        let cancelled = queue.consume(&cancels, 1_000).await?;
        let core = Arc::clone(self);
        self.tasks.spawn("hear notices", async move {
            core.hear(notices, Self::hear_notices).await
        });
        let core = Arc::clone(self);
        self.tasks.spawn("hear cancels", async move {
            core.hear(cancelled, Self::hear_cancels).await
        });
        Ok(())
    }

    async fn hear(self: &Arc<Self>, mut consumer: Box<dyn Consumer>, take: fn(&Arc<Self>, &mut Vec<Bytes>)) {
        let settler = consumer.settler();
        let mut tags = Vec::with_capacity(BATCH);
        let mut bodies = Vec::with_capacity(BATCH);
        loop {
            let delivery = tokio::select! {
                delivery = consumer.next() => delivery,
                () = self.tasks.work().cancelled() => return,
            };
            let mut next = delivery;
            while let Some(delivery) = next {
                bodies.push(delivery.message.body);
                tags.push(delivery.tag);
                next = if tags.len() < BATCH {
                    consumer.next().now_or_never().flatten()
                } else {
                    None
                };
            }
            if tags.is_empty() {
                return;
            }
            take(self, &mut bodies);
            if let Err(error) = settler.ack(&tags).await {
                tracing::debug!(%error, "notices were not acknowledged");
            }
            tags.clear();
        }
    }

    fn hear_notices(self: &Arc<Self>, bodies: &mut Vec<Bytes>) {
        let mut notices = Vec::with_capacity(bodies.len());
        let mut waiting = Vec::new();
        for body in bodies.drain(..) {
            match serde_json::from_slice::<Notice>(&body) {
                Ok(notice) => {
                    waiting.extend(waits(&notice));
                    notices.push(notice);
                }
                Err(error) => tracing::error!(%error, "a notice could not be read"),
            }
        }
        self.hub.push(notices);
        for (run, attempt) in waiting {
            self.hand_out_again(run, attempt);
        }
    }

    /// Hands out a run's next attempt, where this process dispatches its task.
    fn hand_out_again(self: &Arc<Self>, run: RunKey, attempt: u32) {
        if let Some(live) = self.hub.find(run.task)
            && live.is_dispatched()
            && live.run(run.index) == Some((RunState::Queued, attempt))
        {
            let wait = crate::execute::wait_before(attempt);
            self.publish_later(live, run.index, attempt, wait);
        }
    }

    fn hear_cancels(self: &Arc<Self>, bodies: &mut Vec<Bytes>) {
        for mut body in bodies.drain(..) {
            if body.len() == 8
                && let Some(live) = self.hub.find(TaskId(body.get_u64()))
            {
                live.cancel.cancel();
            }
        }
    }

    /// Notes that a task is to be cancelled, and tells every process.
    pub(crate) async fn cancel(&self, id: TaskId) -> Result<(), Problem> {
        crash_point!(CancelReceived);
        let noted = self.rooms.database.store.request_cancel(id, clock::now()).await;
        noted.map_err(|error| fault::of_store(&error))?;
        crash_point!(CancelWritten);
        let message = Message::new("", Bytes::copy_from_slice(&id.0.to_be_bytes()));
        self.rooms
            .queue
            .publish(CANCELS, vec![message])
            .await
            .map_err(|error| fault::of_queue(&error))?;
        crash_point!(CancelPublished);
        // Here at once, so that the answer to the caller speaks of a task that is being cancelled.
        if let Some(live) = self.hub.find(id) {
            live.cancel.cancel();
        }
        Ok(())
    }
}

/// Returns the attempt that a notice says waits for its turn.
fn waits(notice: &Notice) -> Option<(RunKey, u32)> {
    match notice {
        Notice::Run {
            run,
            state: RunState::Queued,
            attempt,
            ..
        } => Some((*run, *attempt)),
        _ => None,
    }
}
