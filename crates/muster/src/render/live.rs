//! Live output: lines as they come, each with its host's name before it; or, for a single host whose output
//! goes to a file or a pipe, its bytes as they are. Pure.

use std::collections::BTreeMap;

use muster_model::wire::{Event, OutputEvent, RunEvent};
use muster_model::{RunState, Stream};

use super::console::Terminals;
use super::sanitise::{self, Sanitiser};
use super::screen::{Lane, Screen};
use super::words::Ending;

/// A line that is longer is shown in pieces of this size.
const LINE_BYTES: usize = 64 * 1024;
/// Names of hosts are padded to at most this width.
const NAME_WIDTH: usize = 24;

impl Host {
    /// Returns the beginning of a line whose end has not come.
    fn held(&mut self, lane: Lane) -> &mut Vec<u8> {
        match lane {
            Lane::Out => &mut self.out,
            Lane::Err => &mut self.err,
        }
    }
}

/// Turns events into lines.
#[derive(Debug)]
pub struct Live {
    terminals: Terminals,
    /// The single host's bytes pass as they are; None: not known yet.
    raw: Option<bool>,
    /// The single host's stderr where that leads to a terminal: stdout does not.
    raw_on_terminal: Sanitiser,
    /// Whether the single host's stderr has come to the middle of a line.
    raw_within_line: bool,
    hosts: BTreeMap<u32, Host>,
    width: usize,
}

#[derive(Debug, Default)]
struct Host {
    name: String,
    attempt: u32,
    /// The beginnings of lines whose ends have not come yet.
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Live {
    /// Returns a renderer for this console.
    #[must_use]
    pub fn new(terminals: Terminals) -> Self {
        Self {
            terminals,
            raw: None,
            raw_on_terminal: Sanitiser::default(),
            raw_within_line: false,
            hosts: BTreeMap::new(),
            width: 0,
        }
    }

    /// Appends what an event has to say to the screen.
    pub fn event(&mut self, event: &Event, screen: &mut Screen) {
        match event {
            Event::Task(task) => {
                self.raw
                    .get_or_insert(task.counts.total == 1 && !self.terminals.out);
            }
            Event::Run(run) => self.run(run, screen),
            Event::Output(output) => self.output(output, screen),
            Event::Reset => {}
        }
    }

    /// Appends what was held back: the stream has ended.
    pub fn finish(&mut self, screen: &mut Screen) {
        let places: Vec<u32> = self.hosts.keys().copied().collect();
        for place in places {
            self.release(place, screen);
        }
    }

    fn is_raw(&self) -> bool {
        self.raw.unwrap_or(false)
    }

    fn meet(&mut self, index: u32, name: &str) {
        if !self.hosts.contains_key(&index) {
            let name = sanitise::line(name).into_owned();
            self.width = self.width.max(name.chars().count().min(NAME_WIDTH));
            self.hosts.insert(
                index,
                Host {
                    name,
                    attempt: 1,
                    ..Host::default()
                },
            );
        }
    }

    fn run(&mut self, run: &RunEvent, screen: &mut Screen) {
        self.meet(run.index, &run.host);
        self.attempt(run.index, run.attempt, screen);
        if !run.state.is_terminal() {
            return;
        }
        self.release(run.index, screen);
        let Some(host) = self.hosts.remove(&run.index) else {
            return;
        };
        if run.state != RunState::Succeeded {
            let ending = Ending {
                state: run.state,
                exit_code: run.exit_code,
                signal: run.signal.as_deref(),
                error: run.error.as_deref(),
            };
            let told = format!("muster: {}: {}", host.name, ending.words());
            screen.notice(&self.paint(Lane::Err, RED, &told));
        }
        if run.truncated {
            let told = format!(
                "muster: {}: the output was cut off at its limit; --max-output raises it",
                host.name
            );
            screen.notice(&self.paint(Lane::Err, YELLOW, &told));
        }
    }

    fn output(&mut self, output: &OutputEvent, screen: &mut Screen) {
        let bytes = &output.bytes[..];
        let lane = match output.stream {
            Stream::Stdout => Lane::Out,
            Stream::Stderr => Lane::Err,
        };
        self.meet(output.index, &output.host);
        self.attempt(output.index, output.attempt, screen);
        if self.is_raw() {
            if let (Lane::Err, Some(last)) = (lane, bytes.last()) {
                self.raw_within_line = *last != b'\n';
            }
            if self.terminals.is_terminal(lane) {
                self.raw_on_terminal.feed(bytes, screen.lane(lane));
            } else {
                screen.lane(lane).extend_from_slice(bytes);
            }
            return;
        }
        let Some(host) = self.hosts.get_mut(&output.index) else {
            return;
        };
        let name = host.name.clone();
        let mut held = std::mem::take(host.held(lane));
        let prefix = self.prefix(lane, &name);
        let mut rest = bytes;
        while let Some(length) = memchr::memchr(b'\n', rest) {
            if held.is_empty() {
                self.line(lane, &prefix, &rest[..length], screen);
            } else {
                held.extend_from_slice(&rest[..length]);
                self.line(lane, &prefix, &held, screen);
                held.clear();
            }
            rest = &rest[length + 1..];
        }
        held.extend_from_slice(rest);
        let mut shown = 0;
        while let Some(length) = too_long(&held[shown..]) {
            self.line(lane, &prefix, &held[shown..shown + length], screen);
            shown += length;
        }
        held.drain(..shown);
        if let Some(host) = self.hosts.get_mut(&output.index) {
            *host.held(lane) = held;
        }
    }

    /// Notes that a host is tried again.
    fn attempt(&mut self, index: u32, attempt: u32, screen: &mut Screen) {
        let Some(host) = self.hosts.get_mut(&index) else {
            return;
        };
        if attempt > host.attempt {
            host.attempt = attempt;
            let told = format!("muster: {}: attempt {attempt}", host.name);
            self.release(index, screen);
            screen.notice(&self.paint(Lane::Err, YELLOW, &told));
        }
    }

    /// Shows the unfinished lines of a host.
    fn release(&mut self, index: u32, screen: &mut Screen) {
        if self.is_raw() && self.terminals.err {
            self.raw_on_terminal.finish(screen.lane(Lane::Err));
        }
        // What is told next is Muster's, and must not look like the rest of what the host said.
        if std::mem::take(&mut self.raw_within_line) {
            screen.lane(Lane::Err).push(b'\n');
        }
        let Some(host) = self.hosts.get_mut(&index) else {
            return;
        };
        let name = host.name.clone();
        let rests = [
            (Lane::Out, std::mem::take(&mut host.out)),
            (Lane::Err, std::mem::take(&mut host.err)),
        ];
        for (lane, rest) in rests {
            if !rest.is_empty() {
                self.line(lane, &self.prefix(lane, &name), &rest, screen);
            }
        }
    }

    /// Returns what stands before the lines of a host.
    fn prefix(&self, lane: Lane, name: &str) -> String {
        if !self.terminals.is_terminal(lane) {
            return format!("{name}: ");
        }
        let pad = " ".repeat(self.width.saturating_sub(name.chars().count()));
        let colour = if lane == Lane::Err { RED } else { colour_of(name) };
        format!("{}{pad} ", self.paint(lane, colour, &format!("{name}:")))
    }

    fn line(&self, lane: Lane, prefix: &str, line: &[u8], screen: &mut Screen) {
        let into = screen.lane(lane);
        into.extend_from_slice(prefix.as_bytes());
        if self.terminals.is_terminal(lane) {
            let mut sanitiser = Sanitiser::default();
            // With its line feed, so that a carriage return before it goes.
            sanitiser.feed(line, into);
            sanitiser.feed(b"\n", into);
        } else {
            into.extend_from_slice(line);
            into.push(b'\n');
        }
    }

    fn paint(&self, lane: Lane, colour: u8, text: &str) -> String {
        if self.terminals.has_colour(lane) {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

const RED: u8 = 31;
const YELLOW: u8 = 33;

/// Returns the colour of a host: always the same for the same name, never red.
fn colour_of(name: &str) -> u8 {
    const COLOURS: [u8; 5] = [36, 32, 34, 35, 96];
    let sum = name.bytes().fold(0usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(byte))
    });
    COLOURS[sum % COLOURS.len()]
}

/// Returns how much of the beginning of a line to show, where it has grown too long.
fn too_long(line: &[u8]) -> Option<usize> {
    if line.len() <= LINE_BYTES {
        return None;
    }
    // Not within a character: the bytes that follow a character's first one begin with 10.
    let whole = (LINE_BYTES - 3..=LINE_BYTES)
        .rev()
        .find(|end| line[*end] & 0xc0 != 0x80);
    Some(whole.unwrap_or(LINE_BYTES))
}

#[cfg(test)]
mod tests;
