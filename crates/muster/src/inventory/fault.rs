//! What is said about a file: what is wrong with it, which refuses it, and what was left out of it.

use std::collections::BTreeMap;
use std::fmt;

use muster_model::sanitise;

/// The most faults that are collected before reading stops.
pub const FAULTS: usize = 50;
/// The longest piece of a file that is shown, in characters.
const SHOWN: usize = 80;

/// Something in a file that is wrong. A file with a fault is not imported at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file's name, as it was given or found.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for Fault {}

/// Something that was left out or read in a way of its own. It refuses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file's name, as it was given or found.
    pub file: String,
    /// The line of the first place that it is about.
    pub line: Option<u32>,
    /// What is to be known.
    pub what: String,
    /// How many places it is about.
    pub places: u32,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)?;
        match self.places {
            0 | 1 => Ok(()),
            2 => f.write_str(" (and one more place)"),
            more => write!(f, " (and {} more places)", more - 1),
        }
    }
}

/// A line of one of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Which file.
    pub(super) file: u32,
    /// The line, from 1; 0: the file as a whole.
    pub(super) line: u32,
    /// The column, from 1; 0: the line as a whole.
    pub(super) column: u32,
}

impl Place {
    pub(super) fn line(file: u32, line: usize) -> Self {
        Self {
            file,
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: 0,
        }
    }

    pub(super) fn whole(file: u32) -> Self {
        Self::line(file, 0)
    }
}

/// What is collected while files are read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    files: Vec<String>,
    faults: Vec<Fault>,
    /// By what they say, so that a note about ten thousand lines is one note.
    notes: BTreeMap<String, (Place, u32)>,
}

impl Findings {
    /// Registers a file and returns its number.
    pub(super) fn file(&mut self, name: &str) -> u32 {
        self.files.push(sanitise::line(name).to_string());
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    fn name(&self, place: Place) -> String {
        let index = usize::try_from(place.file).unwrap_or(usize::MAX);
        self.files.get(index).cloned().unwrap_or_default()
    }

    /// Notes a fault; past [`FAULTS`] it is passed over.
    pub(super) fn fault(&mut self, place: Place, what: impl Into<String>) {
        if self.is_full() {
            return;
        }
        let some = |number: u32| (number > 0).then_some(number);
        self.faults.push(Fault {
            file: self.name(place),
            line: some(place.line),
            column: some(place.column),
            what: sanitise::line(&what.into()).to_string(),
        });
    }

    pub(super) fn note(&mut self, place: Place, what: impl Into<String>) {
        let what = sanitise::line(&what.into()).to_string();
        if let Some((_, places)) = self.notes.get_mut(&what) {
            *places += 1;
        } else if self.notes.len() < 1000 {
            self.notes.insert(what, (place, 1));
        }
    }

    /// Tells whether reading on would show nothing more.
    pub(super) fn is_full(&self) -> bool {
        self.faults.len() >= FAULTS
    }

    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// Returns the notes in the order of their places, or the faults where there are any.
    pub(super) fn finish(mut self) -> Result<Vec<Note>, Vec<Fault>> {
        if !self.faults.is_empty() {
            return Err(std::mem::take(&mut self.faults));
        }
        let mut notes: Vec<_> = std::mem::take(&mut self.notes).into_iter().collect();
        notes.sort_by_key(|(_, (place, _))| (place.file, place.line));
        let notes = notes.into_iter().map(|(what, (place, places))| Note {
            file: self.name(place),
            line: (place.line > 0).then_some(place.line),
            what,
            places,
        });
        Ok(notes.collect())
    }
}

/// Returns a piece of a file as an error shows it: short and on one line.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    sanitise::line(&short).to_string()
}
