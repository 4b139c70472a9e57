//! The guide for users says what is so: its examples and its errors are run.

use super::*;

const GUIDE: &str = include_str!("../../../../../docs/guide/patterns.md");

fn section(title: &str) -> &'static str {
    let (_, rest) = GUIDE
        .split_once(&format!("\n## {title}\n"))
        .expect("the guide has the section");
    rest.split("\n## ").next().unwrap()
}

#[test]
fn the_examples_of_the_guide_expand_as_it_says() {
    let mut examples = 0;
    for line in section("Names and ranges")
        .lines()
        .chain(section("Operators").lines())
    {
        let cells: Vec<&str> = line
            .split('|')
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect();
        let (Some(pattern), Some(hosts)) = (cells.first(), cells.last()) else {
            continue;
        };
        let Some(pattern) = pattern
            .strip_prefix('`')
            .and_then(|pattern| pattern.strip_suffix('`'))
        else {
            continue;
        };
        assert_eq!(expanded(pattern).unwrap().join(" "), *hosts, "{pattern}");
        examples += 1;
    }
    assert_eq!(examples, 16);
}

#[test]
fn the_errors_of_the_guide_are_the_errors() {
    let mut errors = 0;
    for line in section("Errors").lines() {
        let Some(rest) = line.trim_start().strip_prefix("host pattern '") else {
            continue;
        };
        let (pattern, _) = rest.split_once("', column").unwrap();
        assert_eq!(expanded(pattern).unwrap_err().to_string(), line.trim_start());
        errors += 1;
    }
    assert_eq!(errors, 5);
}
