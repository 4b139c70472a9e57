//! Why a selector takes a host or does not: each part with its truth and the value that it saw.

use std::fmt;

use super::error::clipped;
use super::evaluate::{Subject, like};
use super::expression::{Expression, Selector, quoted};
use super::field::{Field, Holds, Source};
use super::number::Measure;

/// How much of a part and of a value is shown, in characters.
const SHOWN_CHARS: usize = 200;
/// How many names or addresses of a list are shown.
const SHOWN_NAMES: usize = 10;

/// A part of a selector with what became of it for one host.
///
/// As text it is an indented tree of lines, each with `yes` or `no`, the part and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The part as text, clipped and harmless.
    pub text: String,
    /// Whether it is true of the host.
    pub truth: bool,
    /// The value that it saw, such as `os.id is "debian"` or `os.id is not known`; None for parts that are made of parts.
    pub saw: Option<String>,
    /// What it is made of.
    pub parts: Vec<Explanation>,
    joint: Joint,
}

/// How parts make a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joint {
    Any,
    All,
    Turned,
    Alone,
}

impl Selector {
    /// Tells for every part of the selector what it says of a host. Its truth is that of [`Selector::matches`].
    #[must_use]
    pub fn explain<G: AsRef<str>>(&self, subject: &Subject<'_, G>) -> Explanation {
        self.root.explain(subject)
    }
}

impl Explanation {
    /// Returns the comparisons that decided: of an `&&` that is false those that are false, of an `||` that is true
    /// those that are true.
    #[must_use]
    pub fn decisive(&self) -> Vec<&Self> {
        let mut found = Vec::new();
        self.add_decisive(&mut found);
        found
    }

    fn add_decisive<'e>(&'e self, found: &mut Vec<&'e Self>) {
        if self.joint == Joint::Alone {
            found.push(self);
        }
        for part in &self.parts {
            if self.joint == Joint::Turned || part.truth == self.truth {
                part.add_decisive(found);
            }
        }
    }

    fn write(&self, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let truth = if self.truth { "yes" } else { "no" };
        write!(f, "{truth:<3} {:1$}{2}", "", 2 * depth, self.text)?;
        if let Some(saw) = &self.saw {
            write!(f, "  ({saw})")?;
        }
        self.parts.iter().try_for_each(|part| {
            writeln!(f)?;
            part.write(depth + 1, f)
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(0, f)
    }
}

impl Expression {
    fn explain<G: AsRef<str>>(&self, subject: &Subject<'_, G>) -> Explanation {
        let of =
            |parts: &[Self]| -> Vec<Explanation> { parts.iter().map(|part| part.explain(subject)).collect() };
        let (joint, parts, truth, saw) = match self {
            Self::Or(parts) => {
                let parts = of(parts);
                let truth = parts.iter().any(|part| part.truth);
                (Joint::Any, parts, truth, None)
            }
            Self::And(parts) => {
                let parts = of(parts);
                let truth = parts.iter().all(|part| part.truth);
                (Joint::All, parts, truth, None)
            }
            Self::Not(part) => {
                let part = part.explain(subject);
                let truth = !part.truth;
                (Joint::Turned, vec![part], truth, None)
            }
            Self::Constant(truth) => (Joint::Alone, Vec::new(), *truth, None),
            Self::Has(field) | Self::Test { field, .. } => {
                let saw = Some(format!("{field} {}", subject.seen(field)));
                (Joint::Alone, Vec::new(), self.is_true(subject), saw)
            }
        };
        Explanation {
            text: clipped(&self.to_string(), SHOWN_CHARS),
            truth,
            saw: saw.map(|saw| clipped(&saw, SHOWN_CHARS)),
            parts,
            joint,
        }
    }
}

impl<G: AsRef<str>> Subject<'_, G> {
    /// Says what a field is.
    fn seen(&self, field: &Field) -> String {
        let facts = self.facts.map(|gathered| gathered.facts);
        if field.is_fact() && facts.is_none() {
            return "is not known: no facts were gathered".to_owned();
        }
        let value = match (field.entry.source, facts) {
            (Source::Groups, _) => Some(list(self.groups.iter().map(|group| quoted(group.as_ref())))),
            (Source::OsLike, Some(facts)) => Some(list(like(facts).map(quoted))),
            (Source::Addresses, Some(facts)) => Some(list(facts.addresses().iter().map(ToString::to_string))),
            _ => match field.entry.holds {
                Holds::Number { measure, .. } => self
                    .number(field)
                    .map(|number| measured(number, measure, field.scale())),
                _ => self.text(field).map(quoted),
            },
        };
        value.map_or_else(|| "is not known".to_owned(), |value| format!("is {value}"))
    }
}

/// Writes a number in the units of its field.
fn measured(number: f64, measure: Measure, scale: f64) -> String {
    match measure {
        Measure::Count => number.to_string(),
        // Two places are enough to see why 7.99 is not 8; whole bytes and seconds have none.
        _ => format!("{:.2}", number / scale)
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
    }
}

fn list(mut items: impl Iterator<Item = String>) -> String {
    let mut shown: Vec<String> = items.by_ref().take(SHOWN_NAMES).collect();
    let more = items.count();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    format!("[{}]", shown.join(", "))
}
