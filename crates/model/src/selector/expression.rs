//! A selector in memory, and how it is written.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::str::FromStr;

use super::error::Error;
use super::field::{Field, Source};
use super::number::Number;
use super::token::Operator;

/// Which hosts, said by what is known of them. Written out, it is in one canonical form, which is read as the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    pub(super) root: Expression,
    pub(super) needs: Needs,
}

/// What a selector reads besides the hosts themselves; the rest need not be fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Facts, or when they were gathered.
    pub facts: bool,
    /// Labels.
    pub labels: bool,
    /// Names of groups.
    pub groups: bool,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    ///
    /// Where it is longer than [`super::SELECTOR_BYTES`] or deeper than [`super::DEPTH`], cannot be read, names a
    /// field that does not exist or compares a field with what it cannot be.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let root = super::parse::parse(text).map_err(|fault| fault.of(text))?;
        let mut needs = Needs::default();
        root.add_needs(&mut needs);
        Ok(Self { root, needs })
    }

    /// Returns what the selector reads.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.needs
    }
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

/// A selector or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Or(Vec<Expression>),
    And(Vec<Expression>),
    Not(Box<Expression>),
    Constant(bool),
    Has(Field),
    Test {
        field: Field,
        /// `not in`, `not like`.
        negated: bool,
        test: Test,
    },
}

/// What is asked of the value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Text(Operator, String),
    Number(Operator, Number),
    /// In order, each once.
    OneOf(Vec<String>),
    OneOfNumbers(Vec<Number>),
    Like(String),
    Contains(String),
    Network(Network),
}

/// An address, or all that begin like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads `10.0.0.0/8` or `10.0.0.1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None => longest,
        };
        (prefix <= longest).then_some(Self { address, prefix })
    }

    pub(super) fn contains(&self, other: &IpAddr) -> bool {
        let differs = match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => return false,
        };
        differs >= u32::from(self.prefix)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}/{}\"", self.address, self.prefix)
    }
}

impl Expression {
    fn add_needs(&self, needs: &mut Needs) {
        match self {
            Self::Or(parts) | Self::And(parts) => parts.iter().for_each(|part| part.add_needs(needs)),
            Self::Not(part) => part.add_needs(needs),
            Self::Constant(_) => {}
            Self::Has(field) | Self::Test { field, .. } => {
                needs.facts |= field.is_fact();
                needs.labels |= field.entry.source == Source::Label;
                needs.groups |= field.entry.source == Source::Groups;
            }
        }
    }

    fn list(parts: &[Self], between: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                f.write_str(between)?;
            }
            match part {
                Self::Or(_) => write!(f, "({part})")?,
                _ => write!(f, "{part}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(parts) => Self::list(parts, " || ", f),
            Self::And(parts) => Self::list(parts, " && ", f),
            Self::Not(part) => match &**part {
                Self::Not(_) | Self::Has(_) | Self::Constant(_) => write!(f, "!{part}"),
                _ => write!(f, "!({part})"),
            },
            Self::Constant(truth) => truth.fmt(f),
            Self::Has(field) => write!(f, "has({field})"),
            Self::Test { field, negated, test } => test.write(field, if *negated { "not " } else { "" }, f),
        }
    }
}

impl Test {
    fn write(&self, field: &Field, not: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(operator, text) => write!(f, "{field} {operator} {}", quoted(text)),
            Self::Number(operator, number) => write!(f, "{field} {operator} {number}"),
            Self::OneOf(texts) => {
                write!(f, "{field} {not}in ")?;
                bracketed(texts.iter().map(|text| quoted(text)), f)
            }
            Self::OneOfNumbers(numbers) => {
                write!(f, "{field} {not}in ")?;
                bracketed(numbers.iter().map(ToString::to_string), f)
            }
            Self::Like(pattern) => write!(f, "{field} {not}like {}", quoted(pattern)),
            Self::Contains(text) => write!(f, "{} {not}in {field}", quoted(text)),
            Self::Network(network) => write!(f, "{network} {not}in {field}"),
        }
    }
}

fn bracketed(items: impl Iterator<Item = String>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('[')?;
    for (place, item) in items.enumerate() {
        if place > 0 {
            f.write_str(", ")?;
        }
        f.write_str(&item)?;
    }
    f.write_char(']')
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

/// Writes a text as selectors read it, safe to show.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            _ if crate::sanitise::is_treacherous(character) => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
