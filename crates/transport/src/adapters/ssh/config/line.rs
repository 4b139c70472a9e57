//! One line of `ssh_config`: a keyword and its arguments, with OpenSSH's quoting.

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// A quotation mark has no partner.
    Quotes,
}

/// A keyword in lower case and its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The keyword, in lower case.
    pub(crate) keyword: String,
    /// What follows it.
    pub(crate) arguments: Vec<String>,
}

/// Reads a line; None where it says nothing (empty, or a comment).
pub(crate) fn read(text: &str) -> Result<Option<Line>, Malformed> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let (keyword, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or(Malformed::Quotes)?,
        None => {
            let end = text
                .find(|c: char| c.is_whitespace() || c == '=' || c == '"')
                .unwrap_or(text.len());
            text.split_at(end)
        }
    };
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Ok(Some(Line {
        keyword: keyword.to_ascii_lowercase(),
        arguments: split(rest)?,
    }))
}

/// Splits arguments as OpenSSH's `argv_split` does: quotes of both kinds, backslash before a quote, a
/// backslash or (outside quotes) a space, and a comment where an argument would begin with `#`.
pub(crate) fn split(text: &str) -> Result<Vec<String>, Malformed> {
    let mut arguments = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        match characters.peek() {
            None | Some('#') => return Ok(arguments),
            Some(_) => {}
        }
        let mut argument = String::new();
        let mut quote = None;
        while let Some(c) = characters.next() {
            match (c, quote) {
                ('\\', _) => match characters
                    .next_if(|next| matches!(next, '\\' | '"' | '\'') || (quote.is_none() && *next == ' '))
                {
                    Some(escaped) => argument.push(escaped),
                    None => argument.push('\\'),
                },
                ('"' | '\'', None) => quote = Some(c),
                (_, Some(open)) if open == c => quote = None,
                (_, None) if c.is_whitespace() => break,
                _ => argument.push(c),
            }
        }
        if quote.is_some() {
            return Err(Malformed::Quotes);
        }
        arguments.push(argument);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> (String, Vec<String>) {
        let line = read(text).unwrap().unwrap();
        (line.keyword, line.arguments)
    }

    #[test]
    fn a_keyword_may_be_followed_by_space_or_equals() {
        for text in [
            "Port 22",
            "port=22",
            "PORT = 22",
            "  port\t=22  ",
            "\"port\" 22",
            "port \"22\" # ssh",
        ] {
            assert_eq!(words(text), ("port".to_owned(), vec!["22".to_owned()]), "{text}");
        }
    }

    #[test]
    fn quotes_hold_words_together_and_backslashes_escape() {
        assert_eq!(
            words(r#"IdentityFile "~/my keys/id" '~/b c' d\ e f\\g h\i "x\"y" p'q r's"#).1,
            ["~/my keys/id", "~/b c", "d e", r"f\g", r"h\i", "x\"y", "pq rs"]
        );
        assert_eq!(words("IdentityFile \"\"").1, [""]);
    }

    #[test]
    fn comments_and_empty_lines_say_nothing() {
        for text in ["", "   ", "# Port 22", "\t#"] {
            assert_eq!(read(text), Ok(None), "{text:?}");
        }
        assert_eq!(words("Host a#b #c").1, ["a#b"]);
    }

    #[test]
    fn an_open_quote_is_refused() {
        for text in ["Host \"a", "Host a'", "\"Host"] {
            assert_eq!(read(text), Err(Malformed::Quotes), "{text}");
        }
    }
}
