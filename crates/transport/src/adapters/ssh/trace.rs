//! How far a login has come and how its connection ended: what a good message is made of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How much of what a host says first is kept.
const GREETING_BYTES: usize = 512;

/// What a login is waiting for.
#[derive(Clone, Debug, Default)]
pub(crate) enum Phase {
    /// The name's addresses.
    #[default]
    Resolving,
    /// The connection.
    Connecting,
    /// The jump host (its name, and its own login where this one drives it).
    Jumping(String, Option<Arc<Trace>>),
    /// The host's first line.
    Greeting,
    /// The key exchange.
    KeyExchange,
    /// The login itself.
    LoggingIn,
    /// Nothing any more: it is in.
    In,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The host said good-bye.
    Said(String),
    /// It broke.
    Broke(String),
}

/// What is known about one connection.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    greeting: Vec<u8>,
    greeted: bool,
    ended: Option<Ended>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            phase: Phase::default(),
            since: Instant::now(),
            greeting: Vec::new(),
            greeted: false,
            ended: None,
        }
    }
}

impl Trace {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the login is waiting for now.
    pub(crate) fn enter(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        state.since = Instant::now();
    }

    /// Returns for how long the far side has said nothing: not even that it takes the connection, or no first
    /// line on it. None once it has said that it speaks SSH. Where a jump host is logged in to, that one is asked.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let state = self.state();
        match &state.phase {
            _ if state.greeted => None,
            Phase::Jumping(_, Some(inner)) => Some(inner.silence().unwrap_or_default()),
            _ => Some(state.since.elapsed()),
        }
    }

    /// Returns what the login is waiting for.
    pub(crate) fn phase(&self) -> Phase {
        self.state().phase.clone()
    }

    /// Takes note of what a host says first; false once that is known well enough.
    pub(super) fn heard(&self, bytes: &[u8]) -> bool {
        let mut state = self.state();
        let room = GREETING_BYTES.saturating_sub(state.greeting.len());
        state.greeting.extend(bytes.iter().take(room));
        let speaks = |line: &[u8]| line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-");
        if state.greeting.split(|byte| *byte == b'\n').any(speaks) {
            state.greeted = true;
            state.phase = Phase::KeyExchange;
        }
        !state.greeted && room > 0
    }

    /// Tells whether the login is done.
    pub(super) fn is_in(&self) -> bool {
        matches!(self.state().phase, Phase::In)
    }

    /// Tells whether the host has said that it speaks SSH.
    pub(crate) fn greeted(&self) -> bool {
        self.state().greeted
    }

    /// Returns what the host said first, as one line.
    pub(crate) fn greeting(&self) -> String {
        let state = self.state();
        let text = String::from_utf8_lossy(&state.greeting);
        let printable: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(80)
            .collect();
        printable.trim().to_owned()
    }

    /// Takes note of how the connection ended; the first to know is right.
    pub(crate) fn end(&self, how: Ended) {
        self.state().ended.get_or_insert(how);
    }

    /// Returns how the connection ended.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.state().ended.clone()
    }
}
