//! Whether the database and the queue answer. It is said once in the log when one of them goes away and once when it is
//! back, however many calls fail in between: whoever finds it away tells here, one task asks it until it answers, and
//! all others wait for that.

use std::sync::Arc;
use std::time::Duration;

use muster_model::problem::Code;
use muster_model::{ErrorKind, Problem};
use muster_runtime::{Backoff, clock};
use tokio::sync::watch;

use crate::core::Core;
use crate::fault;

/// So long after the database is back a call may still fail that began before: it has waited for a connection until then.
const LATE: Duration = Duration::from_secs(8);

/// What may be away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BackEnd {
    Database,
    Queue,
}

impl BackEnd {
    fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Queue => "queue",
        }
    }
}

/// What is known of a back end.
pub(crate) struct Outage {
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    away: bool,
    /// How often it has gone away.
    times: u64,
    /// When it was back, by this process's own clock.
    back_at: Option<Duration>,
    /// Somebody makes sure just now that it is away once more.
    doubted: bool,
}

impl Default for Outage {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(State::default()),
        }
    }
}

impl Outage {
    /// Tells whether it was found away and has not answered since.
    pub(crate) fn is_on(&self) -> bool {
        self.state.borrow().away
    }

    /// Returns how often it has gone away.
    pub(crate) fn times(&self) -> u64 {
        self.state.borrow().times
    }

    /// Returns when it is not known to be away. Cancel-safe.
    pub(crate) async fn over(&self) {
        let mut state = self.state.subscribe();
        // The sender is in the hands of the caller.
        let _ = state.wait_for(|state| !state.away).await;
    }

    /// Returns when it has been away since it had been so many `times`, and is back. Cancel-safe.
    pub(crate) async fn over_since(&self, times: u64) {
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| !state.away && state.times != times).await;
    }

    /// Takes note that it is away; false where that is known.
    fn begin(&self) -> bool {
        self.state.send_if_modified(|state| {
            let begins = !state.away;
            state.away = true;
            state.times += u64::from(begins);
            begins
        })
    }

    fn end(&self) {
        self.state.send_modify(|state| {
            state.away = false;
            state.back_at = Some(clock::monotonic());
        });
    }

    /// Tells whether what has failed may have begun before it was back.
    fn may_be_late(&self) -> bool {
        let state = *self.state.borrow();
        let is_young = |at| clock::monotonic().saturating_sub(at) < LATE;
        !state.away && state.back_at.is_some_and(is_young)
    }

    /// Takes note that somebody makes sure; false where somebody does already.
    fn doubt(&self) -> bool {
        self.state
            .send_if_modified(|state| !std::mem::replace(&mut state.doubted, true))
    }

    fn is_sure(&self) {
        self.state.send_modify(|state| state.doubted = false);
    }
}

impl Core {
    /// Takes note of a failed call of the database; true where it may only be away.
    pub(crate) fn found_away(self: &Arc<Self>, error: &muster_store::Error) -> bool {
        if !error.kind.may_pass() {
            return false;
        }
        self.is_away(BackEnd::Database, &fault::chain(error));
        true
    }

    /// Takes note of a problem that came of a call of the database; true where the database may only be away.
    pub(crate) fn met_away(self: &Arc<Self>, problem: &Problem) -> bool {
        if problem.code != Code::Unavailable || !fault::is_of_database(problem) {
            return false;
        }
        self.is_away(BackEnd::Database, &problem.detail);
        true
    }

    /// Takes note of a failed call of the queue; true where it may only be away.
    pub(crate) fn found_queue_away(self: &Arc<Self>, error: &muster_queue::Error) -> bool {
        if !error.kind.may_pass() {
            return false;
        }
        self.is_away(BackEnd::Queue, &fault::chain(error));
        true
    }

    /// Takes note that a consumer has ended, though nobody closed it: what was in the queue may be gone.
    pub(crate) fn lost_queue(self: &Arc<Self>) {
        self.is_away(BackEnd::Queue, "its connection ended");
    }

    /// Waits a moment, and then for the database to be back.
    pub(crate) async fn pause(&self, backoff: &mut Backoff) {
        clock::sleep(backoff.step()).await;
        self.outage.over().await;
    }

    /// Waits a moment, and then for the queue to be back.
    pub(crate) async fn pause_for_queue(&self, backoff: &mut Backoff) {
        clock::sleep(backoff.step()).await;
        self.queue_outage.over().await;
    }

    fn outage_of(&self, back_end: BackEnd) -> &Outage {
        match back_end {
            BackEnd::Database => &self.outage,
            BackEnd::Queue => &self.queue_outage,
        }
    }

    fn is_away(self: &Arc<Self>, back_end: BackEnd, why: &str) {
        let outage = self.outage_of(back_end);
        // Not so of the queue: a connection that has ended has lost what was on it, however short that was.
        if back_end == BackEnd::Database && outage.may_be_late() {
            if outage.doubt() {
                let (core, why) = (Arc::clone(self), why.to_owned());
                self.tasks.spawn("make sure of a back end", async move {
                    let failed = core.asked(back_end).await;
                    core.outage_of(back_end).is_sure();
                    if failed.is_some_and(ErrorKind::may_pass) {
                        core.begin_outage(back_end, &why);
                    }
                });
            }
            return;
        }
        self.begin_outage(back_end, why);
    }

    fn begin_outage(self: &Arc<Self>, back_end: BackEnd, why: &str) {
        let name = back_end.name();
        if !self.outage_of(back_end).begin() {
            tracing::debug!(why, "the {name} is still away");
            return;
        }
        tracing::warn!(
            why,
            "the {name} does not answer: what waits for it goes on when it is back"
        );
        let core = Arc::clone(self);
        self.tasks.spawn("look for a back end", async move {
            core.look_for(back_end).await;
        });
    }

    /// Asks a back end once; returns how it failed.
    async fn asked(&self, back_end: BackEnd) -> Option<ErrorKind> {
        match back_end {
            BackEnd::Database => {
                let answer = self.rooms.database.store.ping().await;
                answer.err().map(|error| error.kind)
            }
            BackEnd::Queue => self.rooms.queue.ping().await.err().map(|error| error.kind),
        }
    }

    /// Asks a back end until it answers.
    async fn look_for(&self, back_end: BackEnd) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let since = clock::monotonic();
        loop {
            let asked = async {
                clock::sleep(backoff.step()).await;
                self.asked(back_end).await
            };
            let failed = tokio::select! {
                failed = asked => failed,
                // Whoever waits has its own eye on this.
                () = self.tasks.work().cancelled() => return,
            };
            // Whatever else it says: it answers.
            if failed.is_none_or(|kind| !kind.may_pass()) {
                break;
            }
        }
        self.outage_of(back_end).end();
        let away = clock::monotonic().saturating_sub(since);
        let name = back_end.name();
        tracing::info!(seconds = away.as_secs(), "the {name} answers again");
    }
}
