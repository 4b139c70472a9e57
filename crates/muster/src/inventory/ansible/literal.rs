//! Values as Ansible's INI files hold them: literals of Python, and what is none stays text.

use serde_json::{Map, Value};

use crate::inventory::yaml::number;

/// How deep lists and dictionaries may stand in each other.
const DEPTH: usize = 64;

/// Returns the value of a literal; None where the text is none, so that it stands for itself.
pub(in crate::inventory) fn parse(text: &str) -> Option<Value> {
    let first = text.trim_start_matches([' ', '\t']).chars().next()?;
    // Most values are plain words: they are not tried.
    let may_be = first.is_ascii_digit() || "\"'[{(+-.".contains(first) || "NTFrRbBuU".contains(first);
    if !may_be {
        return None;
    }
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.skip();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    /// Passes over spaces and a comment.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                return;
            }
            self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
        }
    }

    fn eat(&mut self, prefix: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH {
            return None;
        }
        self.skip();
        match self.rest.chars().next()? {
            '[' => {
                self.eat("[");
                self.items("]", depth).map(|(items, _)| Value::Array(items))
            }
            '(' => {
                self.eat("(");
                let (mut items, commas) = self.items(")", depth)?;
                // Parentheses around one value are no list.
                if items.len() == 1 && !commas {
                    items.pop()
                } else {
                    Some(Value::Array(items))
                }
            }
            '{' => {
                self.eat("{");
                self.map(depth)
            }
            c if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => self.number(),
            _ => self.word(),
        }
    }

    /// Reads values up to `close`, and tells whether a comma was there.
    fn items(&mut self, close: &str, depth: usize) -> Option<(Vec<Value>, bool)> {
        let mut items = Vec::new();
        let mut commas = false;
        loop {
            if self.eat(close) {
                return Some((items, commas));
            }
            if !items.is_empty() && !commas_then(self, &mut commas) {
                return None;
            }
            if self.eat(close) {
                return Some((items, commas));
            }
            items.push(self.value(depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Option<Value> {
        let mut map = Map::new();
        if self.eat("}") {
            return Some(Value::Object(map));
        }
        let mut first = true;
        loop {
            let key = self.value(depth + 1)?;
            if first && !self.rest.trim_start().starts_with(':') {
                return self.set(key, depth);
            }
            first = false;
            if !self.eat(":") {
                return None;
            }
            let value = self.value(depth + 1)?;
            let key = match key {
                Value::String(text) => text,
                Value::Array(_) | Value::Object(_) => return None,
                other => other.to_string(),
            };
            map.insert(key, value);
            let comma = self.eat(",");
            if self.eat("}") {
                return Some(Value::Object(map));
            }
            if !comma {
                return None;
            }
        }
    }

    /// A set, of which the first is read.
    fn set(&mut self, first: Value, depth: usize) -> Option<Value> {
        let mut items = vec![first];
        if self.eat(",") {
            items.extend(self.items("}", depth)?.0);
        } else if !self.eat("}") {
            return None;
        }
        let mut unique: Vec<Value> = Vec::new();
        for item in items {
            if unique.len() > 1000 {
                return None;
            }
            if !unique.contains(&item) {
                unique.push(item);
            }
        }
        Some(Value::Array(unique))
    }

    fn number(&mut self) -> Option<Value> {
        let signs = self.rest.len() - self.rest.trim_start_matches(['+', '-']).len();
        let negative = self.rest[..signs].matches('-').count() % 2 == 1;
        let body = self.rest[signs..].trim_start();
        let is_part = |at: usize, c: char| {
            c.is_ascii_alphanumeric()
                || matches!(c, '.' | '_')
                || (matches!(c, '+' | '-')
                    && body[..at].ends_with(['e', 'E'])
                    && !body.starts_with("0x")
                    && !body.starts_with("0X"))
        };
        let end = body
            .char_indices()
            .find(|(at, c)| !is_part(*at, *c))
            .map_or(body.len(), |(at, _)| at);
        let (digits, rest) = body.split_at(end);
        self.rest = rest;
        let lower = digits.to_ascii_lowercase();
        let underscores = lower.contains("__") || lower.ends_with('_') || lower.starts_with('_');
        if underscores {
            return None;
        }
        let plain = lower.replace('_', "");
        let radix = match plain.get(..2) {
            Some("0x") => 16,
            Some("0o") => 8,
            Some("0b") => 2,
            _ => 10,
        };
        let sign = if negative { -1 } else { 1 };
        if radix != 10 {
            return i128::from_str_radix(&plain[2..], radix)
                .ok()
                .map(|value| number(sign * value));
        }
        if plain.chars().all(|c| c.is_ascii_digit()) {
            let leading = plain.len() > 1 && plain.starts_with('0') && plain.contains(|c| c != '0');
            let value = (!leading).then(|| plain.parse::<i128>())?;
            return value.map_or_else(
                |_| Some(Value::String(plain.clone())),
                |value| Some(number(sign * value)),
            );
        }
        let is_float = plain.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && plain.contains(|c: char| c.is_ascii_digit())
            && plain
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | '+' | '-'));
        let value: f64 = plain.parse().ok().filter(|_| is_float)?;
        serde_json::Number::from_f64(if negative { -value } else { value }).map(Value::Number)
    }

    fn word(&mut self) -> Option<Value> {
        for (word, value) in [
            ("None", Value::Null),
            ("True", Value::Bool(true)),
            ("False", Value::Bool(false)),
        ] {
            if let Some(rest) = self.rest.strip_prefix(word)
                && !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
            {
                self.rest = rest;
                return Some(value);
            }
        }
        let mut text = self.string()?;
        loop {
            // Texts beside each other are one.
            self.skip();
            let before = self.rest;
            match self.string() {
                Some(more) => text.push_str(&more),
                None if self.rest == before => return Some(Value::String(text)),
                None => return None,
            }
        }
    }

    /// Reads one quoted text; where there is none, nothing is read.
    fn string(&mut self) -> Option<String> {
        let prefix = self.rest.len() - self.rest.trim_start_matches(['r', 'R', 'b', 'B', 'u', 'U']).len();
        let quoted = self.rest.get(prefix..).filter(|_| prefix <= 2)?;
        let quote = quoted.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let raw = self.rest[..prefix].contains(['r', 'R']);
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let (open, body) = match quoted.strip_prefix(&triple) {
            Some(body) => (3, body),
            None => (1, &quoted[1..]),
        };
        let close = &triple[..open];
        let mut text = String::new();
        let mut rest = body;
        self.rest = "\u{0}";
        loop {
            if let Some(after) = rest.strip_prefix(close) {
                self.rest = after;
                return Some(text);
            }
            let character = rest.chars().next()?;
            rest = &rest[character.len_utf8()..];
            match character {
                '\n' if open == 1 => return None,
                '\\' if raw => {
                    text.push('\\');
                    let next = rest.chars().next()?;
                    text.push(next);
                    rest = &rest[next.len_utf8()..];
                }
                '\\' => rest = escape(rest, &mut text)?,
                other => text.push(other),
            }
        }
    }
}

fn commas_then(reader: &mut Reader<'_>, commas: &mut bool) -> bool {
    let found = reader.eat(",");
    *commas |= found;
    found
}

/// Reads what follows a backslash and returns what is after it.
fn escape<'t>(rest: &'t str, text: &mut String) -> Option<&'t str> {
    let next = rest.chars().next()?;
    let after = &rest[next.len_utf8()..];
    let coded = |digits: usize| {
        let code = u32::from_str_radix(after.get(..digits)?, 16).ok()?;
        Some((char::from_u32(code)?, &after[digits..]))
    };
    let (character, after) = match next {
        'n' => ('\n', after),
        't' => ('\t', after),
        'r' => ('\r', after),
        'a' => ('\u{7}', after),
        'b' => ('\u{8}', after),
        'f' => ('\u{c}', after),
        'v' => ('\u{b}', after),
        '\\' | '\'' | '"' => (next, after),
        '\n' => return Some(after),
        'x' => coded(2)?,
        'u' => coded(4)?,
        'U' => coded(8)?,
        '0'..='7' => {
            let end = rest.chars().take(3).take_while(|c| c.is_digit(8)).count();
            let code = u32::from_str_radix(&rest[..end], 8).ok()?;
            (char::from_u32(code)?, &rest[end..])
        }
        other => {
            text.push('\\');
            (other, after)
        }
    };
    text.push(character);
    Some(after)
}

/// Returns a text as a literal.
pub(in crate::inventory) fn write(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 2);
    written.push('"');
    for character in text.chars() {
        match character {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            other if other.is_control() => written.push_str(&format!("\\u{:04x}", u32::from(other))),
            other => written.push(other),
        }
    }
    written.push('"');
    written
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn literals_have_their_values_and_everything_else_is_text() {
        for (text, value) in [
            ("80", Some(json!(80))),
            ("-1", Some(json!(-1))),
            ("0x10", Some(json!(16))),
            ("0o17", Some(json!(15))),
            ("0644", None),
            ("1_000", Some(json!(1000))),
            ("1.5", Some(json!(1.5))),
            (".5", Some(json!(0.5))),
            ("1e3", Some(json!(1000.0))),
            ("1.2.3", None),
            ("10.0.0.1", None),
            ("1 # one", Some(json!(1))),
            ("True", Some(json!(true))),
            ("true", None),
            ("None", Some(json!(null))),
            ("Nonesuch", None),
            ("'a b'", Some(json!("a b"))),
            (r#""a\n\x41""#, Some(json!("a\nA"))),
            (r"r'a\n'", Some(json!("a\\n"))),
            ("'a' 'b'", Some(json!("ab"))),
            ("'a", None),
            ("'a' b", None),
            ("[1, 'a', [2,],]", Some(json!([1, "a", [2]]))),
            ("[1 2]", None),
            ("[a]", None),
            ("(1)", Some(json!(1))),
            ("(1,)", Some(json!([1]))),
            ("()", Some(json!([]))),
            ("{'a': 1, 2: [3]}", Some(json!({"a": 1, "2": [3]}))),
            ("{}", Some(json!({}))),
            ("{1, 1, 2}", Some(json!([1, 2]))),
            ("{{ x }}", None),
            ("", None),
            ("web", None),
            ("foo bar", None),
            ("+ 5", Some(json!(5))),
        ] {
            assert_eq!(parse(text), value, "{text}");
        }
        for text in ["", "it's \"x\"\n", "\u{1}é", "\\n"] {
            assert_eq!(parse(&write(text)), Some(json!(text)));
        }
    }
}
