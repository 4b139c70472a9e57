//! What this process hears from the queue: notices of runs, and cancels.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use muster_model::event::{Notice, unpack};
use muster_model::{ExecutorId, Problem, RunKey, RunState, TaskId};
use muster_queue::{Consumer, Error, ExchangeKind, Message, QueueOptions};
use muster_runtime::{Backoff, clock, crash_point};

use crate::core::{CANCELS, Core, EVENTS, WORK};
use crate::fault;

/// How many notices are handed over before they are acknowledged.
const BATCH: usize = 500;

/// What a process hears by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ear {
    Notices,
    Cancels,
}

impl Ear {
    fn name(self) -> &'static str {
        match self {
            Self::Notices => "hear notices",
            Self::Cancels => "hear cancels",
        }
    }
}

/// Returns the name of a process's own queue on an exchange.
pub(crate) fn own_queue(exchange: &str, process: &ExecutorId) -> String {
    format!("{exchange}.{process}")
}

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
        for ear in [Ear::Notices, Ear::Cancels] {
            let consumer = self.open_ear(ear).await?;
            let core = Arc::clone(self);
            self.tasks
                .spawn(ear.name(), async move { core.keep_hearing(ear, consumer).await });
        }
        Ok(())
    }

    /// Declares what this process hears by, and begins to consume it.
    async fn open_ear(&self, ear: Ear) -> Result<Box<dyn Consumer>, Error> {
        let own = QueueOptions {
            auto_delete: true,
            ..QueueOptions::default()
        };
        let (exchange, key, prefetch) = match ear {
            Ear::Notices => (EVENTS, "task.#", 10_000),
            Ear::Cancels => (CANCELS, "", 1_000),
        };
        let queue = &self.rooms.queue;
        let name = own_queue(exchange, &self.me);
        queue.declare_queue(&name, own).await?;
        queue.bind(&name, exchange, key, &[]).await?;
        queue.consume(&name, prefetch).await
    }

    /// Hears for as long as this process works. Where a queue has ended (its broker or the connection is gone, and what
    /// was in it with it), another is made, and what was missed is read from the database.
    async fn keep_hearing(self: Arc<Self>, ear: Ear, first: Box<dyn Consumer>) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut consumer = Some(first);
        loop {
            if let Some(consumer) = consumer.take() {
                let since = clock::monotonic();
                self.hear(consumer, ear).await;
                if self.tasks.work().is_cancelled() {
                    return;
                }
                self.lost_queue();
                if clock::monotonic().saturating_sub(since) > Duration::from_secs(10) {
                    backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
                }
            }
            tokio::select! {
                biased;
                () = self.tasks.work().cancelled() => return,
                () = self.pause_for_queue(&mut backoff) => {}
            }
            let opened = async {
                self.declare().await?;
                self.open_ear(ear).await
            };
            match opened.await {
                Ok(opened) => {
                    consumer = Some(opened);
                    self.catch_up(ear).await;
                }
                Err(error) if self.found_queue_away(&error) => {}
                Err(error) => tracing::warn!(%error, "nothing is heard from the queue yet"),
            }
        }
    }

    /// Finds out what was missed while nothing was heard.
    async fn catch_up(self: &Arc<Self>, ear: Ear) {
        match ear {
            Ear::Notices => self.reconcile_all().await,
            Ear::Cancels => {
                self.lease.nudge();
                if let Err(problem) = self.hear_of_cancels_by_the_database().await
                    && !self.met_away(&problem)
                {
                    tracing::warn!(%problem, "cancelled tasks could not be read");
                }
            }
        }
    }

    /// Hears until the queue ends.
    async fn hear(self: &Arc<Self>, mut consumer: Box<dyn Consumer>, ear: Ear) {
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
            match ear {
                Ear::Notices => self.hear_notices(&mut bodies),
                Ear::Cancels => self.hear_cancels(&mut bodies),
            }
            if let Err(error) = settler.ack(&tags).await {
                tracing::debug!(%error, "notices were not acknowledged");
            }
            tags.clear();
        }
    }

    fn hear_notices(self: &Arc<Self>, bodies: &mut Vec<Bytes>) {
        let mut notices = Vec::with_capacity(bodies.len());
        for body in bodies.drain(..) {
            if let Err(error) = unpack(&body, &mut notices) {
                tracing::error!(%error, "notices could not be read");
            }
        }
        self.take_notices(notices);
    }

    /// Hands notices to the tasks of this process.
    pub(crate) fn take_notices(self: &Arc<Self>, notices: Vec<Notice>) {
        let waiting: Vec<(RunKey, u32)> = notices.iter().filter_map(waits).collect();
        for notice in &notices {
            if let Notice::Done { task } = notice {
                self.forget_secrets(*task);
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
            if body.is_empty() {
                self.lease.nudge();
            } else if body.len() == 8
                && let Some(live) = self.hub.find(TaskId(body.get_u64()))
            {
                live.cancel.cancel();
            }
        }
    }

    /// Notes that a task is to be cancelled, and tells every process.
    pub(crate) async fn cancel(self: &Arc<Self>, id: TaskId) -> Result<(), Problem> {
        crash_point!(CancelReceived);
        let noted = self.rooms.database.store.request_cancel(id, clock::now()).await;
        noted.map_err(|error| fault::of_store(&error))?;
        crash_point!(CancelWritten);
        let message = Message::new("", Bytes::copy_from_slice(&id.0.to_be_bytes()));
        // It is noted: without the queue, those who run it find it in the database a little later.
        if let Err(error) = self.rooms.queue.publish(CANCELS, vec![message]).await
            && !self.found_queue_away(&error)
        {
            tracing::warn!(%error, "a cancel could not be told");
        }
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
