//! How many logins begin at a time: few at first, more while hosts answer, fewer once one hangs up.
//!
//! A server drops connections when too many have not logged in yet (MaxStartups of sshd, ten by default), and how
//! many that are is not known: many names may be one machine. So the logins of this process have a window, as TCP
//! has one for what it sends (RFC 5681; how far it shrinks is of RFC 9438). Who only waits has no place in it: not
//! for a host that says nothing, and not for the next try. Nothing here is ever held across an await, and a turn that
//! is dropped leaves nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The window at first: sshd's own default drops nobody as long as no more than ten have not logged in.
const FIRST: usize = 10;
/// What is left of the window when a host hangs up, in tenths: half, as in RFC 5681, left a default sshd idle between
/// two drops.
const LEFT: usize = 7;
/// The window is never smaller than this. A drop costs sshd next to nothing, an idle processor costs time: with fewer
/// under way, 500 logins to a default sshd took twice as long as with a burst.
const FLOOR: usize = FIRST;
/// How many silent hosts are waited for outside the window. Each costs a file and some ten KiB. Where there are
/// more, the next ones keep their places until one of these is heard or has had its time.
const ASIDE: usize = 512;
/// After so long without a login the window is as it was at first: what it had learned was of other hosts, or of
/// another hour.
const FORGET: Duration = Duration::from_secs(60);

/// Who may log in now.
pub(crate) struct Starts {
    /// The places of the window, given to those who wait in the order in which they came.
    places: Arc<Semaphore>,
    aside: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    window: Window,
    /// How many places there are: more than the window has, where it shrank under those who have one.
    places: usize,
    /// How many turns there are, with a place or without.
    turns: usize,
    /// Since when there has been none.
    idle_since: Option<Instant>,
}

/// The size of the window, and how it changes.
#[derive(Debug)]
struct Window {
    size: usize,
    floor: usize,
    ceiling: usize,
    /// The drops that it shrank for and that hold: without one, each answer makes the window larger.
    blamed: usize,
    /// Answers since the window grew last.
    answers: usize,
    /// How often it shrank: what began before the last time says nothing about the window of now.
    round: u64,
}

/// A login's turn: a place in the window, or the right to wait without one.
pub(crate) struct Turn {
    starts: Arc<Starts>,
    place: Option<OwnedSemaphorePermit>,
    aside: Option<OwnedSemaphorePermit>,
    /// How often the window had shrunk when it began.
    round: u64,
    hung_up: HungUp,
}

/// What a host's hanging up has done so far.
#[derive(Clone, Copy)]
enum HungUp {
    Never,
    /// It made the window smaller by so much, maybe by nothing. None: others had just done so.
    Once(Option<usize>),
    Again,
}

impl Starts {
    /// Returns a window that never has more than `ceiling` places.
    pub(crate) fn new(ceiling: usize) -> Arc<Self> {
        Self::with(Window::new(ceiling.max(1)))
    }

    fn with(window: Window) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(window.size)),
            aside: Arc::new(Semaphore::new(ASIDE)),
            state: Mutex::new(State {
                places: window.size,
                window,
                turns: 0,
                idle_since: None,
            }),
        })
    }

    /// Waits for a turn, behind all who wait already. Cancel-safe.
    pub(crate) async fn turn(self: &Arc<Self>) -> Turn {
        self.begin_anew_after_a_rest();
        let place = self.place().await;
        let mut state = self.state();
        state.turns += 1;
        state.idle_since = None;
        let round = state.window.round;
        drop(state);
        Turn {
            starts: Arc::clone(self),
            place,
            aside: None,
            round,
            hung_up: HungUp::Never,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None is for a semaphore that is closed, and this one never is.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn begin_anew_after_a_rest(&self) {
        let mut state = self.state();
        if state.idle_since.is_some_and(|since| since.elapsed() >= FORGET) {
            state.idle_since = None;
            state.window = Window {
                round: state.window.round,
                ..Window::new(state.window.ceiling)
            };
            self.fit(&mut state);
        }
    }

    /// Tells whether the window holds up anybody, or is just full: only then is it worth being larger.
    fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Makes as many places as the window has. Those that are taken go when they are given back.
    fn fit(&self, state: &mut State) {
        if let Some(more) = state.window.size.checked_sub(state.places) {
            self.places.add_permits(more);
            state.places += more;
        } else {
            state.places -= self.places.forget_permits(state.places - state.window.size);
        }
    }

    fn give_back(&self, place: OwnedSemaphorePermit) {
        let mut state = self.state();
        if state.places > state.window.size {
            state.places -= 1;
            place.forget();
        }
        // Else it goes to the first who waits, when it is dropped here.
    }
}

impl Turn {
    /// Tells whether it has a place in the window.
    pub(crate) fn has_place(&self) -> bool {
        self.place.is_some()
    }

    /// The host has answered: it has let us in, or has said why not.
    pub(crate) fn answered(self) {
        self.grow();
    }

    /// The host says nothing: somebody else gets the place. False where too many are waited for already.
    pub(crate) fn step_aside(&mut self) -> bool {
        if self.place.is_none() {
            return true;
        }
        let Ok(aside) = Arc::clone(&self.starts.aside).try_acquire_owned() else {
            return false;
        };
        // Whoever says nothing has not turned us away either. Else some hundred that are down would be tried ten
        // at a time, with those that are up behind them.
        self.grow();
        self.leave();
        self.aside = Some(aside);
        true
    }

    /// The host hung up: the window shrinks, and the place goes to somebody else.
    ///
    /// A host that hangs up again although fewer were under way does so for its own reasons, and what it took
    /// from the window is given back: one such host among hundreds is no reason to be slow with all of them.
    pub(crate) fn hung_up(&mut self) {
        let mut state = self.starts.state();
        self.hung_up = match self.hung_up {
            HungUp::Never => HungUp::Once(state.window.shrink(self.round)),
            HungUp::Once(taken) => {
                if let Some(taken) = taken {
                    state.window.take_back(taken);
                }
                HungUp::Again
            }
            HungUp::Again => HungUp::Again,
        };
        self.starts.fit(&mut state);
        let window = state.window.size;
        drop(state);
        tracing::debug!(window, "a host hung up in a login");
        self.leave();
    }

    /// Waits for another place, behind all who wait already. Cancel-safe.
    pub(crate) async fn again(&mut self) {
        self.leave();
        self.place = self.starts.place().await;
        self.round = self.starts.state().window.round;
    }

    fn grow(&self) {
        // Who is heard late had left the window.
        if self.place.is_some() && self.starts.is_full() {
            let mut state = self.starts.state();
            state.window.grow();
            self.starts.fit(&mut state);
        }
    }

    fn leave(&mut self) {
        self.aside = None;
        if let Some(place) = self.place.take() {
            self.starts.give_back(place);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.leave();
        let mut state = self.starts.state();
        state.turns -= 1;
        if state.turns == 0 {
            state.idle_since = Some(Instant::now());
        }
    }
}

impl Window {
    fn new(ceiling: usize) -> Self {
        Self {
            size: FIRST.min(ceiling),
            floor: FLOOR,
            ceiling,
            blamed: 0,
            answers: 0,
            round: 0,
        }
    }

    /// One answer more: doubles in a round until a host has hung up, and from then on grows by one in a round.
    fn grow(&mut self) {
        self.answers += 1;
        if self.blamed == 0 || self.answers >= self.size {
            self.answers = 0;
            self.size = (self.size + 1).min(self.ceiling);
        }
    }

    /// Shrinks for one who began in `round`, and returns by how much; None where it has shrunk since then.
    fn shrink(&mut self, round: u64) -> Option<usize> {
        if round != self.round {
            return None;
        }
        let before = self.size;
        self.size = (before * LEFT / 10).max(self.floor).min(before);
        self.round += 1;
        self.blamed += 1;
        self.answers = 0;
        Some(before - self.size)
    }

    /// Undoes a shrinking.
    fn take_back(&mut self, taken: usize) {
        self.size = (self.size + taken).min(self.ceiling);
        self.blamed -= 1;
    }
}

#[cfg(test)]
mod tests;
