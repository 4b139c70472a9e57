//! From a line to its words, as a shell splits them. Pure.

use muster_model::Problem;
use muster_model::problem::Code;

/// Splits a line into words: quotes and backslashes as in a shell, and nothing else of a shell.
///
/// # Errors
///
/// `invalid-request` where a quote is not closed.
pub(super) fn words(line: &str) -> Result<Vec<String>, Problem> {
    shlex::split(line).ok_or_else(|| {
        Problem::new(Code::InvalidRequest, "the line ends within a quote").hint("close the quote")
    })
}

/// Tells whether a line is whole: no quote is open, and no backslash stands at its end.
pub(super) fn is_complete(line: &str) -> bool {
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None | Some('"'), '\\') => {
                if characters.next().is_none() {
                    return false;
                }
            }
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
    }
    quote.is_none()
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
