//! What can be wrong with a selector, said with the place and what would be right.

use std::fmt;

/// How much of the wrong part an error shows, in characters.
const FOUND_CHARS: usize = 40;
/// How much of the selector an error shows on each side of the place, in characters.
const AROUND_CHARS: usize = 50;

/// A selector that cannot be read.
///
/// As text it is one line; [`Error::pointed`] shows the place as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    column: usize,
    found: String,
    reason: String,
    /// What stands around the place, and how many characters of it stand before the place.
    around: (String, usize),
}

impl Error {
    /// Returns where the wrong part begins, in characters, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }

    /// Returns the wrong part, clipped and harmless; empty where the selector ends too early.
    #[must_use]
    pub fn found(&self) -> &str {
        &self.found
    }

    /// Returns what is wrong with it and what would be right.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns two lines: what stands around the place, and a caret below it.
    #[must_use]
    pub fn pointed(&self) -> String {
        let (text, before) = &self.around;
        format!("{text}\n{:before$}^", "")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            column,
            found,
            reason,
            ..
        } = self;
        if found.is_empty() {
            return write!(f, "selector, column {column}: it ends here, but {reason}");
        }
        write!(f, "selector, column {column}: '{found}' {reason}")
    }
}

impl std::error::Error for Error {}

/// A wrong part of a text, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn new(start: usize, end: usize, reason: impl Into<String>) -> Self {
        Self {
            start,
            end,
            reason: reason.into(),
        }
    }

    /// Makes the error of it, with the text that it is in.
    pub(super) fn of(self, text: &str) -> Error {
        let head = text.get(..self.start).unwrap_or(text);
        let column = head.chars().count() + 1;
        let skipped = (column - 1).saturating_sub(AROUND_CHARS);
        let mut around: String = text
            .chars()
            .skip(skipped)
            .take(2 * AROUND_CHARS)
            .map(harmless)
            .collect();
        let mut before = column - 1 - skipped;
        if skipped > 0 {
            around.insert(0, '…');
            before += 1;
        }
        if text.chars().nth(skipped + 2 * AROUND_CHARS).is_some() {
            around.push('…');
        }
        Error {
            column,
            found: clipped(text.get(self.start..self.end).unwrap_or_default(), FOUND_CHARS),
            reason: self.reason,
            around: (around, before),
        }
    }
}

/// Each character stays one, so that columns stay where they are.
fn harmless(character: char) -> char {
    match character {
        '\n' | '\t' | '\r' => ' ',
        _ if crate::sanitise::is_treacherous(character) => '\u{fffd}',
        _ => character,
    }
}

/// Returns the beginning of a text, harmless and in one line.
pub(super) fn clipped(text: &str, chars: usize) -> String {
    let mut clipped: String = text.chars().take(chars).map(harmless).collect();
    if text.chars().nth(chars).is_some() {
        clipped.push('…');
    }
    clipped
}
