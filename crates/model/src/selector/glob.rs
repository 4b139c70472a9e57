//! `like`: a text with `*` for any characters and `?` for one.

/// The longest pattern, in bytes: how much work a match is depends on it.
pub(super) const GLOB_BYTES: usize = 256;

/// Tells whether the whole text is as the pattern says.
pub(super) fn is_match(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // What follows the last `*`, and what of the text has not been given to that `*`.
    let mut last: Option<(&str, &str)> = None;
    loop {
        let mut rest = pattern.chars();
        let mut left = text.chars();
        match (rest.next(), left.next()) {
            (Some('*'), _) => {
                last = Some((rest.as_str(), text));
                pattern = rest.as_str();
            }
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                (pattern, text) = (rest.as_str(), left.as_str());
            }
            (None, None) => return true,
            _ => {
                let Some((after, given)) = last else { return false };
                let mut given = given.chars();
                if given.next().is_none() {
                    return false;
                }
                last = Some((after, given.as_str()));
                (pattern, text) = (after, given.as_str());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_match;

    #[test]
    fn stars_are_any_characters_and_question_marks_one() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("web*", "web1"),
            ("*a*b*", "xxaxxbxx"),
            ("?b?", "äbc"),
            ("a*a*ab", "aaaaaab"),
            ("**", "x"),
        ] {
            assert!(is_match(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("?", ""),
            ("web*", "we"),
            ("*b", "abc"),
            ("a*a*b", "aaaaaaac"),
        ] {
            assert!(!is_match(pattern, text), "{pattern} {text}");
        }
    }
}
