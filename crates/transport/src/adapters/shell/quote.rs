//! Quoting: for `/bin/sh`, and for whatever login shell a user has.

/// The start of a program for `/bin/sh` that uses [`posix`] on text with line breaks: IFS begins as space, tab,
/// line break in every POSIX shell, whatever the environment says.
pub(crate) const NEWLINE: &str = "MUSTER_NL=${IFS#??}; ";

/// Returns a line of which each login shell does one part: `posix` those of the POSIX family, `csh` csh and tcsh,
/// `other` fish, and a tcsh with `backslash_quote`. Nothing in `csh` and `posix` may have a meaning in quotes.
///
/// It needs nothing of a shell but quotes, `;` and comments, since fish before 3.0 does not even read a line with `&&`.
/// What comes before a part is one word to the shell that does it, and what follows is a comment: a backslash does not
/// keep the end of double quotes from csh, nor the end of single quotes from POSIX shells.
pub(crate) fn by_family(posix: &str, csh: &str, other: &str) -> String {
    format!(r#"test "\" ; {csh} #"'\' ; {posix} #' ; {other}"#)
}

/// Quotes `text` as one word for `/bin/sh`. The result has no line break: see [`NEWLINE`].
pub(crate) fn posix(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 8);
    quoted.push('\'');
    for c in text.chars() {
        match c {
            '\'' => quoted.push_str("'\\''"),
            '\n' => quoted.push_str("'\"$MUSTER_NL\"'"),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// Quotes `text`, which has no line break, as one word for any login shell: sh, bash, dash, ksh, zsh, fish, csh
/// and tcsh read it alike.
///
/// They differ inside quotes: fish takes a backslash there as an escape, csh an exclamation mark as history.
/// Both are put outside of the quotes, each behind a backslash.
pub(crate) fn login(text: &str) -> String {
    debug_assert!(!text.contains('\n'), "csh has no quotes that hold a line break");
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + text.len() / 8 + 8);
    let mut inside = false;
    for c in text.chars() {
        let escaped = matches!(c, '\'' | '\\' | '!');
        if inside == escaped {
            quoted.push('\'');
            inside = !escaped;
        }
        if escaped {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    if inside {
        quoted.push('\'');
    }
    quoted
}

/// Tells whether no shell gives a meaning to any part of `text`.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | ','))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn printed(shell: &[&str], line: &str) -> Vec<u8> {
        let output = Command::new(shell[0])
            .args(&shell[1..])
            .args(["-c", line])
            .output()
            .expect("the shell starts");
        assert!(output.status.success(), "{shell:?} {line}: {output:?}");
        output.stdout
    }

    #[test]
    fn plain_words_stay_as_they_are() {
        assert_eq!(posix("a-b_c.d/e:1,2"), "a-b_c.d/e:1,2");
        assert_eq!(login("uptime"), "uptime");
        assert_eq!(posix(""), "''");
    }

    #[test]
    fn what_shells_differ_in_stands_outside_of_the_quotes() {
        assert_eq!(login("a b"), "'a b'");
        assert_eq!(login("it's"), r"'it'\''s'");
        assert_eq!(login(r"a\b!"), r"'a'\\'b'\!");
        assert_eq!(login("'"), r"\'");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn sh_and_bash_read_back_any_text(text in "[^\0]{0,60}") {
            let line = format!("{NEWLINE}printf %s {}", posix(&text));
            prop_assert!(!line.contains('\n'));
            let whole = format!("exec /bin/sh -c {}", login(&line));
            for shell in ["sh", "bash"] {
                prop_assert_eq!(printed(&[shell], &whole), text.as_bytes());
            }
        }
    }
}
