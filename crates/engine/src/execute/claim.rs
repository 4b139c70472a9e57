//! An attempt of a run in this process's hands.

use std::sync::Arc;

use muster_model::run::Change;
use muster_model::{Outcome, RunState, Transition};
use muster_runtime::clock;

use crate::core::Core;
use crate::dispatch::Work;

/// An attempt of a run in this process's hands. Dropped while the run is started and not settled (its
/// task panicked), it settles that run alone as lost.
pub(super) struct Claim {
    core: Arc<Core>,
    work: Work,
    started: bool,
}

impl Claim {
    /// Takes an attempt in hand.
    ///
    /// # Errors
    ///
    /// Where it is in hand already; with whether it has started.
    pub(super) fn take(core: &Arc<Core>, work: Work) -> Result<Self, bool> {
        core.claim(work.run, work.attempt)?;
        Ok(Self {
            core: Arc::clone(core),
            work,
            started: false,
        })
    }

    /// Notes whether the start is written down.
    pub(super) fn set_started(&mut self, started: bool) {
        self.started = started;
        if started {
            self.core.note_started(self.work.run, self.work.attempt);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.core.unclaim(self.work.run, self.work.attempt);
        if self.started {
            let core = Arc::clone(&self.core);
            let work = self.work;
            self.core.tasks.spawn("settle a dropped run", async move {
                let why = "a fault in Muster ended its watch over the command: see the server's log";
                let outcome = Outcome::plain(RunState::Lost, Some(why.to_owned()));
                let change = Change::Settle {
                    outcome,
                    output: None,
                };
                let lost = Transition {
                    run: work.run,
                    attempt: work.attempt,
                    at: clock::now(),
                    change,
                };
                if let Err(error) = core.commit(&[lost]).await {
                    tracing::error!(run = %work.run, %error, "a dropped run could not be settled");
                }
            });
        }
    }
}
