//! The configuration file: TOML, flat, and nothing in it that is not known.

use std::path::Path;

use muster_model::Problem;
use muster_model::problem::Code;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Key};

/// A line of a file that sets something.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: &'static Key,
    pub(super) text: String,
    pub(super) line: usize,
}

/// Reads a file; a missing one is empty unless it was asked for by name.
pub(super) fn read(path: &Path, asked_for: bool) -> Result<Vec<Entry>, Problem> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked_for => Ok(Vec::new()),
        Err(error) => Err(Problem::new(
            Code::InvalidConfig,
            format!("{} cannot be read: {error}", path.display()),
        )),
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, Problem> {
    let wrong = |at: usize, why: String| {
        let line = line_of(text, at);
        Problem::new(Code::InvalidConfig, format!("{}:{line}: {why}", path.display()))
    };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        wrong(at, error.message().to_owned())
    })?;
    let mut entries = Vec::new();
    for (name, value) in table.get_ref() {
        let at = name.span().start;
        let Some(key) = keys::by_name(name.get_ref()).filter(|key| key.in_file) else {
            return Err(unknown(name.get_ref(), |why| wrong(at, why)));
        };
        let text_of_value = match value.get_ref() {
            DeValue::String(value) => value.to_string(),
            DeValue::Integer(value) => value.as_str().to_owned(),
            DeValue::Boolean(value) => value.to_string(),
            other => {
                let why = format!(
                    "{} is a {}: it takes a text or a number",
                    key.name,
                    other.type_str()
                );
                return Err(wrong(at, why));
            }
        };
        entries.push(Entry {
            key,
            text: text_of_value,
            line: line_of(text, at),
        });
    }
    Ok(entries)
}

fn unknown(name: &str, wrong: impl FnOnce(String) -> Problem) -> Problem {
    let shown: String = name.chars().take(60).collect();
    if let Some(key) = keys::by_name(name) {
        return wrong(format!("'{shown}' cannot stand in a file"))
            .hint(format!("set {} in the environment", key.variable));
    }
    let nearest = keys::names_in_file().min_by_key(|known| distance(&shown, known));
    let all: Vec<_> = keys::names_in_file().collect();
    let problem = wrong(format!("there is no setting '{shown}'"));
    match nearest {
        Some(nearest) if distance(&shown, nearest) <= 3 => problem.hint(format!("did you mean '{nearest}'?")),
        _ => problem.hint(format!("the settings are {}", all.join(", "))),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// Returns how many letters must be put in, left out or replaced to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, against) in other.iter().enumerate() {
            let replaced = corner + usize::from(letter != *against);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
