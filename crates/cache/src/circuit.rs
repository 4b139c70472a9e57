//! Whether an engine answers. Work goes on without the cache, so while the engine is known to be away calls fail at
//! once, and only one at a time asks again, after pauses that grow. It is said once in the log when the engine goes
//! away and once when it is back, however many calls meet it.

use std::time::Duration;

use muster_model::ErrorKind;
use muster_runtime::Backoff;
use muster_runtime::clock::monotonic;
use parking_lot::Mutex;

use crate::error::Error;

/// The pauses before an engine that is away is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// One that went away again so soon after it was back is said to be away only where it stays away for as long: an
/// engine that comes and goes fills no log.
const STEADY: Duration = Duration::from_secs(10);
/// How often it is said that the engine refuses what is asked of it.
const SAY_AGAIN: Duration = Duration::from_secs(600);

/// What is known of an engine.
#[derive(Debug)]
pub(crate) struct Circuit {
    /// What the engine is called in the log: never with a password.
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts how often it went away and came back: a call that began before cannot say how it is now.
    epoch: u64,
    away: Option<Away>,
    back_at: Option<Duration>,
    refusal_said: Option<Duration>,
}

#[derive(Debug)]
struct Away {
    since: Duration,
    ask_at: Duration,
    backoff: Backoff,
    /// A call is on its way to ask.
    is_asked: bool,
    is_said: bool,
    why: String,
}

/// The right to call the engine. How it went is told by [`Pass::answered`], [`Pass::refused`] or [`Pass::gone`]; a
/// pass that is dropped says nothing.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    circuit: &'a Circuit,
    epoch: u64,
    /// It is the one that asks whether the engine is back.
    asks: bool,
}

impl Circuit {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            state: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Lets a call through.
    ///
    /// # Errors
    ///
    /// `Unavailable` while the engine is known to be away.
    pub(crate) fn enter(&self, operation: impl FnOnce() -> String) -> Result<Pass<'_>, Error> {
        let mut state = self.state.lock();
        let epoch = state.epoch;
        let Some(away) = &mut state.away else {
            return Ok(self.pass(epoch, false));
        };
        if away.is_asked || monotonic() < away.ask_at {
            let what = format!("{}: {} is away: {}", operation(), self.name, away.why);
            return Err(Error::new(ErrorKind::Unavailable, what));
        }
        away.is_asked = true;
        Ok(self.pass(epoch, true))
    }

    /// Lets a call through whatever is known.
    pub(crate) fn ask(&self) -> Pass<'_> {
        let epoch = self.state.lock().epoch;
        self.pass(epoch, false)
    }

    fn pass(&self, epoch: u64, asks: bool) -> Pass<'_> {
        Pass {
            circuit: self,
            epoch,
            asks,
        }
    }
}

impl Pass<'_> {
    /// The engine has answered, whatever it said.
    pub(crate) fn answered(self) {
        let mut state = self.circuit.state.lock();
        if state.epoch == self.epoch
            && let Some(away) = state.away.take()
        {
            let now = monotonic();
            state.epoch += 1;
            state.back_at = Some(now);
            drop(state);
            if away.is_said {
                let after = now.saturating_sub(away.since);
                tracing::info!(cache = %self.circuit.name, ?after, "the cache is back");
            }
        }
    }

    /// The engine has answered that it does not do what was asked of it, and will not until somebody changes that.
    pub(crate) fn refused(self, why: &str) {
        let now = monotonic();
        let mut state = self.circuit.state.lock();
        let is_new = state
            .refusal_said
            .is_none_or(|said| now.saturating_sub(said) >= SAY_AGAIN);
        if is_new {
            state.refusal_said = Some(now);
        }
        drop(state);
        if is_new {
            tracing::warn!(cache = %self.circuit.name, why, "the cache refuses: work goes on without it, more slowly");
        }
        self.answered();
    }

    /// The engine did not answer.
    pub(crate) fn gone(self, why: &str) {
        let now = monotonic();
        let mut state = self.circuit.state.lock();
        if state.epoch != self.epoch {
            return;
        }
        let is_new = state.away.is_none();
        let is_steady = |since: Duration| now.saturating_sub(since) >= STEADY;
        let was_steady = state.back_at.is_none_or(is_steady);
        let away = state.away.get_or_insert_with(|| Away {
            since: now,
            ask_at: now,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            is_asked: false,
            is_said: false,
            why: why.to_owned(),
        });
        away.ask_at = now + away.backoff.step();
        let says = !away.is_said && ((is_new && was_steady) || is_steady(away.since));
        away.is_said |= says;
        state.epoch += u64::from(is_new);
        drop(state);
        if says {
            tracing::warn!(cache = %self.circuit.name, why, "the cache is away: work goes on without it, more slowly");
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.asks
            && let Some(away) = &mut self.circuit.state.lock().away
        {
            away.is_asked = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get() -> String {
        "get".to_owned()
    }

    async fn wait(milliseconds: u64) {
        muster_runtime::clock::sleep(Duration::from_millis(milliseconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn while_it_is_away_one_call_at_a_time_asks_and_the_others_fail_at_once() {
        let circuit = Circuit::new("redis".to_owned());
        circuit.enter(get).expect("it is there").gone("killed");
        let error = circuit.enter(get).expect_err("it is away");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert_eq!(error.operation, "get: redis is away: killed");
        wait(60).await;
        let asking = circuit.enter(get).expect("one asks");
        assert!(circuit.enter(get).is_err(), "and no other");
        asking.gone("killed");
        assert!(circuit.enter(get).is_err(), "nor right after it");
        wait(120).await;
        drop(circuit.enter(get).expect("one that is dropped"));
        circuit
            .enter(get)
            .expect("leaves its turn to the next")
            .answered();
        assert!(circuit.enter(get).is_ok() && circuit.enter(get).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_before_do_not_say_how_it_is_now() {
        let circuit = Circuit::new("redis".to_owned());
        let early: Vec<_> = (0..3).map(|_| circuit.enter(get).expect("it is there")).collect();
        let mut early = early.into_iter();
        early.next().expect("one").gone("killed");
        early.next().expect("two").answered();
        assert!(
            circuit.enter(get).is_err(),
            "a late answer does not bring it back"
        );
        circuit.ask().answered();
        early.next().expect("three").gone("killed");
        assert!(
            circuit.enter(get).is_ok(),
            "a late failure does not take it away again"
        );
    }

    /// Tells whether the log was told of the outage that is.
    fn is_said(circuit: &Circuit) -> bool {
        circuit
            .state
            .lock()
            .away
            .as_ref()
            .is_some_and(|away| away.is_said)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_comes_and_goes_fills_no_log() {
        let circuit = Circuit::new("redis".to_owned());
        circuit.enter(get).expect("it is there").gone("killed");
        assert!(is_said(&circuit), "the first time it is said at once");
        for _ in 0..20 {
            circuit.ask().answered();
            wait(1000).await;
            circuit.enter(get).expect("it is there").gone("killed");
            assert!(!is_said(&circuit), "soon after it is not");
        }
        wait(11_000).await;
        circuit.enter(get).expect("it is asked").gone("killed");
        assert!(is_said(&circuit), "where it stays away it is");
        circuit.ask().answered();
        wait(11_000).await;
        circuit.enter(get).expect("it is there").gone("killed");
        assert!(is_said(&circuit), "and where it had stayed");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_never_pass_two_seconds() {
        let circuit = Circuit::new("redis".to_owned());
        circuit.enter(get).expect("it is there").gone("killed");
        for _ in 0..20 {
            wait(2000).await;
            circuit.enter(get).expect("it is asked").gone("killed");
        }
    }
}
