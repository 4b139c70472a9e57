//! The words of a selector: names, texts, numbers and signs, each with its place.

use winnow::combinator::{alt, dispatch, opt, peek};
use winnow::error::ParserError;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location as _};
use winnow::token::{any, take_while};

use super::error::Fault;
use super::number::{self, Number};

/// A word and where it stands, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name of a field, perhaps with dots, or a word that is none of the others.
    Name(String),
    Text(String),
    Number(Number),
    Operator(Operator),
    And,
    Or,
    Not,
    In,
    Like,
    Has,
    True,
    False,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Comma,
    End,
}

type Input<'t> = LocatingSlice<&'t str>;

impl<'t> ParserError<Input<'t>> for Fault {
    type Inner = Self;

    fn from_input(input: &Input<'t>) -> Self {
        let start = input.current_token_start();
        let length = input.chars().next().map_or(0, char::len_utf8);
        Self::new(start, start + length, unknown(input.chars().next()))
    }

    fn into_inner(self) -> Result<Self::Inner, Self> {
        Ok(self)
    }
}

/// What is said of a character that begins nothing.
fn unknown(character: Option<char>) -> &'static str {
    match character {
        Some('=') => "does not compare: write == for equal",
        Some('&') => "is half an operator: write && or and",
        Some('|') => "is half an operator: write || or or",
        Some('“' | '”' | '„' | '‘' | '’' | '«' | '»') => {
            "is a quote of printed text: write straight quotes, \" or '"
        }
        Some('.' | '/' | ':') => {
            "is in no number: versions, addresses and all other texts stand in quotes, as in \"22.04.1\""
        }
        Some('~') => "is not known: write like \"web*\" to compare with * and ?",
        Some('-') => "is not known: no value is below zero, and texts stand in quotes",
        _ => "is not known: write a comparison such as os.id == \"debian\"",
    }
}

/// Takes a text apart; the last token is the end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut input = LocatingSlice::new(text);
    let mut tokens = Vec::new();
    loop {
        space(&mut input)?;
        let start = input.current_token_start();
        if input.is_empty() {
            tokens.push(Token {
                kind: Kind::End,
                start,
                end: start,
            });
            return Ok(tokens);
        }
        let kind = kind(&mut input)?;
        let end = input.current_token_start();
        tokens.push(Token { kind, start, end });
    }
}

fn space(input: &mut Input<'_>) -> Result<(), Fault> {
    take_while(0.., char::is_whitespace).void().parse_next(input)
}

fn kind(input: &mut Input<'_>) -> Result<Kind, Fault> {
    dispatch! { peek(any);
        '"' | '\'' => text,
        '0'..='9' => number,
        'a'..='z' | 'A'..='Z' | '_' => word,
        _ => sign,
    }
    .parse_next(input)
}

fn sign(input: &mut Input<'_>) -> Result<Kind, Fault> {
    alt((
        "&&".value(Kind::And),
        "||".value(Kind::Or),
        "==".value(Kind::Operator(Operator::Equal)),
        "!=".value(Kind::Operator(Operator::NotEqual)),
        "<=".value(Kind::Operator(Operator::LessOrEqual)),
        ">=".value(Kind::Operator(Operator::GreaterOrEqual)),
        alt((
            "<".value(Kind::Operator(Operator::Less)),
            ">".value(Kind::Operator(Operator::Greater)),
            "!".value(Kind::Not),
            "(".value(Kind::Open),
            ")".value(Kind::Close),
            "[".value(Kind::OpenBracket),
            "]".value(Kind::CloseBracket),
            ",".value(Kind::Comma),
        )),
    ))
    .parse_next(input)
}

/// Names may have dots and dashes in them: `labels.app.kubernetes.io`, `labels.my-key`.
fn word(input: &mut Input<'_>) -> Result<Kind, Fault> {
    let word = take_while(1.., |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
    })
    .parse_next(input)?;
    Ok(match word {
        "and" => Kind::And,
        "or" => Kind::Or,
        "not" => Kind::Not,
        "in" => Kind::In,
        "like" => Kind::Like,
        "has" => Kind::Has,
        "true" => Kind::True,
        "false" => Kind::False,
        name => Kind::Name(name.to_owned()),
    })
}

fn number(input: &mut Input<'_>) -> Result<Kind, Fault> {
    let start = input.current_token_start();
    let digits = || take_while(1.., '0'..='9');
    let written: &str = (digits(), opt(('.', digits()))).take().parse_next(input)?;
    let unit: &str = take_while(0.., |c: char| c.is_alphabetic() || c == '_').parse_next(input)?;
    let fault = |reason| Fault::new(start, start + written.len() + unit.len(), reason);
    let value: f64 = written.parse().unwrap_or(f64::INFINITY);
    if value > 1e18 {
        return Err(fault("is too large a number: up to 1000000000000000000 is right"));
    }
    let unit = match unit {
        "" => None,
        name => Some(number::unit(name).ok_or_else(|| {
            fault(
                "has no unit that is known: sizes have B, K, M, G, T (or KiB, MB and so on), \
                 times have ms, s, m, h, d, w; texts stand in quotes",
            )
        })?),
    };
    Ok(Kind::Number(Number { value, unit }))
}

fn text(input: &mut Input<'_>) -> Result<Kind, Fault> {
    let start = input.current_token_start();
    let quote = any.parse_next(input)?;
    let mut text = String::new();
    loop {
        let plain: &str = take_while(0.., |c| c != quote && c != '\\').parse_next(input)?;
        text.push_str(plain);
        let place = input.current_token_start();
        match opt(any).parse_next(input)? {
            Some('\\') => text.push(escape(input, place)?),
            Some(_) => return Ok(Kind::Text(text)),
            None => {
                return Err(Fault::new(
                    start,
                    place,
                    format!("has no closing quote: write {quote} at its end"),
                ));
            }
        }
    }
}

fn escape(input: &mut Input<'_>, start: usize) -> Result<char, Fault> {
    let code: Option<char> = opt(any).parse_next(input)?;
    let escaped = match code {
        Some('n') => Some('\n'),
        Some('t') => Some('\t'),
        Some(same @ ('"' | '\'' | '\\')) => Some(same),
        Some('u') => {
            let digits = take_while(1..=6, |c: char| c.is_ascii_hexdigit());
            let code: Option<(char, &str, char)> = opt(('{', digits, '}')).parse_next(input)?;
            code.and_then(|(_, code, _)| char::from_u32(u32::from_str_radix(code, 16).ok()?))
        }
        _ => None,
    };
    let end = input.current_token_start();
    let reason = "is no escape: \\\" \\' \\\\ \\n \\t and \\u{20ac} are, and a backslash is written twice";
    escaped.ok_or_else(|| Fault::new(start, end, reason))
}
