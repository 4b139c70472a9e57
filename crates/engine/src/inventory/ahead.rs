//! Reads the inventory before somebody asks: a hundred thousand hosts take a second, and nobody is to wait for them.

use std::sync::Arc;
use std::time::Duration;

use muster_runtime::clock;

use crate::core::Core;

/// Changes of this server that come so soon after each other are read together,
const TOGETHER: Duration = Duration::from_millis(500);
/// or longer after each other: between two readings pass so many times what the last one took.
const REST: u32 = 10;
/// How often a server looks for changes of others, where there may be others.
const EVERY: Duration = Duration::from_secs(10);

impl Core {
    /// Keeps the copy of the inventory near to the inventory, until this process takes no new work. What is asked looks
    /// for itself whether the copy is the newest: it only finds less to read.
    pub(crate) async fn keep_reading_ahead(self: Arc<Self>) {
        let intake = self.tasks.intake();
        loop {
            let since = clock::monotonic();
            tokio::select! {
                biased;
                () = intake.cancelled() => return,
                () = self.read_ahead() => {}
            }
            let rest = clock::monotonic().saturating_sub(since) * REST;
            let others = async {
                match self.lease.shared() {
                    Some(_) => clock::sleep(EVERY.max(rest)).await,
                    None => std::future::pending().await,
                }
            };
            let own = async {
                self.copy.until_changed().await;
                clock::sleep(TOGETHER.max(rest)).await;
            };
            tokio::select! {
                biased;
                () = intake.cancelled() => return,
                () = own => {}
                () = others => {}
            }
        }
    }

    async fn read_ahead(self: &Arc<Self>) {
        if self.outage.is_on() {
            return;
        }
        if let Err(problem) = self.copied().await
            && !self.met_away(&problem)
        {
            // Who asks is told the same.
            tracing::debug!(%problem, "the inventory could not be read");
        }
    }
}
