//! From the text of a pattern to its elements, and from an element to a template and its numbers.

use crate::limits::{HOST_NAME_BYTES, HOSTS_PER_TASK};

use super::axis::{self, Axis};
use super::boxes;
use super::error::{Error, Fault, Place};
use super::index::Index;
use super::name;
use super::work::Work;

/// What an element does to the hosts on its left. Patterns are read from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// `,`
    Union,
    /// `!`
    Difference,
    /// `&`
    Intersection,
    /// `^`
    SymmetricDifference,
}

impl Operator {
    fn of(character: char) -> Option<Self> {
        match character {
            ',' => Some(Self::Union),
            '!' => Some(Self::Difference),
            '&' => Some(Self::Intersection),
            '^' => Some(Self::SymmetricDifference),
            _ => None,
        }
    }
}

/// What stands between two operators.
pub(super) struct Element<'t> {
    pub(super) operator: Operator,
    pub(super) place: Place<'t>,
    pieces: Vec<Piece<'t>>,
}

#[derive(Clone, Copy)]
enum Piece<'t> {
    /// Text of the name.
    Text(Place<'t>),
    /// What stands between brackets.
    Range(Place<'t>),
    /// An IPv6 address with its brackets.
    Address(Place<'t>),
}

/// The elements of one line of a pattern.
pub(super) struct Elements<'t> {
    text: &'t str,
    /// Where the rest of the line begins.
    at: usize,
    /// Where the line ends.
    end: usize,
    /// The operator before the rest, and where it stands.
    operator: Option<(Operator, usize)>,
    finished: bool,
}

impl<'t> Elements<'t> {
    /// Reads the line of `text` from `start` to `end`, which is not blank.
    pub(super) fn new(text: &'t str, start: usize, end: usize) -> Self {
        Self {
            text,
            at: start,
            end,
            operator: None,
            finished: false,
        }
    }

    /// Tells whether the last element was read.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Returns the next element; None at the end of the line.
    pub(super) fn next(&mut self) -> Result<Option<Element<'t>>, Error> {
        if self.finished {
            return Ok(None);
        }
        let start = self.end - self.slice(self.at, self.end).trim_start().len();
        let mut pieces = Vec::new();
        let mut at = start;
        let mut text_start = start;
        let mut follows = None;
        while let Some(character) = self.slice(at, self.end).chars().next() {
            if let Some(operator) = Operator::of(character) {
                follows = Some((operator, at));
                break;
            }
            match character {
                '[' => {
                    self.push_text(&mut pieces, text_start, at);
                    at = self.bracket(&mut pieces, at)?;
                    text_start = at;
                }
                ']' => return Err(self.place(at, at + 1).fault(Fault::NotOpened)),
                other => at += other.len_utf8(),
            }
        }
        let trimmed = start + self.slice(start, at).trim_end().len();
        self.push_text(&mut pieces, text_start.min(trimmed), trimmed);
        self.check(&pieces, start, trimmed, follows)?;
        let operator = self.operator.map_or(Operator::Union, |(operator, _)| operator);
        self.operator = follows;
        match follows {
            Some((_, position)) => self.at = position + 1,
            None => self.finished = true,
        }
        Ok(Some(Element {
            operator,
            place: self.place(start, trimmed),
            pieces,
        }))
    }

    /// Refuses an element that is empty, has spaces in it or a range beside an address.
    fn check(
        &self,
        pieces: &[Piece<'t>],
        start: usize,
        end: usize,
        follows: Option<(Operator, usize)>,
    ) -> Result<(), Error> {
        if pieces.is_empty() {
            let (position, fault) = match (self.operator, follows) {
                (Some((_, before)), _) => (before, Fault::NothingAfter),
                (None, Some((_, after))) => (after, Fault::NothingBefore),
                (None, None) => (start, Fault::NothingBefore),
            };
            return Err(self.place(position, (position + 1).min(self.end)).fault(fault));
        }
        let mut address = None;
        let mut has_range = false;
        for piece in pieces {
            match piece {
                Piece::Text(text) if text.part.contains(char::is_whitespace) => {
                    return Err(self.place(start, end).fault(Fault::Space));
                }
                Piece::Text(_) => {}
                Piece::Range(_) => has_range = true,
                Piece::Address(place) => address = Some(place),
            }
        }
        match address {
            Some(place) if has_range => Err(place.fault(Fault::RangeAtAddress)),
            _ => Ok(()),
        }
    }

    /// Reads the bracket that opens at `open` and returns where the text after it begins.
    fn bracket(&self, pieces: &mut Vec<Piece<'t>>, open: usize) -> Result<usize, Error> {
        let inside = open + 1;
        let Some(length) = self.slice(inside, self.end).find(']') else {
            return Err(self.place(open, self.end).fault(Fault::NotClosed));
        };
        let close = inside + length;
        let content = self.slice(inside, close);
        if content.contains('[') {
            return Err(self.place(open, close + 1).fault(Fault::Nested));
        }
        let piece = if content.contains(':') {
            Piece::Address(self.place(open, close + 1))
        } else if matches!(pieces.last(), Some(Piece::Range(_))) {
            return Err(self.place(open, close + 1).fault(Fault::Adjacent));
        } else {
            Piece::Range(self.place(inside, close))
        };
        pieces.push(piece);
        Ok(close + 1)
    }

    fn push_text(&self, pieces: &mut Vec<Piece<'t>>, start: usize, end: usize) {
        if start < end {
            pieces.push(Piece::Text(self.place(start, end)));
        }
    }

    fn place(&self, start: usize, end: usize) -> Place<'t> {
        Place {
            text: self.text,
            start,
            part: self.slice(start, end),
        }
    }

    fn slice(&self, start: usize, end: usize) -> &'t str {
        self.text.get(start..end).unwrap_or_default()
    }
}

/// A template and, for each of its places, the numbers that stand there.
pub(super) struct Lowered {
    pub(super) template: String,
    pub(super) axes: Vec<Axis>,
    /// How many names it makes: the product of the axes' lengths, never more than a task may have.
    pub(super) count: u64,
}

impl Lowered {
    /// Calls `visit` with the numbers of each name.
    pub(super) fn each(&self, visit: impl FnMut(&[Index])) {
        let axes: Vec<&[Index]> = self.axes.iter().map(Vec::as_slice).collect();
        boxes::each_point(&axes, visit);
    }

    /// Tells whether a name with these numbers, and this template, is one of its names.
    pub(super) fn contains(&self, numbers: &[Index]) -> bool {
        let mut places = numbers.iter().zip(&self.axes);
        places.all(|(index, axis)| axis.binary_search(index).is_ok())
    }
}

impl Element<'_> {
    /// Turns the element into a template and its numbers. Nothing is multiplied out.
    pub(super) fn lower(&self, work: &mut Work) -> Result<Lowered, Error> {
        let mut template = String::new();
        let mut axes = Vec::new();
        if self.pieces.iter().any(|piece| matches!(piece, Piece::Address(_))) {
            name::push_literal(self.place.part, &mut template);
        } else {
            for (position, piece) in self.pieces.iter().enumerate() {
                let after_range = position > 0;
                match piece {
                    Piece::Range(range) => {
                        let axis = self.axis(position, *range, work)?;
                        template.push_str("%s");
                        axes.push(axis);
                    }
                    Piece::Text(text) | Piece::Address(text) => {
                        let before_range = position + 1 < self.pieces.len();
                        let (_, middle, _) = digits_at_ends(text.part, after_range, before_range);
                        let mut numbers = Vec::new();
                        name::push_text(middle, &mut template, &mut numbers);
                        axes.extend(numbers.into_iter().map(|index| vec![index]));
                    }
                }
            }
        }
        let count = axes
            .iter()
            .fold(1_u64, |count, axis| count.saturating_mul(axis.len() as u64));
        if count > HOSTS_PER_TASK {
            return Err(self.place.too_many_hosts(count));
        }
        // Within an axis the last number is the longest.
        let longest: Vec<Index> = axes.iter().filter_map(|axis| axis.last().copied()).collect();
        if name::format(&template, &longest).len() > HOST_NAME_BYTES {
            return Err(self.place.fault(Fault::NameTooLong));
        }
        Ok(Lowered {
            template,
            axes,
            count,
        })
    }

    /// Reads a range together with the digits that touch its brackets: `a1[2-3]4` is a124 and a134.
    fn axis(&self, position: usize, range: Place<'_>, work: &mut Work) -> Result<Axis, Error> {
        let mut axis = axis::parse(range, work)?;
        let text_at = |at: Option<usize>| match at.and_then(|at| self.pieces.get(at)) {
            Some(Piece::Text(text)) => Some(*text),
            _ => None,
        };
        let before = text_at(position.checked_sub(1));
        let after = text_at(Some(position + 1));
        let is_between = |text: &Place<'_>| text.part.bytes().all(|b| b.is_ascii_digit());
        if position >= 2 && before.as_ref().is_some_and(is_between) {
            return Err(range.fault(Fault::Adjacent));
        }
        let head = before.map_or("", |text| digits_at_ends(text.part, false, true).2);
        let tail = after.map_or("", |text| digits_at_ends(text.part, true, false).0);
        let too_long = || self.place.fault(Fault::NumberTooLong);
        if !head.is_empty() {
            let head = Index::parse(head).ok_or_else(too_long)?;
            for index in &mut axis {
                *index = head.concat(*index).ok_or_else(too_long)?;
            }
        }
        if !tail.is_empty() {
            let tail = Index::parse(tail).ok_or_else(too_long)?;
            for index in &mut axis {
                *index = index.concat(tail).ok_or_else(too_long)?;
            }
        }
        Ok(axis)
    }
}

/// Cuts the digits off the ends of a text that touch a range: what is before, between and after.
fn digits_at_ends(text: &str, after_range: bool, before_range: bool) -> (&str, &str, &str) {
    let is_digit = |c: char| c.is_ascii_digit();
    let rest = if after_range {
        text.trim_start_matches(is_digit)
    } else {
        text
    };
    let middle = if before_range {
        rest.trim_end_matches(is_digit)
    } else {
        rest
    };
    (&text[..text.len() - rest.len()], middle, &rest[middle.len()..])
}
