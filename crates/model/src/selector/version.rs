//! The order of versions: `9 < 10`, `22.04 < 22.10`, `1.0-rc1 < 1.0 < 1.0.1`.

use std::cmp::Ordering;

/// A run of digits without leading zeros, or a run of letters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part<'v> {
    Word(&'v str),
    Number(&'v str),
}

/// Words that make a version earlier than it is without them.
const EARLY: [&str; 6] = ["alpha", "beta", "dev", "pre", "preview", "rc"];

/// Compares part by part: numbers as numbers, words as text. What is missing counts as 0, and a word makes a version
/// later, unless it says that the version is not out yet.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (Parts(left), Parts(right));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (left, right) => rank(left).cmp(&rank(right)).then_with(|| same_rank(left, right)),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Early words come before nothing and numbers, other words after nothing and before larger numbers.
fn rank(part: Option<Part<'_>>) -> u8 {
    match part {
        Some(Part::Word(word)) if EARLY.iter().any(|early| early.eq_ignore_ascii_case(word)) => 0,
        None => 1,
        Some(Part::Number("")) => 1,
        Some(Part::Word(_)) => 2,
        Some(Part::Number(_)) => 3,
    }
}

fn same_rank(left: Option<Part<'_>>, right: Option<Part<'_>>) -> Ordering {
    match (left, right) {
        (Some(Part::Number(left)), Some(Part::Number(right))) => {
            left.len().cmp(&right.len()).then_with(|| left.cmp(right))
        }
        (Some(Part::Word(left)), Some(Part::Word(right))) => left.cmp(right),
        _ => Ordering::Equal,
    }
}

/// The parts of a text from the front; what is neither a letter nor a digit separates them.
struct Parts<'v>(&'v str);

impl<'v> Iterator for Parts<'v> {
    type Item = Part<'v>;

    fn next(&mut self) -> Option<Part<'v>> {
        let rest = self.0.trim_start_matches(|c: char| !c.is_alphanumeric());
        let is_digit = rest.chars().next()?.is_ascii_digit();
        let same = |c: char| c.is_alphanumeric() && c.is_ascii_digit() == is_digit;
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        self.0 = after;
        Some(match is_digit {
            true => Part::Number(part.trim_start_matches('0')),
            false => Part::Word(part),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_people_count_them() {
        let ordered = [
            "9",
            "10",
            "12-rc1",
            "12",
            "12.1",
            "12.2-RELEASE",
            "12.2.1",
            "22.04",
            "22.10",
            "99999999999999999999999",
        ];
        for (place, left) in ordered.iter().enumerate() {
            for (other, right) in ordered.iter().enumerate() {
                assert_eq!(compare(left, right), place.cmp(&other), "{left} {right}");
            }
        }
        for (left, right) in [("12", "12.0"), ("1.02", "1.2"), ("", "0"), ("v1", "v1.0.0")] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
        }
        assert_eq!(compare("6.1.0-18-amd64", "6.1"), Ordering::Greater);
        assert_eq!(compare("14.0-RELEASE-p4", "14.0"), Ordering::Greater);
        assert_eq!(compare("jammy", "noble"), Ordering::Less);
    }
}
