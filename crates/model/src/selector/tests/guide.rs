//! What the guide shows is what happens.

use super::{DEPTH, SELECTOR_BYTES, Selector, selector};
use crate::selector::glob::GLOB_BYTES;

const GUIDE: &str = include_str!("../../../../../docs/guide/selectors.md");

/// The part of the guide under a heading.
fn section(heading: &str) -> &'static str {
    let (_, rest) = GUIDE.split_once(&format!("\n## {heading}\n")).expect(heading);
    rest.split("\n## ").next().unwrap_or(rest)
}

/// What stands in backquotes in a column of the tables of a section, without their heads.
fn column(heading: &str, column: usize) -> Vec<&'static str> {
    let rows = section(heading).lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| row.split(" | ").nth(column))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn its_examples_can_be_read() {
    let examples = column("Fields", 2);
    assert!(examples.len() >= 25, "{examples:?}");
    for example in examples {
        selector(example);
    }
    let first = "os.id == \"debian\" && mem_gb >= 8 && \"web\" in groups";
    assert!(GUIDE.contains(&format!("    --where '{first}'\n")));
    selector(first);
    selector("!has(os.id) || os.id != \"debian\"");
}

#[test]
fn it_names_every_field() {
    let fields = section("Fields");
    for entry in &super::super::field::FIELDS {
        let (stem, unit) = entry.name.rsplit_once('_').unwrap_or((entry.name, ""));
        let named = fields.contains(&format!("`{}", entry.name))
            || (fields.contains(&format!("`{stem}_")) && fields.contains(&format!("`_{unit}`")));
        assert!(named, "{}", entry.name);
    }
}

#[test]
fn its_errors_are_the_errors() {
    let errors: Vec<&str> = section("Errors")
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    let causes = ["mem_gb == \"x\"", "os.idd == \"x\"", "os.id = \"x\"", "os.id =="];
    assert_eq!(errors.len(), causes.len());
    for (text, shown) in causes.iter().zip(errors) {
        assert_eq!(Selector::parse(text).expect_err(text).to_string(), shown);
    }
}

#[test]
fn its_limits_are_the_limits() {
    let limits = section("Limits");
    assert!(limits.contains(&format!("{} KiB", SELECTOR_BYTES / 1024)));
    assert!(limits.contains(&format!("| {DEPTH} |")));
    assert!(limits.contains(&format!("{GLOB_BYTES} bytes")));
}
