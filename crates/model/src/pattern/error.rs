//! What can be wrong with a host pattern, said with the place and what would be right.

use crate::limits::{HOST_NAME_BYTES, HOSTS_PER_TASK, PATTERN_BYTES};
use crate::problem::Code;

use super::index::Index;

/// How much of a pattern, and of its wrong part, an error shows, in characters.
const SHOWN_CHARS: usize = 60;

/// A host pattern that cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pattern cannot be read.
    #[error("host pattern '{pattern}', column {column}: '{part}' {fault}")]
    Syntax {
        /// The pattern, clipped.
        pattern: String,
        /// Where the wrong part begins, in characters, from 1.
        column: usize,
        /// The wrong part, clipped.
        part: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The pattern names a group that does not exist.
    #[error("host pattern '{pattern}', column {column}: there is no group '{group}'")]
    UnknownGroup {
        /// The pattern, clipped.
        pattern: String,
        /// Where the group stands, in characters, from 1.
        column: usize,
        /// The group's name, clipped.
        group: String,
    },
    /// The pattern stands for more hosts than a task may have.
    #[error(
        "host pattern '{pattern}', column {column}: '{part}' brings it to {} hosts, the limit is {HOSTS_PER_TASK}",
        counted(*.hosts)
    )]
    TooManyHosts {
        /// The pattern, clipped.
        pattern: String,
        /// Where the part begins that goes past the limit, in characters, from 1.
        column: usize,
        /// The part, clipped.
        part: String,
        /// How many hosts it would be; [`u64::MAX`] where that many cannot be counted.
        hosts: u64,
    },
    /// The parts of the pattern stand for so many hosts together that working them out would take too long.
    #[error(
        "host pattern '{pattern}', column {column}: with '{part}' it is too much to work out; \
         name fewer or smaller sets, or make a group of them"
    )]
    TooMuchWork {
        /// The pattern, clipped.
        pattern: String,
        /// Where the part begins that goes past the limit, in characters, from 1.
        column: usize,
        /// The part, clipped.
        part: String,
    },
    /// The text is too long.
    #[error("the host patterns are {bytes} bytes long, the limit is {PATTERN_BYTES}")]
    TooLong {
        /// How long it is, all patterns together.
        bytes: usize,
    },
}

/// What is wrong with a part of a pattern, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// An operator without a host on its left.
    #[error("has no host before it: write a host, a group or a range on both sides of an operator")]
    NothingBefore,
    /// An operator without a host on its right.
    #[error("has no host after it: write a host, a group or a range on both sides of an operator")]
    NothingAfter,
    /// A bracket that is not closed.
    #[error("has no closing bracket: write it as in web[1-20]")]
    NotClosed,
    /// A closing bracket without an opening one.
    #[error("closes a bracket that was not opened: write it as in web[1-20]")]
    NotOpened,
    /// A bracket inside brackets.
    #[error("opens a bracket inside brackets: ranges cannot be nested")]
    Nested,
    /// Two ranges side by side.
    #[error(
        "follows another range: put a character that is not a digit between them, as in rack[1-4]node[1-8]"
    )]
    Adjacent,
    /// Nothing between commas or brackets.
    #[error("holds an empty range: write a number or two, as in 1-20, between the commas")]
    EmptyRange,
    /// Not a number.
    #[error("is not a range: write a number, 1-20 or 0-100/5")]
    NotARange,
    /// A number below zero.
    #[error("is a negative range: host numbers start at 0, and a '-' of the name stands before the bracket")]
    Negative,
    /// The first number is larger than the last.
    #[error("runs backwards: write the smaller number first")]
    Backwards,
    /// `01-100` and the like.
    #[error("mixes numbers of different length, which leading zeros forbid: write 001-100 or 1-100")]
    Padding,
    /// A step that is not a number from 1.
    #[error("has a step that is not a number from 1: write it as in 0-100/5")]
    Step,
    /// A step without a range.
    #[error("has a step but no range: write it as in 0-100/5")]
    StepWithoutRange,
    /// A number that is too long.
    #[error("makes a number of more than {} digits", Index::DIGITS)]
    NumberTooLong,
    /// A host name that is too long.
    #[error("makes a host name of more than {HOST_NAME_BYTES} bytes")]
    NameTooLong,
    /// White space inside a name.
    #[error("has a space in it: write a comma between hosts")]
    Space,
    /// A range beside an IPv6 address in brackets.
    #[error(
        "is an address in brackets, which takes no range: write the addresses one by one, or without brackets"
    )]
    RangeAtAddress,
    /// `@` without a name.
    #[error("names no group: write @ and the name of a group, or @* for all hosts")]
    NoGroupName,
    /// `@source:group`.
    #[error("names a source of groups, and there is only one: write @group")]
    GroupSource,
    /// A wildcard in the name of a group.
    #[error("has a wildcard in the name of a group: wildcards match hosts, and @* is all hosts")]
    GroupWildcard,
}

impl Error {
    /// Returns the code of the problem that this error is.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Syntax { .. } => Code::InvalidPattern,
            Self::UnknownGroup { .. } => Code::UnknownGroup,
            Self::TooManyHosts { .. } | Self::TooMuchWork { .. } | Self::TooLong { .. } => {
                Code::TargetTooLarge
            }
        }
    }
}

/// A place in a pattern, from which errors are made.
#[derive(Clone, Copy)]
pub(super) struct Place<'t> {
    /// The whole pattern.
    pub(super) text: &'t str,
    /// Where the part begins, in bytes.
    pub(super) start: usize,
    /// The part.
    pub(super) part: &'t str,
}

impl Place<'_> {
    pub(super) fn fault(self, fault: Fault) -> Error {
        Error::Syntax {
            pattern: shown(self.text),
            column: self.column(),
            part: shown(self.part),
            fault,
        }
    }

    pub(super) fn unknown_group(self, group: &str) -> Error {
        Error::UnknownGroup {
            pattern: shown(self.text),
            column: self.column(),
            group: shown(group),
        }
    }

    pub(super) fn too_many_hosts(self, hosts: u64) -> Error {
        Error::TooManyHosts {
            pattern: shown(self.text),
            column: self.column(),
            part: shown(self.part),
            hosts,
        }
    }

    pub(super) fn too_much_work(self) -> Error {
        Error::TooMuchWork {
            pattern: shown(self.text),
            column: self.column(),
            part: shown(self.part),
        }
    }

    fn column(self) -> usize {
        self.text.get(..self.start).map_or(0, |head| head.chars().count()) + 1
    }
}

/// Returns the beginning of a text, harmless on a terminal.
fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn counted(hosts: u64) -> String {
    match hosts {
        u64::MAX => "countless".to_owned(),
        hosts => hosts.to_string(),
    }
}
