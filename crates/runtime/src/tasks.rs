//! The registry of running tasks: the only spawner.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::meter::Meters;

/// Spawns tasks, knows how many run, and joins them all at the end. Cheap to clone.
///
/// Two tokens, one inside the other: `intake` (no new work) and `work` (leave now).
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    intake: CancellationToken,
    work: CancellationToken,
    panics: Arc<AtomicU64>,
    meters: Meters,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// Returns an empty registry.
    #[must_use]
    pub fn new() -> Self {
        let work = CancellationToken::new();
        let intake = work.child_token();
        Self {
            tracker: TaskTracker::new(),
            intake,
            work,
            panics: Arc::default(),
            meters: Meters::default(),
        }
    }

    /// Cancelled when no new work is to be taken.
    #[must_use]
    pub fn intake(&self) -> &CancellationToken {
        &self.intake
    }

    /// Cancelled when everything is to leave; `intake` is cancelled with it.
    #[must_use]
    pub fn work(&self) -> &CancellationToken {
        &self.work
    }

    /// What everything that runs here counts.
    #[must_use]
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Runs `future` as a task named `name`. A panic ends that task alone and is logged with its name.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let panics = Arc::clone(&self.panics);
        self.tracker.spawn(async move {
            use futures::CatchUnwind;
            if let Err(message) = CatchUnwind::new(AssertUnwindSafe(future)).await {
                panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(work = name, %message, "a task panicked");
            }
        });
    }

    /// Runs `work`, which takes its time without awaiting anything, on a thread kept for that; returns None
    /// where it panicked, which is logged with its name.
    ///
    /// Dropping the future does not end the work, only the waiting for it.
    pub async fn blocking<T, F>(&self, name: &'static str, work: F) -> Option<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let done = self.tracker.spawn_blocking(work).await;
        if let Err(error) = &done {
            self.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(work = name, %error, "blocking work panicked");
        }
        done.ok()
    }

    /// Returns how many tasks have panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Returns how many tasks run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Cancels `work` and waits until every task has ended, for at most `limit`; returns how many are left.
    pub async fn close(&self, limit: Duration) -> usize {
        self.work.cancel();
        self.tracker.close();
        let _ = tokio::time::timeout(limit, self.tracker.wait()).await;
        self.tracker.len()
    }
}

mod futures {
    //! Catching a panic inside a future.

    use std::any::Any;
    use std::future::Future;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::Pin;
    use std::task::{Context, Poll};

    pub(super) struct CatchUnwind<F>(Pin<Box<F>>);

    impl<F: Future> CatchUnwind<AssertUnwindSafe<F>> {
        pub(super) fn new(future: AssertUnwindSafe<F>) -> Self {
            Self(Box::pin(future))
        }
    }

    impl<F: Future> Future for CatchUnwind<F> {
        type Output = Result<F::Output, String>;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
                Err(payload) => Poll::Ready(Err(message_of(payload.as_ref()))),
            }
        }
    }

    fn message_of(payload: &(dyn Any + Send)) -> String {
        payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_task_alone() {
        let tasks = Tasks::new();
        tasks.spawn("bad", async { panic!("on purpose") });
        let (tx, rx) = tokio::sync::oneshot::channel();
        tasks.spawn("good", async move {
            let _ = tx.send(());
        });
        assert!(rx.await.is_ok());
        assert_eq!(tasks.close(Duration::from_secs(5)).await, 0);
        assert_eq!(tasks.panics(), 1);
    }

    #[tokio::test]
    async fn closing_cancels_intake_and_work_and_joins() {
        let tasks = Tasks::new();
        let work = tasks.work().clone();
        tasks.spawn("waits", async move { work.cancelled().await });
        assert_eq!(tasks.running(), 1);
        assert_eq!(tasks.close(Duration::from_secs(5)).await, 0);
        assert!(tasks.intake().is_cancelled());
    }
}
