//! Host names as templates and numbers: `web07n2` is the template `web%sn%s` with the numbers 07 and 2.
//!
//! A template is text with `%s` where a number stands and `%%` for a percent sign. It is kept in this very
//! form because ClusterShell sorts hosts by it, and the order of hosts is a promise.

use std::fmt::Write as _;

use super::index::Index;

/// The numbers of one host name, in the order of the template's places.
pub(super) type Point = Box<[Index]>;

/// Reads a name into `template` and `numbers`, which are emptied first.
pub(super) fn scan(name: &str, template: &mut String, numbers: &mut Vec<Index>) {
    template.clear();
    numbers.clear();
    if name.contains('[') {
        // An IPv6 address in brackets (`[2001:db8::1]:22`) is one piece: its folded form could not be read.
        push_literal(name, template);
    } else {
        push_text(name, template, numbers);
    }
}

/// Adds text to a template as it is, with no numbers in it.
pub(super) fn push_literal(text: &str, template: &mut String) {
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once('%') {
        template.push_str(head);
        template.push_str("%%");
        rest = tail;
    }
    template.push_str(rest);
}

/// Adds text to a template, its runs of digits as numbers.
pub(super) fn push_text(text: &str, template: &mut String, numbers: &mut Vec<Index>) {
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (head, tail) = rest.split_at(start);
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (digits, tail) = tail.split_at(end);
        push_literal(head, template);
        match Index::parse(digits) {
            Some(index) => {
                template.push_str("%s");
                numbers.push(index);
            }
            // Longer than any number that counts machines: a serial number, which is text.
            None => template.push_str(digits),
        }
        rest = tail;
    }
    push_literal(rest, template);
}

/// A part of a template.
pub(super) enum Part<'a> {
    /// Text as it is.
    Text(&'a str),
    /// The place of a number.
    Place,
}

/// Cuts a template into its parts.
pub(super) fn parts(template: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        // Texts are short: a search byte by byte costs half of one that prepares itself.
        let (part, tail) = match rest.bytes().position(|byte| byte == b'%') {
            Some(0) if rest.starts_with("%s") => (Part::Place, &rest[2..]),
            // The second sign of `%%` is the text.
            Some(0) => (Part::Text(&rest[..1]), rest.get(2..).unwrap_or_default()),
            Some(at) => (Part::Text(&rest[..at]), &rest[at..]),
            None => (Part::Text(rest), ""),
        };
        rest = tail;
        Some(part)
    })
}

/// Returns the name that a template makes with these numbers.
pub(super) fn format(template: &str, numbers: &[Index]) -> String {
    let mut numbers = numbers.iter();
    let mut name = String::with_capacity(template.len() + 8);
    for part in parts(template) {
        match part {
            Part::Text(text) => name.push_str(text),
            Part::Place => {
                if let Some(index) = numbers.next() {
                    let _ = write!(name, "{index}");
                }
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_template_with_its_numbers() {
        for (name, template, numbers) in [
            ("web07n2", "web%sn%s", vec!["07", "2"]),
            ("localhost", "localhost", vec![]),
            ("10.4.3.4", "%s.%s.%s.%s", vec!["10", "4", "3", "4"]),
            ("fe80::1%eth0", "fe%s::%s%%eth%s", vec!["80", "1", "0"]),
            ("100%s", "%s%%s", vec!["100"]),
            ("[::1]:22", "[::1]:22", vec![]),
            ("a123456789012345678b1", "a123456789012345678b%s", vec!["1"]),
            ("", "", vec![]),
        ] {
            let (mut found, mut indexes) = (String::new(), Vec::new());
            scan(name, &mut found, &mut indexes);
            assert_eq!(found, template, "{name}");
            let indexes_shown: Vec<_> = indexes.iter().map(ToString::to_string).collect();
            assert_eq!(indexes_shown, numbers, "{name}");
            assert_eq!(format(&found, &indexes), name);
        }
    }
}
