//! Names with `*` and `?`, matched against the hosts that are known.

use super::axis::Axis;
use super::index::Index;
use super::name::{self, Part};
use super::parse::Lowered;

/// A name with wildcards, and perhaps ranges: `web*-[1-4]`.
pub(super) struct Wildcard<'a> {
    tokens: Vec<Token<'a>>,
}

enum Token<'a> {
    /// This text.
    Text(&'a str),
    /// One of these numbers.
    Number(&'a Axis),
    /// One character.
    One,
    /// Any characters, or none.
    Many,
}

impl<'a> Wildcard<'a> {
    /// Returns the wildcard that an element is; None where it is a plain one.
    pub(super) fn of(lowered: &'a Lowered) -> Option<Self> {
        if !lowered.template.contains(['*', '?']) {
            return None;
        }
        let mut axes = lowered.axes.iter();
        let mut tokens = Vec::new();
        for part in name::parts(&lowered.template) {
            match part {
                Part::Text(text) => push_text(text, &mut tokens),
                Part::Place => tokens.extend(axes.next().map(Token::Number)),
            }
        }
        Some(Self { tokens })
    }

    /// Returns how much work it is to match a name, beyond reading it.
    pub(super) fn cost(&self) -> u64 {
        let many = self
            .tokens
            .iter()
            .filter(|token| matches!(token, Token::Many))
            .count();
        let tokens = self.tokens.len();
        (tokens / 16 + many.saturating_sub(1) * tokens / 4) as u64
    }

    /// Tells whether it stands for this host.
    pub(super) fn is_match(&self, host: &str) -> bool {
        // Where the tokens so far may have ended, in bytes.
        let mut ends = vec![0];
        for token in &self.tokens {
            ends = token.advance(host, &ends);
            if ends.is_empty() {
                return false;
            }
        }
        ends.last() == Some(&host.len())
    }
}

fn push_text<'a>(text: &'a str, tokens: &mut Vec<Token<'a>>) {
    for part in text.split_inclusive(['*', '?']) {
        let plain = part.trim_end_matches(['*', '?']);
        if !plain.is_empty() {
            tokens.push(Token::Text(plain));
        }
        match part.as_bytes().last() {
            Some(b'?') => tokens.push(Token::One),
            Some(b'*') if !matches!(tokens.last(), Some(Token::Many)) => tokens.push(Token::Many),
            _ => {}
        }
    }
}

impl Token<'_> {
    /// Returns where this token may end, given where it may begin; sorted, each once.
    fn advance(&self, host: &str, begins: &[usize]) -> Vec<usize> {
        let rest = |begin: &usize| host.get(*begin..).unwrap_or_default();
        match self {
            Self::Text(text) => begins
                .iter()
                .filter(|begin| rest(begin).starts_with(text))
                .map(|begin| begin + text.len())
                .collect(),
            Self::One => begins
                .iter()
                .filter_map(|begin| rest(begin).chars().next().map(|c| begin + c.len_utf8()))
                .collect(),
            Self::Many => {
                let first = begins.first().copied().unwrap_or_default();
                (first..=host.len())
                    .filter(|end| host.is_char_boundary(*end))
                    .collect()
            }
            Self::Number(axis) => {
                let mut ends = Vec::new();
                for begin in begins {
                    for length in 1..=Index::DIGITS {
                        let Some(index) = rest(begin).get(..length).and_then(Index::parse) else {
                            break;
                        };
                        if axis.binary_search(&index).is_ok() {
                            ends.push(begin + length);
                        }
                    }
                }
                ends.sort_unstable();
                ends.dedup();
                ends
            }
        }
    }
}
