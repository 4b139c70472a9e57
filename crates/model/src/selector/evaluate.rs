//! Whether a selector takes a host. Nothing is allocated here.

use std::cmp::Ordering;

use super::expression::{Expression, Selector, Test};
use super::field::{Field, Source};
use super::glob;
use super::known::{Host, Mounted, System, Word};
use super::number::Number;
use super::token::Operator;
use super::version;
use crate::inventory::GroupName;
use crate::{Reach, Timestamp};

/// A host as a selector sees it: borrowed, so that making one costs nothing.
#[derive(Debug)]
pub struct Subject<'a, G = GroupName> {
    /// The host.
    pub host: &'a dyn Host,
    /// The names of the groups that it is in: those that name it and those that hold such a group.
    pub groups: &'a [G],
    /// What is known of its system.
    pub facts: Option<Gathered<'a>>,
    /// The present.
    pub now: Timestamp,
}

/// Facts and when they were gathered.
#[derive(Clone, Copy, Debug)]
pub struct Gathered<'a> {
    /// The facts.
    pub facts: &'a dyn System,
    /// When.
    pub at: Timestamp,
}

impl Selector {
    /// Tells whether the selector takes a host.
    #[must_use]
    pub fn matches<G: AsRef<str>>(&self, subject: &Subject<'_, G>) -> bool {
        self.root.is_true(subject)
    }
}

impl Expression {
    pub(super) fn is_true<G: AsRef<str>>(&self, subject: &Subject<'_, G>) -> bool {
        match self {
            Self::Or(parts) => parts.iter().any(|part| part.is_true(subject)),
            Self::And(parts) => parts.iter().all(|part| part.is_true(subject)),
            Self::Not(part) => !part.is_true(subject),
            Self::Constant(truth) => *truth,
            Self::Has(field) => subject.has(field),
            Self::Test { field, negated, test } => {
                subject.answer(field, test).is_some_and(|truth| truth != *negated)
            }
        }
    }
}

impl<'a, G: AsRef<str>> Subject<'a, G> {
    fn known(&self) -> Option<&'a dyn System> {
        self.facts.map(|gathered| gathered.facts)
    }

    /// Tells whether there is a value, or anything in a list.
    fn has(&self, field: &Field) -> bool {
        match field.entry.source {
            Source::Addresses => self.known().is_some_and(|facts| !facts.addresses().is_empty()),
            Source::Groups | Source::OsLike => self.any_name(field, |_| true) == Some(true),
            _ => self.text(field).is_some() || self.number(field).is_some(),
        }
    }

    /// Answers a test; None where there is no value to ask about.
    fn answer(&self, field: &Field, test: &Test) -> Option<bool> {
        match test {
            Test::Text(operator, wanted) => {
                let found = self.text(field)?;
                Some(match operator {
                    Operator::Equal => found == wanted,
                    Operator::NotEqual => found != wanted,
                    _ => operator.holds(version::compare(found, wanted)),
                })
            }
            Test::Number(operator, wanted) => {
                let found = self.number(field)?;
                Some(operator.holds(found.partial_cmp(&absolute(field, *wanted))?))
            }
            Test::OneOf(wanted) => {
                let found = self.text(field)?;
                Some(wanted.binary_search_by(|text| text.as_str().cmp(found)).is_ok())
            }
            Test::OneOfNumbers(wanted) => {
                let found = self.number(field)?;
                let is_it =
                    |number: &Number| found.partial_cmp(&absolute(field, *number)) == Some(Ordering::Equal);
                Some(wanted.iter().any(is_it))
            }
            Test::Like(pattern) => match field.entry.source {
                Source::Groups | Source::OsLike => self.any_name(field, |name| glob::is_match(pattern, name)),
                _ => Some(glob::is_match(pattern, self.text(field)?)),
            },
            Test::Contains(wanted) => self.any_name(field, |name| name == wanted),
            Test::Network(network) => {
                let addresses = self.known()?.addresses();
                Some(addresses.iter().any(|address| network.contains(address)))
            }
        }
    }

    /// Returns the text of a field.
    pub(super) fn text(&self, field: &Field) -> Option<&'a str> {
        text_of(self.host, self.known(), field)
    }

    /// Returns the number of a field, in bytes, seconds or things.
    pub(super) fn number(&self, field: &Field) -> Option<f64> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "beyond 9 PB a byte more or less does not matter"
        )]
        let float = |number: u64| number as f64;
        let facts = self.known();
        match field.entry.source {
            Source::Port => self.host.port().map(f64::from),
            Source::Label => {
                let label = self.host.label(&field.key)?;
                label.parse().ok().filter(|number: &f64| number.is_finite())
            }
            Source::Cpus => facts?.cpus().map(f64::from),
            Source::Memory => facts?.mem_bytes().map(float),
            Source::Swap => facts?.swap_bytes().map(float),
            Source::DiskFree => disk(facts?, &field.key).map(|disk| float(disk.free_bytes)),
            Source::DiskSize => disk(facts?, &field.key).map(|disk| float(disk.size_bytes)),
            Source::Uptime => facts?.uptime_s().map(float),
            Source::FactsAge => Some(self.now.since(self.facts?.at).as_secs_f64()),
            _ => None,
        }
    }

    /// Tells whether a name of the list is like that; None where the list is not known.
    fn any_name(&self, field: &Field, is_it: impl Fn(&str) -> bool) -> Option<bool> {
        match field.entry.source {
            Source::Groups => Some(self.groups.iter().any(|group| is_it(group.as_ref()))),
            Source::OsLike => Some(like(self.known()?).any(is_it)),
            _ => None,
        }
    }
}

fn text_of<'a>(host: &'a dyn Host, facts: Option<&'a dyn System>, field: &Field) -> Option<&'a str> {
    let word = match field.entry.source {
        Source::Name => return Some(host.name()),
        Source::Address => return Some(host.address().unwrap_or(host.name())),
        Source::User => return host.user(),
        Source::Reach => {
            return Some(match host.reach() {
                Some(Reach::Local) => "local",
                Some(Reach::Agent) => "agent",
                Some(Reach::Ssh) | None => "ssh",
            });
        }
        Source::Credential => return host.credential(),
        Source::Label => return host.label(&field.key),
        Source::OsId => Word::OsId,
        Source::OsVersion => Word::OsVersion,
        Source::OsName => Word::OsName,
        Source::Kernel => Word::Kernel,
        Source::KernelRelease => Word::KernelRelease,
        Source::Arch => Word::Arch,
        Source::Hostname => Word::Hostname,
        Source::Virt => Word::Virt,
        Source::Pkg => Word::Pkg,
        Source::Init => Word::Init,
        _ => return None,
    };
    facts?.word(word)
}

/// Returns the systems that one says it is like.
pub(super) fn like(facts: &dyn System) -> impl Iterator<Item = &str> {
    (0..).map_while(|place| facts.like(place))
}

/// Returns the file system that holds a path: of the mounts above it the nearest.
fn disk<'a>(facts: &'a dyn System, path: &str) -> Option<Mounted<'a>> {
    let holds = |mount: &str| match path.strip_prefix(mount.trim_end_matches('/')) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    };
    let disks = (0..).map_while(|place| facts.disk(place));
    let above = disks.filter(|disk| holds(disk.mount));
    above.max_by_key(|disk| disk.mount.len())
}

fn absolute(field: &Field, number: Number) -> f64 {
    number.absolute(field.scale())
}

impl Operator {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}
