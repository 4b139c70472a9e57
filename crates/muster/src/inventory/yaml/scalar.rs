//! What a plain scalar means in YAML 1.1, which Ansible and ClusterShell read: `yes` is true, `0644` is octal and
//! `1:30` is ninety.

use serde_json::Value;

/// Returns the value of a plain scalar. Dates stay texts.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    let starts = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    let number = if starts {
        int(text).or_else(|| float(text))
    } else {
        None
    };
    number.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn sign(text: &str) -> (i128, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    }
}

fn int(text: &str) -> Option<Value> {
    let (sign, digits) = sign(text);
    let is = |text: &str, radix: u32| {
        !text.is_empty() && text.chars().all(|c| c == '_' || c.is_digit(radix)) && text.contains(|c| c != '_')
    };
    let (radix, digits) = if let Some(binary) = digits.strip_prefix("0b") {
        (2, binary)
    } else if let Some(hexadecimal) = digits.strip_prefix("0x") {
        (16, hexadecimal)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else if digits.contains(':') {
        return sixties(sign, digits);
    } else {
        (10, digits)
    };
    if !is(digits, radix) || (radix == 10 && digits.starts_with('_')) {
        return None;
    }
    let plain = digits.replace('_', "");
    match i128::from_str_radix(&plain, radix) {
        Ok(value) => Some(number(sign * value)),
        Err(_) => Some(Value::String(text.to_owned())),
    }
}

/// Reads `1:30:00`, numbers of the base sixty.
fn sixties(sign: i128, digits: &str) -> Option<Value> {
    let mut parts = digits.split(':');
    let first = parts.next()?;
    let good = first.starts_with(|c: char| matches!(c, '1'..='9'))
        && first.chars().all(|c| c == '_' || c.is_ascii_digit());
    let mut value: i128 = first.replace('_', "").parse().ok().filter(|_| good)?;
    for part in parts {
        let digits = part.chars().all(|c| c.is_ascii_digit());
        let small = (1..=2).contains(&part.len()) && digits;
        let part: i128 = part.parse().ok().filter(|part| small && *part < 60)?;
        value = value.checked_mul(60)?.checked_add(part)?;
    }
    Some(number(sign * value))
}

/// Returns a number as JSON; one that does not fit stays its digits.
pub(in crate::inventory) fn number(value: i128) -> Value {
    if let Ok(value) = i64::try_from(value) {
        Value::from(value)
    } else if let Ok(value) = u64::try_from(value) {
        Value::from(value)
    } else {
        Value::String(value.to_string())
    }
}

fn float(text: &str) -> Option<Value> {
    let (_, digits) = sign(text);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, part) = mantissa.split_once('.')?;
    let is_digits = |text: &str| text.chars().all(|c| c == '_' || c.is_ascii_digit());
    let good = is_digits(whole)
        && is_digits(part)
        && !whole.starts_with('_')
        && (whole.starts_with(|c: char| c.is_ascii_digit())
            || (whole.is_empty() && part.starts_with(|c: char| c.is_ascii_digit())))
        && exponent.is_none_or(|exponent| {
            exponent
                .strip_prefix(['-', '+'])
                .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
        });
    let value: f64 = text.replace('_', "").parse().ok().filter(|_| good)?;
    serde_json::Number::from_f64(value).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_mean_what_they_mean_in_version_1_1() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!("y")),
            ("12", json!(12)),
            ("-1_000", json!(-1000)),
            ("0644", json!(420)),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("08", json!("08")),
            ("1:30", json!(90)),
            ("52:54:00:12:34:56", json!(41_135_085_296_i64)),
            ("52:54:00:ab:34:56", json!("52:54:00:ab:34:56")),
            ("1.5", json!(1.5)),
            ("1e3", json!("1e3")),
            ("1.0e+3", json!(1000.0)),
            ("1.2.3", json!("1.2.3")),
            ("10.0.0.1", json!("10.0.0.1")),
            ("2001-01-01", json!("2001-01-01")),
            ("-", json!("-")),
            (
                "123456789012345678901234567890",
                json!("123456789012345678901234567890"),
            ),
        ] {
            assert_eq!(resolve(text), value, "{text}");
        }
    }
}
