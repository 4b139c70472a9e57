//! Words of a line as a shell cuts them, in the dialect that Ansible reads host lines with: quotes, backslashes,
//! and `#` begins a comment even within a word.

/// Returns the words.
///
/// # Errors
///
/// What is not closed, and what would be right.
pub(super) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('"'), '\\') => {
                let into = word.get_or_insert_default();
                match characters.next() {
                    Some(next @ ('"' | '\\')) => into.push(next),
                    Some(next) => into.extend(['\\', next]),
                    None => return Err("a quote is not closed: write it at the end too"),
                }
            }
            (Some(_), other) => word.get_or_insert_default().push(other),
            (None, ' ' | '\t' | '\r' | '\n') => words.extend(word.take()),
            (None, '#') => break,
            (None, quoting @ ('\'' | '"')) => {
                quote = Some(quoting);
                word.get_or_insert_default();
            }
            (None, '\\') => match characters.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("a backslash ends the line: write two for one, or quotes"),
            },
            (None, other) => word.get_or_insert_default().push(other),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed: write it at the end too");
    }
    words.extend(word);
    Ok(words)
}

/// Returns a text as one word.
pub(in crate::inventory) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-.,:/=@%+{}[]!~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_a_shell_cuts_them() {
        let cut = |line: &str| split(line).expect("words");
        assert_eq!(cut("a  b=c\td"), ["a", "b=c", "d"]);
        assert_eq!(cut("a b='c d' e=\"f 'g'\""), ["a", "b=c d", "e=f 'g'"]);
        assert_eq!(cut(r#"a b="c\"d\n" e=f\ g"#), ["a", r#"b=c"d\n"#, "e=f g"]);
        assert_eq!(cut("a b=c#d"), ["a", "b=c"]);
        assert_eq!(cut("a b='#' # c"), ["a", "b=#"]);
        assert_eq!(cut("a b="), ["a", "b="]);
        assert!(split("a b='c").is_err() && split("a b=\"c\\").is_err() && split("a\\").is_err());
        for text in ["", "a b", "it's", "a#b", "\\", "\"", "plain", "{{ x }}"] {
            assert_eq!(cut(&quote(text)), [text]);
        }
    }
}
