//! Bytes on their way to standard output and standard error, in order.

use std::borrow::Cow;

use super::sanitise;

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Standard output: results and nothing else.
    Out,
    /// Standard error: notices.
    Err,
}

/// Collects what is to be written, so that whoever makes it needs no console.
#[derive(Debug, Default)]
pub struct Screen {
    pieces: Vec<(Lane, Vec<u8>)>,
}

impl Screen {
    /// Returns the buffer for a lane: what is appended comes after everything before it.
    pub fn lane(&mut self, lane: Lane) -> &mut Vec<u8> {
        if self.pieces.last().is_none_or(|(last, _)| *last != lane) {
            self.pieces.push((lane, Vec::new()));
        }
        let last = self.pieces.len() - 1;
        &mut self.pieces[last].1
    }

    /// Returns the buffer for standard output.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.lane(Lane::Out)
    }

    /// Adds a line to standard output.
    pub fn line(&mut self, line: &str) {
        let out = self.out();
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }

    /// Adds a line to standard error.
    pub fn notice(&mut self, line: &str) {
        let err = self.lane(Lane::Err);
        err.extend_from_slice(line.as_bytes());
        err.push(b'\n');
    }

    /// Makes JSON on standard output safe to show: the same values, in which nothing steers a terminal.
    pub fn make_json_safe(&mut self) {
        for (_, bytes) in self.pieces.iter_mut().filter(|(lane, _)| *lane == Lane::Out) {
            if let Ok(Cow::Owned(safe)) = std::str::from_utf8(bytes).map(sanitise::json) {
                *bytes = safe.into_bytes();
            }
        }
    }

    /// Tells whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Takes everything, in order.
    pub fn take(&mut self) -> Vec<(Lane, Vec<u8>)> {
        std::mem::take(&mut self.pieces)
    }

    /// Returns everything of one lane, for tests.
    #[cfg(test)]
    pub fn text(&self, lane: Lane) -> String {
        let bytes: Vec<u8> = self
            .pieces
            .iter()
            .filter(|(of, _)| *of == lane)
            .flat_map(|(_, bytes)| bytes.clone())
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
