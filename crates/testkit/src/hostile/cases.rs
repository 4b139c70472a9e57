//! The cases: what a hostile host does, and how what is done with it has to end. One list; to add a case is to
//! add a line to it.

mod exchange;
mod flow;
mod login;
mod running;
mod steps;

use std::io;
use std::sync::Arc;

use super::message as m;
use super::message::Message;
use super::peer::{Peer, Step};

/// What a host does with a visitor; an error is the visitor's leaving.
pub type Conduct = Arc<dyn Fn(&mut Peer) -> io::Result<()> + Send + Sync>;

/// How a command that was sent to a host ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// The host is not reached, nothing is started, and the message has these words.
    Unreachable(&'static str),
    /// The host refuses to run it, and nothing is started.
    Refused,
    /// Nobody can know how it ended; the message has these words.
    Lost(&'static str),
    /// With an exit code.
    Exits(u32),
    /// With exit code 0, after exactly this output.
    Prints(&'static str),
    /// By a signal.
    Signal(&'static str),
    /// It goes on until it is killed; the kill goes well.
    Killed,
    /// It goes on until it is killed; the host does not let that happen.
    Unkillable,
}

/// One case.
#[derive(Clone)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// How it ends.
    pub ends: Ends,
    /// How much standard input the command has, in bytes.
    pub input: usize,
    /// What the host does.
    pub conduct: Conduct,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// Returns all cases.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut all = steps::cases();
    all.extend(exchange::cases());
    all.extend(login::cases());
    all.extend(running::cases());
    all.extend(flow::cases());
    all
}

/// A host that does nothing wrong: each command prints `honest` and exits with 0.
#[must_use]
pub fn honest() -> Conduct {
    Arc::new(|peer| {
        peer.up_to(Step::Running)?;
        peer.output(None, b"honest\n")?;
        peer.exit(0)?;
        peer.attend()
    })
}

/// A case of a command without input.
fn case(
    name: &str,
    ends: Ends,
    conduct: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
) -> Case {
    Case {
        name: name.to_owned(),
        ends,
        input: 0,
        conduct: Arc::new(conduct),
    }
}

impl Case {
    fn with_input(mut self, bytes: usize) -> Self {
        self.input = bytes;
        self
    }
}

/// A message of no importance.
fn ignore(length: usize) -> Vec<u8> {
    Message::new(m::IGNORE).string(vec![b'x'; length]).done()
}

fn debug(words: &str) -> Vec<u8> {
    Message::new(m::DEBUG).byte(1).string(words).string("").done()
}

fn disconnect(words: &[u8]) -> Vec<u8> {
    Message::new(m::DISCONNECT)
        .number(11)
        .string(words)
        .string("")
        .done()
}
