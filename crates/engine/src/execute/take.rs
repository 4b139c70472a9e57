//! Takes work from the queue while there is a free slot.

use std::sync::Arc;
use std::time::Duration;

use muster_queue::{Delivery, QueueOptions, Settler};
use muster_runtime::{Backoff, crash_point};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use crate::core::{Active, Core, WORK};
use crate::dispatch::Work;
use crate::steps;

/// Acknowledges one delivery when what it asked for is durable; put back if dropped before.
pub(crate) struct Receipt {
    settler: Arc<dyn Settler>,
    tag: u64,
}

impl Receipt {
    pub(crate) fn new(settler: Arc<dyn Settler>, tag: u64) -> Self {
        Self { settler, tag }
    }

    /// Acknowledges. A failure means that it is delivered again, which compare-and-set makes harmless.
    pub(super) async fn ack(self) {
        if let Err(error) = self.settler.ack(&[self.tag]).await {
            tracing::debug!(%error, "a delivery was not acknowledged");
        }
    }

    /// Acknowledges many, those of one consumer at once.
    pub(crate) async fn ack_all(receipts: Vec<Self>) {
        let mut receipts = receipts.into_iter().peekable();
        while let Some(Self { settler, tag }) = receipts.next() {
            let mut tags = vec![tag];
            while let Some(next) = receipts.next_if(|next| Arc::ptr_eq(&next.settler, &settler)) {
                tags.push(next.tag);
            }
            if let Err(error) = settler.ack(&tags).await {
                tracing::debug!(%error, "deliveries were not acknowledged");
            }
        }
    }

    /// Puts the work back for another executor.
    pub(super) async fn put_back(self) {
        if let Err(error) = self.settler.reject(self.tag, true).await {
            tracing::debug!(%error, "a delivery was not put back");
        }
    }
}

/// Options of the work queue: they must be the same in every process.
pub(crate) fn queue_options() -> QueueOptions {
    QueueOptions {
        durable: true,
        max_priority: 9,
        ..QueueOptions::default()
    }
}

impl Core {
    /// Takes work until no more is to be taken.
    pub(crate) async fn take_work(self: Arc<Self>) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let intake = self.tasks.intake().clone();
        while !intake.is_cancelled() {
            let prefetch = u32::try_from(self.settings.slots).unwrap_or(u32::MAX);
            // A broker that was made anew has no queue of work yet.
            let consumer = async {
                self.declare().await?;
                self.rooms.queue.consume(WORK, prefetch).await
            };
            let mut consumer = match consumer.await {
                Ok(consumer) => consumer,
                Err(error) => {
                    if !self.found_queue_away(&error) {
                        tracing::warn!(%error, "no work can be taken from the queue yet");
                    }
                    tokio::select! {
                        () = self.pause_for_queue(&mut backoff) => continue,
                        () = intake.cancelled() => return,
                    }
                }
            };
            let settler = consumer.settler();
            loop {
                let slot = tokio::select! {
                    biased;
                    () = intake.cancelled() => return,
                    slot = Arc::clone(&self.slots).acquire_owned() => slot,
                };
                let Ok(slot) = slot else { return };
                let delivery = tokio::select! {
                    biased;
                    () = intake.cancelled() => return,
                    delivery = consumer.next() => delivery,
                };
                let Some(delivery) = delivery else { break };
                backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
                self.begin(delivery, Arc::clone(&settler), slot).await;
            }
            self.lost_queue();
            tokio::select! {
                () = self.pause_for_queue(&mut backoff) => {}
                () = intake.cancelled() => return,
            }
        }
    }

    async fn begin(
        self: &Arc<Self>,
        delivery: Delivery,
        settler: Arc<dyn Settler>,
        slot: OwnedSemaphorePermit,
    ) {
        let receipt = Receipt::new(settler, delivery.tag);
        let headers = delivery.message.headers;
        let Some(work) = Work::decode(delivery.message.body) else {
            tracing::error!("a message in the work queue is no work: dropped");
            receipt.ack().await;
            return;
        };
        crash_point!(WorkTaken);
        let core = Arc::clone(self);
        let active = Active::enter(self);
        self.tasks.spawn("run", async move {
            // Whatever is logged meanwhile says whose it is.
            let run =
                tracing::info_span!("run", task = %work.run.task, run = %work.run, attempt = work.attempt);
            let step = steps::run(work, &headers);
            Box::pin(core.execute(work, receipt).instrument(step).instrument(run)).await;
            drop(slot);
            drop(active);
        });
    }
}
