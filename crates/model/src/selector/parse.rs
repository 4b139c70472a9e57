//! From words to an expression: what binds how tightly, and whether a field can be what it is compared with.

use super::error::{Fault, clipped};
use super::expression::{Expression, Network, Test};
use super::field::{self, Field, Holds};
use super::glob::GLOB_BYTES;
use super::number::{Measure, Number};
use super::token::{Kind, Operator, Token, tokens};
use super::{DEPTH, SELECTOR_BYTES};

/// Reads a selector.
pub(super) fn parse(text: &str) -> Result<Expression, Fault> {
    if text.len() > SELECTOR_BYTES {
        let reason = format!("is past {SELECTOR_BYTES} bytes, the limit of a selector");
        let start = text.floor_char_boundary(SELECTOR_BYTES);
        return Err(Fault::new(start, text.len(), reason));
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
        text,
    };
    let expression = parser.any()?;
    match parser.kind() {
        Kind::End => Ok(expression),
        Kind::Close => Err(parser.fault("closes a parenthesis that was not opened: take it away")),
        _ => Err(parser.fault("does not belong here: write && or || between two comparisons")),
    }
}

struct Parser<'t> {
    text: &'t str,
    /// The last one is the end.
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

/// A field and where it stands.
struct Named {
    field: Field,
    start: usize,
    end: usize,
}

/// A value and where it stands.
struct Literal {
    value: Value,
    start: usize,
    end: usize,
}

enum Value {
    Text(String),
    Number(Number),
}

impl Literal {
    fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault::new(self.start, self.end, reason)
    }
}

impl Parser<'_> {
    fn token(&self) -> Token {
        let end = || Token {
            kind: Kind::End,
            start: self.text.len(),
            end: self.text.len(),
        };
        self.tokens.get(self.at).cloned().unwrap_or_else(end)
    }

    fn kind(&self) -> &Kind {
        self.tokens.get(self.at).map_or(&Kind::End, |token| &token.kind)
    }

    fn take(&mut self, kind: &Kind) -> bool {
        let is_it = self.kind() == kind;
        self.at += usize::from(is_it);
        is_it
    }

    fn fault(&self, reason: impl Into<String>) -> Fault {
        let token = self.token();
        Fault::new(token.start, token.end, reason)
    }

    /// Something else stands where `what` should.
    fn missing(&self, what: &str, example: &str) -> Fault {
        match self.kind() {
            Kind::End => self.fault(format!("{what} is missing: write it as in {example}")),
            _ => self.fault(format!("is not {what}: write it as in {example}")),
        }
    }

    /// Parts between `||`.
    fn any(&mut self) -> Result<Expression, Fault> {
        let mut parts = Vec::new();
        loop {
            match self.all()? {
                Expression::Or(inner) => parts.extend(inner),
                part => parts.push(part),
            }
            if !self.take(&Kind::Or) {
                return Ok(one_or(parts, Expression::Or));
            }
        }
    }

    /// Parts between `&&`.
    fn all(&mut self) -> Result<Expression, Fault> {
        let mut parts = Vec::new();
        loop {
            match self.part()? {
                Expression::And(inner) => parts.extend(inner),
                part => parts.push(part),
            }
            if !self.take(&Kind::And) {
                return Ok(one_or(parts, Expression::And));
            }
        }
    }

    /// A comparison or parentheses, perhaps with `not` before it. `!(` is one step down, as `!` alone is.
    fn part(&mut self) -> Result<Expression, Fault> {
        let first = self.token();
        let mut nots = 0;
        while self.take(&Kind::Not) {
            nots += 1;
        }
        let opens = self.take(&Kind::Open);
        let steps = if opens { nots.max(1) } else { nots };
        self.depth += steps;
        if self.depth > DEPTH {
            let reason = format!("goes deeper than {DEPTH} parentheses and nots: write it with fewer");
            return Err(Fault::new(first.start, first.end, reason));
        }
        let mut expression = if opens {
            let inner = self.any()?;
            if !self.take(&Kind::Close) {
                return Err(match self.kind() {
                    Kind::End => Fault::new(
                        first.start,
                        first.end,
                        "has no closing parenthesis: write ) at its end",
                    ),
                    _ => self.fault("does not belong here: write && or || between two comparisons, or )"),
                });
            }
            inner
        } else {
            self.test()?
        };
        self.depth -= steps;
        for _ in 0..nots {
            expression = Expression::Not(Box::new(expression));
        }
        Ok(expression)
    }

    fn test(&mut self) -> Result<Expression, Fault> {
        match self.kind() {
            Kind::True | Kind::False => {
                let truth = *self.kind() == Kind::True;
                self.at += 1;
                Ok(Expression::Constant(truth))
            }
            Kind::Has => {
                self.at += 1;
                if !self.take(&Kind::Open) {
                    return Err(self.missing("a parenthesis", "has(os.id)"));
                }
                let named = self.field("has(os.id)")?;
                if !self.take(&Kind::Close) {
                    return Err(self.missing("a closing parenthesis", "has(os.id)"));
                }
                Ok(Expression::Has(named.field))
            }
            Kind::Name(_) => self.field_first(),
            Kind::Text(_) | Kind::Number(_) => self.value_first(),
            Kind::Operator(_) | Kind::In | Kind::Like | Kind::And | Kind::Or => {
                Err(self.fault("has nothing before it: write a comparison such as os.id == \"debian\""))
            }
            Kind::OpenBracket => {
                Err(self.fault("begins a list: a list stands after in, as in os.id in [\"debian\"]"))
            }
            _ => Err(self.missing("a comparison", "os.id == \"debian\"")),
        }
    }

    /// `field == value`, `field in [values]`, `field like "pattern"`.
    fn field_first(&mut self) -> Result<Expression, Fault> {
        let named = self.field("os.id == \"debian\"")?;
        if let Kind::Operator(operator) = *self.kind() {
            let place = self.token();
            self.at += 1;
            let value = self.value(&named.field)?;
            return comparison(named.field, operator, &place, value);
        }
        let negated = self.take(&Kind::Not);
        match self.kind() {
            Kind::In => {
                self.at += 1;
                let test = self.one_of(&named)?;
                Ok(tested(named.field, negated, test))
            }
            Kind::Like => {
                let place = self.token();
                self.at += 1;
                let value = self.value(&named.field)?;
                Ok(tested(
                    named.field.clone(),
                    negated,
                    like(&named.field, &place, value)?,
                ))
            }
            _ if negated => Err(self.missing("in or like", "os.id not in [\"debian\"]")),
            _ => Err(self.missing("a comparison", &example(&named.field))),
        }
    }

    /// `"value" in field`, `8 <= field`.
    fn value_first(&mut self) -> Result<Expression, Fault> {
        let value = self.literal("\"web\" in groups")?;
        if let Kind::Operator(operator) = *self.kind() {
            let place = self.token();
            self.at += 1;
            let named = self.field("os.id == \"debian\"")?;
            return comparison(named.field, turned(operator), &place, value);
        }
        let negated = self.take(&Kind::Not);
        if !self.take(&Kind::In) {
            return Err(self.missing("a comparison", "\"web\" in groups"));
        }
        let named = self.field("\"web\" in groups")?;
        let Value::Text(text) = &value.value else {
            return Err(value.fault("is a number: lists hold texts, as in \"web\" in groups"));
        };
        let test = match named.field.entry.holds {
            Holds::Names => Test::Contains(text.clone()),
            Holds::Addresses => Test::Network(Network::parse(text).ok_or_else(|| {
                value.fault("is no address: write \"10.0.0.1\", or a network such as \"10.0.0.0/8\"")
            })?),
            _ => {
                let reason = format!("is not a list: write it as in {}", example(&named.field));
                return Err(Fault::new(named.start, named.end, reason));
            }
        };
        Ok(tested(named.field, negated, test))
    }

    fn field(&mut self, example: &str) -> Result<Named, Fault> {
        let token = self.token();
        let Kind::Name(name) = &token.kind else {
            return Err(self.missing("a field", example));
        };
        let Some((entry, key)) = field::find(name) else {
            return Err(self.fault(no_field(name)));
        };
        self.at += 1;
        let key = match (Field::wants_key(entry), key) {
            (None, _) => String::new(),
            (Some(_), Some(key)) if !key.is_empty() => key.to_owned(),
            (Some(wanted), _) => self.key(&token, wanted)?,
        };
        let end = self
            .tokens
            .get(self.at.saturating_sub(1))
            .map_or(token.end, |last| last.end);
        Ok(Named {
            field: Field { entry, key },
            start: token.start,
            end,
        })
    }

    /// `["key"]`
    fn key(&mut self, of: &Token, wanted: &str) -> Result<String, Fault> {
        let fault = |start, end| Fault::new(start, end, format!("needs {wanted}"));
        if !self.take(&Kind::OpenBracket) {
            return Err(fault(of.start, of.end));
        }
        let token = self.token();
        let Kind::Text(key) = token.kind else {
            return Err(fault(of.start, token.end));
        };
        self.at += 1;
        if !self.take(&Kind::CloseBracket) {
            return Err(fault(of.start, token.end));
        }
        Ok(key)
    }

    fn literal(&mut self, example: &str) -> Result<Literal, Fault> {
        let token = self.token();
        let value = match token.kind {
            Kind::Text(text) => Value::Text(text),
            Kind::Number(number) => Value::Number(number),
            Kind::True | Kind::False => return Err(self.fault("is no value: no field is true or false")),
            Kind::Name(_)
                if self
                    .tokens
                    .get(self.at + 1)
                    .is_some_and(|next| next.kind != Kind::OpenBracket) =>
            {
                return Err(self.fault(format!("is no value: texts stand in quotes, as in {example}")));
            }
            _ => return Err(self.missing("a value", example)),
        };
        self.at += 1;
        Ok(Literal {
            value,
            start: token.start,
            end: token.end,
        })
    }

    fn value(&mut self, field: &Field) -> Result<Literal, Fault> {
        self.literal(&example(field))
    }

    /// `[values]` after `in`.
    fn one_of(&mut self, named: &Named) -> Result<Test, Fault> {
        let field = &named.field;
        if matches!(field.entry.holds, Holds::Names | Holds::Addresses) {
            let reason = format!("is a list itself: write {}", example(field));
            return Err(Fault::new(named.start, named.end, reason));
        }
        if !self.take(&Kind::OpenBracket) {
            return Err(self.missing("a list", "os.id in [\"debian\", \"ubuntu\"]"));
        }
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        loop {
            let literal = self.value(field)?;
            check(field, &literal)?;
            match &literal.value {
                Value::Text(text) if numbers.is_empty() => texts.push(text.clone()),
                Value::Number(number) if texts.is_empty() => numbers.push(*number),
                _ => return Err(literal.fault("is of another kind than what stands before it in the list")),
            }
            if self.take(&Kind::CloseBracket) {
                break;
            }
            if !self.take(&Kind::Comma) {
                return Err(self.missing("a comma or ]", "os.id in [\"debian\", \"ubuntu\"]"));
            }
        }
        if texts.is_empty() {
            return Ok(Test::OneOfNumbers(numbers));
        }
        texts.sort_unstable();
        texts.dedup();
        Ok(Test::OneOf(texts))
    }
}

fn one_or(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            many(parts)
        }
    }
}

fn tested(field: Field, negated: bool, test: Test) -> Expression {
    Expression::Test { field, negated, test }
}

fn comparison(
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

fn like(field: &Field, place: &Token, literal: Literal) -> Result<Test, Fault> {
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
fn check(field: &Field, literal: &Literal) -> Result<(), Fault> {
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
fn turned(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        same => same,
    }
}

/// Returns how a field is used rightly.
fn example(field: &Field) -> String {
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

fn no_field(name: &str) -> String {
    let keyword = ["and", "or", "not", "in", "like", "has", "true", "false"]
        .into_iter()
        .find(|word| word.eq_ignore_ascii_case(name));
    match (keyword, field::nearest(name)) {
        (Some(word), _) => format!("is no field: operators are written small, {word}"),
        (None, Some(near)) => format!("is no field: did you mean {near}?"),
        (None, None) => format!(
            "is no field: fields are name, groups, labels.KEY, os.id, mem_gb and so on, and texts stand in quotes, \"{}\"",
            clipped(name, 20)
        ),
    }
}
