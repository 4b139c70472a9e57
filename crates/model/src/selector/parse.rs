//! From words to an expression: what binds how tightly.

use super::check::{Literal, Named, Value, check, comparison, example, like, no_field, tested, turned};
use super::error::Fault;
use super::expression::{Expression, Network, Test};
use super::field::{self, Field, Holds};
use super::token::{Kind, Token, tokens};
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
