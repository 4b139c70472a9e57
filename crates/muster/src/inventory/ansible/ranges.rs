//! Names of hosts as Ansible writes them: `web[01:20:2].example.com:2222`, `[2001:db8::1]:22`. Counted before they
//! are made.

use std::net::Ipv6Addr;

use muster_model::limits::HOSTS_PER_TASK;

use crate::inventory::fault::shown;

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Returns the names that a pattern stands for, and the port behind it.
///
/// # Errors
///
/// What is wrong, and what would be right.
pub(in crate::inventory) fn expand(pattern: &str) -> Result<(Vec<String>, Option<u16>), String> {
    let (host, port) = split_port(pattern)?;
    let pieces = pieces(host)?;
    let count = pieces.iter().fold(1_u64, |count, piece| match piece {
        Piece::Text(_) => count,
        Piece::Range(range) => count.saturating_mul(range.count()),
    });
    if count > HOSTS_PER_TASK {
        return Err(format!(
            "'{}' stands for {count} hosts: at most {HOSTS_PER_TASK}",
            shown(pattern)
        ));
    }
    let mut names = vec![String::new()];
    for piece in &pieces {
        match piece {
            Piece::Text(text) => names.iter_mut().for_each(|name| name.push_str(text)),
            Piece::Range(range) => {
                let members: Vec<String> = (0..range.count()).map(|index| range.member(index)).collect();
                names = names
                    .iter()
                    .flat_map(|name| members.iter().map(move |member| format!("{name}{member}")))
                    .collect();
            }
        }
    }
    if let Some(odd) = names.first().filter(|name| name.contains(':')) {
        let address = odd.split('%').next().unwrap_or_default();
        if address.parse::<Ipv6Addr>().is_err() {
            return Err(format!(
                "'{}' is neither host:port nor an IPv6 address: a port is a number from 1 to 65535, and with a \
                 port an IPv6 address stands in brackets, [2001:db8::1]:22",
                shown(pattern)
            ));
        }
    }
    Ok((names, port))
}

/// Takes the port off the end.
fn split_port(pattern: &str) -> Result<(&str, Option<u16>), String> {
    let port_of = |digits: &str| match digits.parse::<u16>() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(format!(
            "'{}' is no port: a port is a number from 1 to 65535",
            shown(digits)
        )),
    };
    let Some((before, digits)) = pattern.rsplit_once(':') else {
        return Ok((pattern, None));
    };
    if digits.is_empty() && !before.ends_with(':') {
        return Err(format!(
            "'{}' ends with a colon: write the port after it",
            shown(pattern)
        ));
    }
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok((pattern, None));
    }
    if let Some(inside) = before.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && !inside.contains(['[', ']'])
    {
        return Ok((inside, port_of(digits)?));
    }
    let mut depth = 0_i32;
    for character in before.chars() {
        match character {
            '[' => depth += 1,
            ']' => depth -= 1,
            // More than one colon outside of brackets: an IPv6 address without a port.
            ':' if depth == 0 => return Ok((pattern, None)),
            _ => {}
        }
    }
    if depth != 0 {
        return Ok((pattern, None));
    }
    Ok((before, port_of(digits)?))
}

enum Piece<'t> {
    Text(&'t str),
    Range(Range),
}

enum Range {
    Numbers {
        first: u64,
        last: u64,
        step: u64,
        width: usize,
    },
    Letters {
        first: usize,
        last: usize,
        step: usize,
    },
}

impl Range {
    fn count(&self) -> u64 {
        match self {
            Self::Numbers {
                first, last, step, ..
            } => ((last - first) / step).saturating_add(1),
            Self::Letters { first, last, step } => ((last - first) / step) as u64 + 1,
        }
    }

    fn member(&self, index: u64) -> String {
        match self {
            Self::Numbers {
                first, step, width, ..
            } => format!("{:0width$}", first + index * step),
            Self::Letters { first, step, .. } => {
                let at = first + usize::try_from(index).unwrap_or_default() * step;
                LETTERS.get(at..=at).unwrap_or_default().to_owned()
            }
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "[{}] is no range: {why}, as in [01:20] or [a:f] or [0:10:2]",
                shown(text)
            )
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (first, last, step) = match parts.as_slice() {
            [first, last] => (*first, *last, "1"),
            [first, last, step] => (*first, *last, *step),
            _ => return Err(wrong("write the first and the last with a colon between")),
        };
        let first = if first.is_empty() { "0" } else { first };
        let step: u64 = step
            .parse()
            .ok()
            .filter(|step| *step > 0)
            .ok_or_else(|| wrong("the step is a number above 0"))?;
        let letter = |text: &str| LETTERS.find(text).filter(|_| text.len() == 1);
        if let (Some(first), Some(last)) = (letter(first), letter(last)) {
            if first > last {
                return Err(wrong("the first comes before the last"));
            }
            let step = usize::try_from(step).unwrap_or(usize::MAX);
            return Ok(Self::Letters { first, last, step });
        }
        let number = |text: &str| {
            let digits = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| digits)
        };
        let (Some(from), Some(to)) = (number(first), number(last)) else {
            return Err(wrong("write two numbers or two letters"));
        };
        let padded = first.len() > 1 && first.starts_with('0');
        if padded && first.len() != last.len() {
            return Err(wrong(
                "both numbers have the same length where the first begins with 0",
            ));
        }
        if from > to {
            return Err(wrong("the first comes before the last"));
        }
        Ok(Self::Numbers {
            first: from,
            last: to,
            step,
            width: if padded { first.len() } else { 1 },
        })
    }
}

fn pieces(host: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = host;
    while let Some((text, after)) = rest.split_once('[') {
        let (range, after) = after
            .split_once(']')
            .ok_or_else(|| format!("'{}': a [ is not closed: write ] after the range", shown(host)))?;
        pieces.push(Piece::Text(text));
        pieces.push(Piece::Range(Range::parse(range)?));
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_names_and_a_port() {
        let names = |pattern: &str| {
            let (names, port) = expand(pattern).expect(pattern);
            (names.join(" "), port)
        };
        for (pattern, expected, port) in [
            ("web", "web", None),
            ("web:22", "web", Some(22)),
            (
                "www[01:03].example.com",
                "www01.example.com www02.example.com www03.example.com",
                None,
            ),
            ("db-[a:c]", "db-a db-b db-c", None),
            ("n[1:10:4]", "n1 n5 n9", None),
            ("n[:2]", "n0 n1 n2", None),
            ("r[1:2]n[a:b]:2222", "r1na r1nb r2na r2nb", Some(2222)),
            ("n[8:10]", "n8 n9 n10", None),
            ("[z:B]", "z A B", None),
            ("[2001:db8::1]:22", "2001:db8::1", Some(22)),
            ("2001:db8::1", "2001:db8::1", None),
            ("2001:db8::[1:2]", "2001:db8::1 2001:db8::2", None),
            ("fe80::1%eth0", "fe80::1%eth0", None),
            ("[web1]:22", "web1", Some(22)),
            ("::", "::", None),
        ] {
            assert_eq!(names(pattern), (expected.to_owned(), port), "{pattern}");
        }
        for (pattern, part) in [
            ("web:", "ends with a colon"),
            ("web:0", "is no port"),
            ("web:99999", "is no port"),
            ("web:x", "neither host:port"),
            ("w[1:2", "not closed"),
            ("w[1-2]", "is no range"),
            ("w[3:1]", "comes before"),
            ("w[01:100]", "same length"),
            ("w[1:9:0]", "step"),
            ("[::1]", "is no range"),
            ("w[1:999999999]", "stands for 999999999 hosts"),
            ("w[1:9999][1:9999][1:9999]", "stands for"),
        ] {
            let error = expand(pattern).expect_err(pattern);
            assert!(error.contains(part), "{pattern}: {error}");
        }
    }
}
