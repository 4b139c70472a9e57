//! Patterns that are refused, and what is said about them.

use crate::limits::{HOSTS_PER_TASK, PATTERN_BYTES};
use crate::problem::Code;

use super::*;

#[track_caller]
fn refused(pattern: &str) -> Error {
    match expanded(pattern) {
        Ok(names) => panic!("'{pattern}' is {} hosts", names.len()),
        Err(error) => error,
    }
}

#[test]
fn an_error_names_the_pattern_the_place_and_what_would_be_right() {
    for (pattern, message) in [
        (
            "web[3-1]",
            "column 5: '3-1' runs backwards: write the smaller number first",
        ),
        (
            "web[01-100]",
            "column 5: '01-100' mixes numbers of different length",
        ),
        ("web[1-20", "column 4: '[1-20' has no closing bracket"),
        ("web1-20]", "column 8: ']' closes a bracket that was not opened"),
        ("a,b[1,x]", "column 7: 'x' is not a range"),
        ("a[1, 2-]", "column 6: '2-' is not a range"),
        ("a[]", "column 3: '' holds an empty range"),
        ("a[1,]", "column 3: '1,' holds an empty range"),
        ("a[-5]", "column 3: '-5' is a negative range"),
        (
            "a[1-5/0]",
            "column 3: '1-5/0' has a step that is not a number from 1",
        ),
        ("a[1/2]", "column 3: '1/2' has a step but no range"),
        ("a[1-2][3-4]", "column 7: '[3-4]' follows another range"),
        ("a[1-2]5[3-4]", "column 9: '3-4' follows another range"),
        ("a[1[2]]", "column 2: '[1[2]' opens a bracket inside brackets"),
        (",a", "column 1: ',' has no host before it"),
        ("a,,b", "column 2: ',' has no host after it"),
        ("a! ", "column 2: '!' has no host after it"),
        ("é & ", "column 3: '&' has no host after it"),
        (
            "web1 web2",
            "column 1: 'web1 web2' has a space in it: write a comma between hosts",
        ),
        ("a,\nb c", "column 2: ',' has no host after it"),
        ("a\n b c", "column 4: 'b c' has a space in it"),
        ("a,@", "column 3: '@' names no group"),
        (
            "@local:db",
            "column 1: '@local:db' names a source of groups, and there is only one: write @group",
        ),
        ("@@x", "column 1: '@@x' names a source of groups"),
        ("@we*", "column 1: '@we*' has a wildcard in the name of a group"),
        (
            "[::1]:[22-23]",
            "column 1: '[::1]' is an address in brackets, which takes no range",
        ),
        (
            "a[123456789012345678]",
            "'123456789012345678' makes a number of more than 17 digits",
        ),
        (
            "a1234567890123[12345]",
            "'a1234567890123[12345]' makes a number of more than 17 digits",
        ),
    ] {
        let error = refused(pattern);
        assert_eq!(error.code(), Code::InvalidPattern, "{pattern}");
        let text = error.to_string();
        assert!(text.contains(message), "{pattern}: {text}");
        assert!(text.starts_with("host pattern '"), "{text}");
    }
}

#[test]
fn an_unknown_group_is_named() {
    let error = refused("web1,@db!@nobody");
    assert_eq!(error.code(), Code::UnknownGroup);
    assert_eq!(
        error.to_string(),
        "host pattern 'web1,@db!@nobody', column 10: there is no group 'nobody'"
    );
    assert!(
        refused("@rack[1-3]")
            .to_string()
            .ends_with("there is no group 'rack3'")
    );
    assert!(expand("@db", &NoGroups).is_err());
}

#[test]
fn what_is_too_large_is_refused_before_it_is_made() {
    let clock = std::time::Instant::now();
    for pattern in [
        "a[1-1000000]b[1-1000000]",
        "x[0-99999999999999999999]",
        "x[0-1000000]",
        "x[1-2000000/1]&x1",
        "a[1-1000]b[1-1000]c[1-1000]d[1-1000]e[1-1000]f[1-1000]g[1-1000]",
        "a[0-17999999999999999999/3]",
        "a[1-700000],b[1-700000]",
        "a[1-700000]^b[1-700000]",
    ] {
        let error = refused(pattern);
        assert_eq!(error.code(), Code::TargetTooLarge, "{pattern}");
        assert!(error.to_string().contains("the limit is 1000000"), "{error}");
    }
    assert!(clock.elapsed().as_secs() < 30, "{:?}", clock.elapsed());
    // The same hosts named twice are the same hosts.
    let names = expanded("x[1-1000000,1-10]").unwrap();
    assert_eq!(names.len() as u64, HOSTS_PER_TASK);
}

#[test]
fn too_much_work_and_too_long_a_text_are_refused() {
    for part in ["x[1-1000000]", "@*", "*a*b*c*d*e*f", "x[1-2]"] {
        let large = Large { members: 20_000 };
        let pattern = vec![part; PATTERN_BYTES / (part.len() + 1)].join("!");
        match expand(&pattern, &large) {
            Ok(names) => assert!(names.is_empty() && part == "x[1-2]"),
            Err(error) => {
                assert_eq!(error.code(), Code::TargetTooLarge, "{part}");
                assert!(error.to_string().contains("too much to work out"), "{error}");
            }
        }
    }
    let text = "a".repeat(PATTERN_BYTES);
    let error = expand_all(std::slice::from_ref(&text), &["b".to_owned()], &NoGroups).unwrap_err();
    assert_eq!(
        error,
        Error::TooLong {
            bytes: PATTERN_BYTES + 1
        }
    );
    assert_eq!(error.code(), Code::TargetTooLarge);
    let error = refused(&text);
    assert!(
        error
            .to_string()
            .contains("makes a host name of more than 512 bytes")
    );
    assert!(error.to_string().len() < 400, "an error is clipped: {error}");
}

#[test]
fn an_error_is_harmless_on_a_terminal() {
    let text = refused("\u{1b}[2Jweb[x]").to_string();
    assert!(!text.contains(char::is_control), "{text:?}");
}

/// An inventory of many hosts.
struct Large {
    members: u64,
}

impl Groups for Large {
    fn members(&self, _: &str) -> Option<Vec<String>> {
        Some(self.all())
    }

    fn all(&self) -> Vec<String> {
        (0..self.members).map(|number| format!("host{number}")).collect()
    }
}
