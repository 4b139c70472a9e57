//! Grouped output, as users of `clush -b` and `dshbak -c` know it: identical outcomes folded into one block
//! headed by their hosts. Pure: what differs is told apart by a hash, so that no output is held twice.

use std::collections::HashMap;

use muster_model::wire::RunView;
use muster_model::{RunState, Stream, pattern};
use sha2::{Digest, Sha256};

use super::sanitise::{self, Sanitiser};
use super::words::{self, Ending};

/// The rule above and below a heading, as long as that of ClusterShell.
const RULE: &str = "---------------";

/// Tells outcomes apart: state, exit code, signal, error and both streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// Takes the fingerprint of a run whose output comes in pieces: all of stdout, then all of stderr.
pub struct Fingerprinter {
    hash: Sha256,
    length: u64,
}

impl Fingerprinter {
    /// Begins with what is known of the run without its output.
    #[must_use]
    pub fn new(run: &RunView) -> Self {
        let mut this = Self {
            hash: Sha256::new(),
            length: 0,
        };
        let error = run.error.as_deref().map(|error| nameless(error, &run.host));
        let head = (run.state, run.exit_code, &run.signal, error, run.truncated);
        this.feed(format!("{head:?}").as_bytes());
        this.end_of_part();
        this
    }

    /// Takes the next bytes of the stream at hand.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Ends one part: with its length, so that no two different runs give the same bytes.
    pub fn end_of_part(&mut self) {
        self.hash.update(self.length.to_le_bytes());
        self.length = 0;
    }

    /// Returns the fingerprint.
    #[must_use]
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.hash.finalize().into())
    }
}

/// Returns an error without the name of its host, so that hosts that failed alike fold into one block.
fn nameless(error: &str, host: &str) -> String {
    let target: Result<muster_model::Target, _> = host.parse();
    let name = target.as_ref().map_or(host, |target| target.host.as_str());
    let part_of_a_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let mut nameless = String::with_capacity(error.len());
    let mut copied = 0;
    for (place, found) in error.match_indices(name) {
        let after = place + found.len();
        let alone = !error[..place].ends_with(part_of_a_name) && !error[after..].starts_with(part_of_a_name);
        if alone {
            nameless.push_str(&error[copied..place]);
            nameless.push_str("HOST");
            copied = after;
        }
    }
    nameless.push_str(&error[copied..]);
    nameless
}

/// Runs with the same outcome.
#[derive(Debug)]
pub struct Block<T> {
    /// The first of them, in host order.
    pub first: T,
    /// What is known of the outcome, without its output.
    pub ending: Heading,
    /// The hosts, in host order.
    pub hosts: Vec<String>,
}

/// What a heading says besides the hosts.
#[derive(Clone, Debug)]
pub struct Heading {
    /// The state.
    pub state: RunState,
    /// The exit code.
    pub exit_code: Option<i32>,
    /// The signal, without `SIG`.
    pub signal: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// Whether output was cut off.
    pub truncated: bool,
}

impl From<&RunView> for Heading {
    fn from(run: &RunView) -> Self {
        Self {
            state: run.state,
            exit_code: run.exit_code,
            signal: run.signal.clone(),
            error: run.error.clone(),
            truncated: run.truncated,
        }
    }
}

/// Gathers runs into blocks, in host order. `T` is where the block's output is found again.
#[derive(Debug)]
pub struct Blocks<T> {
    blocks: Vec<Block<T>>,
    places: HashMap<Fingerprint, usize>,
    waiting: Vec<String>,
    running: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            places: HashMap::new(),
            waiting: Vec::new(),
            running: 0,
        }
    }
}

impl<T> Blocks<T> {
    /// Counts a run that has not ended.
    pub fn still_to_come(&mut self, run: &RunView) {
        self.waiting.push(run.host.clone());
        self.running += usize::from(run.state == RunState::Started);
    }

    /// Tells whether an outcome is known already.
    #[must_use]
    pub fn knows(&self, fingerprint: &Fingerprint) -> bool {
        self.places.contains_key(fingerprint)
    }

    /// Adds a run; `first` is kept where it is the first of its block.
    pub fn add(&mut self, run: &RunView, fingerprint: Fingerprint, first: T) {
        if let Some(place) = self.places.get(&fingerprint) {
            let block = &mut self.blocks[*place];
            if let ([only], Some(error)) = (block.hosts.as_slice(), &mut block.ending.error) {
                *error = nameless(error, only);
            }
            block.hosts.push(run.host.clone());
            return;
        }
        self.places.insert(fingerprint, self.blocks.len());
        self.blocks.push(Block {
            first,
            ending: run.into(),
            hosts: vec![run.host.clone()],
        });
    }

    /// Returns the blocks, in the order of their first hosts.
    pub fn blocks(&self) -> &[Block<T>] {
        &self.blocks
    }

    /// Says how many hosts are still to come, and which; None where none is.
    #[must_use]
    pub fn rest(&self) -> Option<String> {
        if self.waiting.is_empty() {
            return None;
        }
        let queued = self.waiting.len() - self.running;
        let parts: Vec<String> = [(self.running, "started"), (queued, "queued")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        Some(format!(
            "{} still to come: {} ({})",
            words::hosts(self.waiting.len()),
            sanitise::line(&pattern::fold(&self.waiting)),
            parts.join(", ")
        ))
    }
}

/// Appends the heading of a block: `web[01-18,20]: 19 hosts, succeeded, exit code 0` between rules.
pub fn heading(hosts: &[String], ending: &Heading, colour: bool, into: &mut Vec<u8>) {
    let said = Ending {
        state: ending.state,
        exit_code: ending.exit_code,
        signal: ending.signal.as_deref(),
        error: ending.error.as_deref(),
    };
    let mut line = format!(
        "{}: {}, {}",
        sanitise::line(&pattern::fold(hosts)),
        words::hosts(hosts.len()),
        said.words()
    );
    if ending.truncated {
        line.push_str(", output cut off at its limit");
    }
    if colour {
        let code = match ending.state {
            RunState::Succeeded => 32,
            RunState::Started | RunState::Queued => 33,
            _ => 31,
        };
        line = format!("\x1b[{code}m{line}\x1b[0m");
    }
    into.extend_from_slice(format!("{RULE}\n{line}\n{RULE}\n").as_bytes());
}

/// Writes a block's output: stdout, then stderr under a line of its own.
pub struct Body {
    sanitiser: Option<Sanitiser>,
    stream: Stream,
    /// The last byte of the stream at hand; None: nothing has come on it.
    last: Option<u8>,
}

impl Body {
    /// Returns a writer; for a terminal it makes everything harmless.
    #[must_use]
    pub fn new(terminal: bool) -> Self {
        Self {
            sanitiser: terminal.then(Sanitiser::default),
            stream: Stream::Stdout,
            last: None,
        }
    }

    /// Appends the next bytes of a stream.
    pub fn feed(&mut self, stream: Stream, bytes: &[u8], into: &mut Vec<u8>) {
        let Some(last) = bytes.last() else { return };
        if stream != self.stream {
            self.end_of_stream(into);
            self.stream = stream;
        }
        if self.last.is_none() && stream == Stream::Stderr {
            into.extend_from_slice(b"--- stderr ---\n");
        }
        self.last = Some(*last);
        match &mut self.sanitiser {
            Some(sanitiser) => sanitiser.feed(bytes, into),
            None => into.extend_from_slice(bytes),
        }
    }

    /// Ends a stream: with a line feed, where it has none itself.
    pub fn end_of_stream(&mut self, into: &mut Vec<u8>) {
        if let Some(sanitiser) = &mut self.sanitiser {
            sanitiser.finish(into);
        }
        if self.last.take().is_some_and(|last| last != b'\n') {
            into.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests;
