//! Settles the runs of a stopped task that have not started.

use std::sync::Arc;

use muster_model::policy::Stop;
use muster_model::run::Change;
use muster_model::{Outcome, RunKey, Transition};
use muster_runtime::{clock, crash_point};

use super::release::stopped;
use crate::core::Core;
use crate::follow::LiveTask;

impl Core {
    /// Settles every queued run of a task. One that is being connected at the same moment either has its
    /// start written first, which refuses this, or finds its start refused: never both.
    pub(crate) async fn settle_queued(self: &Arc<Self>, live: &LiveTask, stop: Stop) {
        let queued = live.queued_in(0..live.hosts.len());
        for runs in queued.chunks(1000) {
            let at = clock::now();
            let changes: Vec<Transition> = runs
                .iter()
                .map(|&(index, attempt)| Transition {
                    run: RunKey {
                        task: live.id(),
                        index,
                    },
                    attempt,
                    at,
                    change: Change::Withdraw {
                        outcome: self.stop_outcome(live, stop),
                    },
                })
                .collect();
            if let Err(error) = self.commit(&changes).await {
                tracing::error!(task = %live.id(), %error, "queued runs could not be settled");
                return;
            }
            crash_point!(QueuedSettled);
        }
    }

    /// Returns why the task of a run that has not started starts no more, where that is so.
    pub(crate) fn stopped(&self, live: &LiveTask) -> Option<Stop> {
        stopped(live, clock::now())
    }

    /// Returns how a run ends that does not start any more.
    pub(crate) fn stop_outcome(&self, live: &LiveTask, stop: Stop) -> Outcome {
        let why = match stop {
            Stop::Cancelled => None,
            Stop::Expired => Some("the task expired before the command could start".to_owned()),
            Stop::TooManyFailures => {
                let failures = live.counts().failures();
                Some(format!(
                    "not started: {failures} hosts had failed, more than --max-failures allows"
                ))
            }
        };
        Outcome::plain(stop.state(), why)
    }
}
