//! Patterns of `ssh_config` and `known_hosts`: `*` and `?`, lists with `!`.

/// Tells whether `text` matches a pattern of `*` (anything) and `?` (one character). Takes time
/// proportional to the product of the lengths at most, whatever the pattern.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stood, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                star = Some((p, t));
                p += 1;
            }
            (Some(b'?'), Some(_)) => {
                p += 1;
                t += 1;
            }
            (Some(wanted), Some(byte)) if wanted == byte => {
                p += 1;
                t += 1;
            }
            (None, None) => return true,
            _ => match star {
                Some((star_at, taken)) if taken < text.len() => {
                    star = Some((star_at, taken + 1));
                    p = star_at + 1;
                    t = taken + 1;
                }
                _ => return false,
            },
        }
    }
}

/// Tells whether a list of patterns takes `text`: one of them matches, and none with `!` does.
pub(crate) fn list_matches<'a>(patterns: impl IntoIterator<Item = &'a str>, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(refused) if matches(refused, text) => return false,
            Some(_) => {}
            None => found |= matches(pattern, text),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match_as_in_a_shell() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "web"),
            ("web?", "web1"),
            ("*.example.com", "a.b.example.com"),
            ("10.0.*.?", "10.0.17.4"),
            ("a*b*c", "aXbYbZc"),
            ("**", "x"),
            ("", ""),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("web?", "web"),
            ("web?", "web12"),
            ("*.example.com", "example.com"),
            ("a*b", "ac"),
            ("", "x"),
            ("?", ""),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_refused_pattern_beats_all_others() {
        assert!(list_matches(["*.com", "!bad.com"], "good.com"));
        assert!(!list_matches(["*.com", "!bad.com"], "bad.com"));
        assert!(!list_matches(["!bad.com"], "good.com"));
    }

    /// The definition, as slow as it is plain.
    fn plainly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                plainly(rest, text) || text.split_first().is_some_and(|(_, text)| plainly(pattern, text))
            }
            (Some((b'?', rest)), Some((_, text))) => plainly(rest, text),
            (Some((wanted, rest)), Some((byte, text))) => wanted == byte && plainly(rest, text),
            _ => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn matching_is_what_its_definition_says(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            proptest::prop_assert_eq!(
                matches(&pattern, &text),
                plainly(pattern.as_bytes(), text.as_bytes())
            );
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = "*a".repeat(2000);
        assert!(!matches(&pattern, &"a".repeat(1999)));
        assert!(matches(&pattern, &"a".repeat(2000)));
    }
}
