//! Whether the database answers. It is said once in the log when it goes away and once when it is back, however many
//! calls fail in between: whoever finds it away tells here, one task asks it until it answers, and all others wait
//! for that.

use std::sync::Arc;
use std::time::Duration;

use muster_model::Problem;
use muster_model::problem::Code;
use muster_runtime::{Backoff, clock};
use tokio::sync::watch;

use crate::core::Core;
use crate::fault;

/// What is known of the database.
pub(crate) struct Outage {
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    away: bool,
    /// How often it has gone away.
    times: u64,
}

impl Default for Outage {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(State::default()),
        }
    }
}

impl Outage {
    /// Tells whether the database was found away and has not answered since.
    pub(crate) fn is_on(&self) -> bool {
        self.state.borrow().away
    }

    /// Returns how often the database has gone away.
    pub(crate) fn times(&self) -> u64 {
        self.state.borrow().times
    }

    /// Returns when the database is not known to be away. Cancel-safe.
    pub(crate) async fn over(&self) {
        let mut state = self.state.subscribe();
        // The sender is in the hands of the caller.
        let _ = state.wait_for(|state| !state.away).await;
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
        self.state.send_modify(|state| state.away = false);
    }
}

impl Core {
    /// Takes note of a failed call of the database; true where it may only be away.
    pub(crate) fn found_away(self: &Arc<Self>, error: &muster_store::Error) -> bool {
        if !error.kind.may_pass() {
            return false;
        }
        self.database_is_away(&fault::chain(error));
        true
    }

    /// Takes note of a problem that came of a call of the database; true where the database may only be away.
    pub(crate) fn met_away(self: &Arc<Self>, problem: &Problem) -> bool {
        if problem.code != Code::Unavailable {
            return false;
        }
        self.database_is_away(&problem.detail);
        true
    }

    /// Waits a moment, and then for the database to be back.
    pub(crate) async fn pause(&self, backoff: &mut Backoff) {
        clock::sleep(backoff.step()).await;
        self.outage.over().await;
    }

    fn database_is_away(self: &Arc<Self>, why: &str) {
        if !self.outage.begin() {
            tracing::debug!(why, "the database is still away");
            return;
        }
        tracing::warn!(
            why,
            "the database does not answer: what waits for it goes on when it is back"
        );
        let core = Arc::clone(self);
        self.tasks.spawn(
            "look for the database",
            async move { core.look_for_database().await },
        );
    }

    async fn look_for_database(&self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let since = clock::monotonic();
        loop {
            let asked = async {
                clock::sleep(backoff.step()).await;
                self.rooms.database.store.ping().await
            };
            let answer = tokio::select! {
                answer = asked => answer,
                // Whoever waits has its own eye on this.
                () = self.tasks.work().cancelled() => return,
            };
            match answer {
                Err(error) if error.kind.may_pass() => {}
                // Whatever it says: it answers.
                _ => break,
            }
        }
        self.outage.end();
        let away = clock::monotonic().saturating_sub(since);
        tracing::info!(seconds = away.as_secs(), "the database answers again");
    }
}
