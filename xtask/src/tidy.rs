//! The house rules that compilers and linters do not know.

use std::io;
use std::path::Path;

use crate::Report;
use crate::tree::{self, Text};

/// Crates with a port: their README is their rustdoc front page.
const ROOMS: &[&str] = &["transport", "store", "queue", "cache", "files"];
/// Beyond this a file of the product is worth another look.
const LONG: usize = 400;
/// The one file that opens rooms.
const WIRING: &str = "crates/muster/src/wiring.rs";

/// Checks the workspace at `root`.
pub(crate) fn problems(root: &Path) -> io::Result<Report> {
    let texts = tree::texts(root)?;
    let mut report = Report::default();
    let here = root.to_string_lossy();
    for text in &texts {
        report.problems.extend(every_text(text, &here));
        if text.path.ends_with(".rs") {
            report.problems.extend(opening(text));
            report.problems.extend(opened_rooms(text));
            report.remarks.extend(length(text));
        }
        if is_member_manifest(&text.path) {
            report.problems.extend(manifest(text));
        }
    }
    report.problems.extend(readmes(&texts));
    Ok(report)
}

/// Rules for every text: no machine's own paths, nothing to be done without a number.
fn every_text(text: &Text, here: &str) -> Vec<String> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.text.lines()) {
        let at = format!("{}:{number}", text.path);
        // The root folder itself is in every path.
        if here.len() > 1 && line.contains(here) {
            found.push(format!(
                "{at}: names a folder of this machine: name it from the workspace's folder"
            ));
        }
        for mark in marks {
            if is_unnumbered(line, mark) {
                found.push(format!(
                    "{at}: {mark} without an issue: write {mark}(#123), or open an issue and drop it"
                ));
            }
        }
    }
    found
}

/// Whether `mark` stands in the line as a word that no `(#123)` follows.
fn is_unnumbered(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let (before, after) = (&line[..at], &line[at + mark.len()..]);
        let is_word = !before.ends_with(word) && !after.starts_with(word);
        let numbered = after
            .strip_prefix("(#")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        // In quotes it is spoken of, not used.
        let quoted = before.ends_with(['`', '"']) && after.starts_with(['`', '"']);
        is_word && !numbered && !quoted
    })
}

/// A source file opens with what it is for.
fn opening(text: &Text) -> Option<String> {
    let first = text
        .text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let opens = first.starts_with("//!") || first.starts_with("#![doc = include_str!(");
    (!opens).then(|| {
        format!(
            "{}: open it with `//!`: what it is for, and what it must never do",
            text.path
        )
    })
}

/// Only the wiring opens a room; tests may.
fn opened_rooms(text: &Text) -> Vec<String> {
    if text.path == WIRING || is_of_tests(&text.path) {
        return Vec::new();
    }
    let product = text.text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for (number, line) in (1..).zip(product.lines()) {
        let code = line.split("//").next().unwrap_or_default();
        for room in ROOMS {
            if code.contains(&format!("muster_{room}::open("))
                || code.contains(&format!("muster_{room}::open;"))
            {
                found.push(format!(
                    "{}:{number}: opens the {room}: only {WIRING} does",
                    text.path
                ));
            }
        }
    }
    found
}

fn is_of_tests(path: &str) -> bool {
    path.starts_with("tests/")
        || path.starts_with("benches/")
        || path.starts_with("xtask/")
        || path.contains("/tests/")
        || path.contains("/benches/")
        || path.contains("/examples/")
        || path.ends_with("/tests.rs")
}

fn length(text: &Text) -> Option<String> {
    if is_of_tests(&text.path) {
        return None;
    }
    let product = text.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = product.lines().count();
    (lines > LONG).then(|| {
        format!(
            "{}: {lines} lines, more than {LONG}: does it do more than one thing?",
            text.path
        )
    })
}

fn is_member_manifest(path: &str) -> bool {
    path.ends_with("/Cargo.toml") && !path.starts_with("fuzz/")
}

/// A manifest takes its lints, and the versions of what it depends on, from the workspace.
fn manifest(text: &Text) -> Vec<String> {
    let mut found = Vec::new();
    let mut section = "";
    let mut lints = false;
    for (number, line) in (1..).zip(text.text.lines()) {
        let line = line.trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if section == "lints" && line.replace(' ', "") == "workspace=true" {
            lints = true;
        } else if section.ends_with("dependencies") && line.contains('=') && !line.starts_with('#') {
            let shared = line.contains("workspace = true") || line.contains(".workspace = true");
            if !shared {
                found.push(format!(
                    "{}:{number}: a version of its own: write it into the root manifest, and `workspace = true` here",
                    text.path
                ));
            }
        }
    }
    if !lints {
        found.push(format!("{}: no lints: add [lints] workspace = true", text.path));
    }
    found
}

fn readmes(texts: &[Text]) -> Vec<String> {
    let has = |path: String| {
        texts
            .iter()
            .any(|text| text.path == path && !text.text.trim().is_empty())
    };
    ROOMS
        .iter()
        .filter(|room| has(format!("crates/{room}/Cargo.toml")))
        .filter(|room| !has(format!("crates/{room}/README.md")))
        .map(|room| {
            format!(
                "crates/{room}: a room has a README.md: its promises, and its adapters with what they can"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str, text: &str) -> Text {
        Text {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn the_workspace_is_tidy() {
        let report = problems(&crate::root()).expect("reads the workspace");
        assert_eq!(report.problems, Vec::<String>::new());
    }

    #[test]
    fn what_is_to_be_done_has_a_number() {
        let mark = concat!("TO", "DO");
        for (line, is_wrong) in [
            (format!("// {mark}: later"), true),
            (format!("// {mark}(#12): later"), false),
            (format!("{mark}S and {mark}_LIST are other words"), false),
            (format!("the word `{mark}` is spoken of"), false),
            (format!("// {mark}(#12), and {mark}"), true),
        ] {
            assert_eq!(is_unnumbered(&line, mark), is_wrong, "{line}");
        }
    }

    #[test]
    fn folders_of_the_machine_are_found() {
        let found = every_text(
            &text("docs/a.md", "see\n/somewhere/checkout/docs"),
            "/somewhere/checkout",
        );
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("docs/a.md:2: "));
    }

    #[test]
    fn a_source_file_opens_with_its_purpose() {
        assert!(opening(&text("a.rs", "use std::io;\n//! late")).is_some());
        assert!(opening(&text("a.rs", "")).is_some());
        assert_eq!(opening(&text("a.rs", "//! What it is for.")), None);
        assert_eq!(
            opening(&text("lib.rs", "#![doc = include_str!(\"../README.md\")]")),
            None
        );
    }

    #[test]
    fn only_the_wiring_and_tests_open_rooms() {
        let code = "fn f() { muster_store::open(url) }";
        assert_eq!(opened_rooms(&text("crates/engine/src/core.rs", code)).len(), 1);
        assert_eq!(
            opened_rooms(&text("crates/engine/src/core.rs", "use muster_queue::open;")).len(),
            1
        );
        assert!(opened_rooms(&text(WIRING, code)).is_empty());
        assert!(opened_rooms(&text("crates/engine/tests/life.rs", code)).is_empty());
        let tested = format!("//! a\n#[cfg(test)]\nmod tests {{ {code} }}");
        assert!(opened_rooms(&text("crates/engine/src/core.rs", &tested)).is_empty());
        assert!(opened_rooms(&text("crates/engine/src/core.rs", "// muster_store::open(url)")).is_empty());
    }

    #[test]
    fn manifests_take_lints_and_versions_from_the_workspace() {
        let good = "[package]\nname = \"a\"\n[dependencies]\nbytes = { workspace = true }\nnix.workspace = true\n\
                    [lints]\nworkspace = true\n";
        assert_eq!(manifest(&text("crates/a/Cargo.toml", good)), Vec::<String>::new());
        let bad = "[package]\nname = \"a\"\n[dev-dependencies]\nbytes = \"1\"\n";
        let found = manifest(&text("crates/a/Cargo.toml", bad));
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("crates/a/Cargo.toml:4: "));
    }

    #[test]
    fn a_room_has_a_readme_that_says_something() {
        let room = text("crates/queue/Cargo.toml", "x");
        assert_eq!(readmes(&[room, text("crates/queue/README.md", "\n")]).len(), 1);
        let room = text("crates/queue/Cargo.toml", "x");
        assert!(readmes(&[room, text("crates/queue/README.md", "# queue")]).is_empty());
        assert!(readmes(&[]).is_empty());
    }

    #[test]
    fn long_files_are_remarked_upon_without_their_tests() {
        let long = "//! a\n".repeat(LONG + 1);
        assert!(length(&text("crates/a/src/b.rs", &long)).is_some());
        assert_eq!(length(&text("crates/a/tests/b.rs", &long)), None);
        let tests = format!("//! a\n#[cfg(test)]\nmod tests {{\n{long}}}");
        assert_eq!(length(&text("crates/a/src/b.rs", &tests)), None);
    }
}
