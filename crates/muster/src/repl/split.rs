//! From a line to its words, as a shell splits them. Pure.

use muster_model::Problem;
use muster_model::problem::Code;

/// Splits a line into words: quotes and backslashes as in a shell, and nothing else of a shell.
///
/// # Errors
///
/// `invalid-request` where a quote is not closed.
pub(super) fn words(line: &str) -> Result<Vec<String>, Problem> {
    shlex::split(&joined(line)).ok_or_else(|| {
        Problem::new(Code::InvalidRequest, "the line ends within a quote").hint("close the quote")
    })
}

/// Returns the line without the backslashes at ends of lines, and those ends.
fn joined(line: &str) -> String {
    let mut joined = String::with_capacity(line.len());
    let mut in_single_quotes = false;
    let mut in_double_quotes = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if !in_single_quotes => match characters.next() {
                Some('\n') => continue,
                next => {
                    joined.push(character);
                    joined.extend(next);
                    continue;
                }
            },
            '\'' if !in_double_quotes => in_single_quotes = !in_single_quotes,
            '"' if !in_single_quotes => in_double_quotes = !in_double_quotes,
            _ => {}
        }
        joined.push(character);
    }
    joined
}

/// Tells whether a line is whole: no quote is open, and no backslash stands at its end.
pub(super) fn is_complete(line: &str) -> bool {
    let mut quote = None;
    let mut escaped = false;
    for character in line.chars() {
        match (quote, character) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
    }
    quote.is_none() && !escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (line, expected) in [
            (
                "run \"df -h\" --hosts 192.168.3.55 10.4.3.4",
                &["run", "df -h", "--hosts", "192.168.3.55", "10.4.3.4"][..],
            ),
            (
                "run 'echo \"$HOME\"' \\\n  --hosts a",
                &["run", "echo \"$HOME\"", "--hosts", "a"],
            ),
            ("run 'one\ntwo'", &["run", "one\ntwo"]),
            ("run 'a\\\nb' \"c\\\nd\" e\\\nf", &["run", "a\\\nb", "cd", "ef"]),
            ("  ", &[]),
        ] {
            assert_eq!(words(line).expect(line), expected);
        }
        assert!(words("run 'open").is_err());
    }

    #[test]
    fn a_line_goes_on_while_a_quote_is_open_or_a_backslash_ends_it() {
        for line in ["run \"df", "run 'it", "run x \\", "run \"a\\\"", "'a\"b"] {
            assert!(!is_complete(line), "{line}");
        }
        for line in [
            "",
            "run \"df -h\"",
            "run 'a\\' --hosts b",
            "run \"a\\\"b\"",
            "x \\\ny",
            "a \\\\",
        ] {
            assert!(is_complete(line), "{line}");
        }
    }
}
