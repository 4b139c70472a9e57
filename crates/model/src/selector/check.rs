//! Whether a field can be what it is compared with, and what is said where it cannot.

use super::error::{Fault, clipped};
use super::expression::{Expression, Test};
use super::field::{self, Field, Holds};
use super::glob::GLOB_BYTES;
use super::number::{Measure, Number};
use super::token::{Operator, Token};

/// A field and where it stands.
pub(super) struct Named {
    pub(super) field: Field,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A value and where it stands.
pub(super) struct Literal {
    pub(super) value: Value,
    pub(super) start: usize,
    pub(super) end: usize,
}

pub(super) enum Value {
    Text(String),
    Number(Number),
}

impl Literal {
    pub(super) fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault::new(self.start, self.end, reason)
    }
}

pub(super) fn tested(field: Field, negated: bool, test: Test) -> Expression {
    Expression::Test { field, negated, test }
}

pub(super) fn comparison(
    field: Field,
    operator: Operator,
    place: &Token,
    literal: Literal,
) -> Result<Expression, Fault> {
    if matches!(field.entry.holds, Holds::Names | Holds::Addresses) {
        let reason = format!(
            "does not compare a list such as {field}: write {}",
            example(&field)
        );
        return Err(Fault::new(place.start, place.end, reason));
    }
    check(&field, &literal)?;
    let test = match literal.value {
        Value::Text(text) => Test::Text(operator, text),
        Value::Number(number) => Test::Number(operator, number),
    };
    Ok(tested(field, false, test))
}

pub(super) fn like(field: &Field, place: &Token, literal: Literal) -> Result<Test, Fault> {
    if !matches!(field.entry.holds, Holds::Text | Holds::Label | Holds::Names) {
        let reason = format!("compares texts, and {field} is none: write {}", example(field));
        return Err(Fault::new(place.start, place.end, reason));
    }
    match &literal.value {
        Value::Number(_) => {
            Err(literal.fault(format!("is a number: write a text, as in {field} like \"web*\"")))
        }
        Value::Text(text) if text.len() > GLOB_BYTES => Err(literal.fault(format!(
            "is too long: {GLOB_BYTES} bytes are the limit after like"
        ))),
        Value::Text(text) => Ok(Test::Like(text.clone())),
    }
}

/// Tells what is wrong where a field can never have such a value.
pub(super) fn check(field: &Field, literal: &Literal) -> Result<(), Fault> {
    let example = example(field);
    match (field.entry.holds, &literal.value) {
        (Holds::Text, Value::Number(_)) => Err(literal.fault(format!(
            "is a number, and {field} is a text: write it in quotes, as in {example}"
        ))),
        (Holds::Number { .. }, Value::Text(_)) => Err(literal.fault(format!(
            "is a text, and {field} is a number: write it without quotes, as in {example}"
        ))),
        (Holds::Number { measure, .. }, Value::Number(number)) => match (measure, number.unit) {
            (_, None) => Ok(()),
            (measure, Some(unit)) if measure == unit.measure => Ok(()),
            (Measure::Count, _) => {
                Err(literal.fault(format!("has a unit, and {field} has none: write {example}")))
            }
            (Measure::Size, _) => {
                Err(literal.fault(format!("is a time, and {field} is a size: write {example}")))
            }
            (Measure::Time, _) => {
                Err(literal.fault(format!("is a size, and {field} is a time: write {example}")))
            }
        },
        (Holds::Label, Value::Number(Number { unit: Some(_), .. })) => Err(literal.fault(format!(
            "has a unit, and labels have none: write a plain number, or a text as in {example}"
        ))),
        _ => Ok(()),
    }
}

/// `8 <= x` is `x >= 8`.
pub(super) fn turned(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        same => same,
    }
}

/// Returns how a field is used rightly.
pub(super) fn example(field: &Field) -> String {
    match field.entry.holds {
        Holds::Text if field.entry.name.ends_with("version") => format!("{field} >= \"12\""),
        Holds::Text if field.entry.name == "os.id" => format!("{field} == \"debian\""),
        Holds::Text | Holds::Label => format!("{field} == \"text\""),
        Holds::Names => format!("\"name\" in {field}"),
        Holds::Addresses => format!("\"10.0.0.0/8\" in {field}"),
        Holds::Number { measure, .. } => match measure {
            Measure::Count => format!("{field} >= 8"),
            Measure::Size => format!("{field} >= 8 or {field} >= 512M"),
            Measure::Time => format!("{field} > 30 or {field} > 12h"),
        },
    }
}

pub(super) fn no_field(name: &str) -> String {
    let keyword = ["and", "or", "not", "in", "like", "has", "true", "false"]
        .into_iter()
        .find(|word| word.eq_ignore_ascii_case(name));
    match (keyword, field::nearest(name)) {
        (Some(word), _) => format!("is no field: operators are written in lower case, {word}"),
        (None, Some(near)) => format!("is no field: did you mean {near}?"),
        (None, None) => format!(
            "is no field: fields are name, groups, labels.KEY, os.id, mem_gb and so on, and texts stand in quotes, \"{}\"",
            clipped(name, 20)
        ),
    }
}
