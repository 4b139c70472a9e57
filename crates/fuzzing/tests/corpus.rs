//! The kept corpus on stable Rust: every target with every input of its folder. What belongs together (the
//! list of targets, the programs of `fuzz/`, the folders, the types of the API, the lock files) is compared,
//! so that none is forgotten.
#![expect(clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use muster_fuzzing::TARGETS;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).expect(path)
}

/// The names in a folder of `fuzz/`, in order.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(workspace().join("fuzz").join(folder)).expect(folder);
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect()
}

fn targets() -> BTreeSet<String> {
    TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect()
}

#[test]
fn every_kept_input_passes() {
    let mut failed = Vec::new();
    let mut count = 0;
    for (target, check) in TARGETS {
        for name in names(&format!("corpus/{target}")) {
            let path = format!("fuzz/corpus/{target}/{name}");
            let input = fs::read(workspace().join(&path)).expect("an input");
            count += 1;
            // The panic's message is on standard error; all inputs are tried before the test fails.
            if std::panic::catch_unwind(|| check(&input)).is_err() {
                failed.push(path);
            }
        }
    }
    println!("{count} inputs");
    assert_eq!(failed, Vec::<String>::new());
}

#[test]
fn every_target_has_a_program_a_corpus_and_a_replay() {
    let files: BTreeSet<String> = targets().iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names("fuzz_targets"), files);
    assert_eq!(names("corpus"), targets());
    let manifest = read("fuzz/Cargo.toml");
    let programs: BTreeSet<String> = manifest
        .split("[[bin]]")
        .skip(1)
        .map(|bin| bin.split('"').nth(1).expect("a name").to_owned())
        .collect();
    assert_eq!(programs, targets());
    for target in targets() {
        let program = read(&format!("fuzz/fuzz_targets/{target}.rs"));
        assert!(
            program.contains(&format!("muster_fuzzing::{target}::check(bytes)")),
            "{target}"
        );
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")),
            "{target}"
        );
        assert!(
            !names(&format!("corpus/{target}")).is_empty(),
            "{target} has no inputs"
        );
    }
}

#[test]
fn every_type_of_the_api_is_checked() {
    let checked = read("crates/fuzzing/src/wire.rs");
    let declared = read("crates/model/src/wire.rs");
    let types = declared.lines().filter_map(|line| {
        let rest = line
            .strip_prefix("pub struct ")
            .or(line.strip_prefix("pub enum "))?;
        rest.split(|c: char| !c.is_alphanumeric()).next()
    });
    let missing: Vec<&str> = types
        .filter(|name| !checked.contains(&format!("same::<{name}>")))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// What is fuzzed is what is released: the same versions of everything that both use.
#[test]
fn the_lock_files_agree() {
    let ours = packages("Cargo.lock");
    let fuzzing = packages("fuzz/Cargo.lock");
    // What cargo-fuzz itself brings.
    let own = ["arbitrary", "jobserver", "libfuzzer-sys", "muster-fuzz"];
    let apart: Vec<_> = fuzzing
        .difference(&ours)
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .collect();
    assert!(
        apart.is_empty(),
        "{apart:?}: cp Cargo.lock fuzz/Cargo.lock && cargo metadata --manifest-path fuzz/Cargo.toml"
    );
}

fn packages(path: &str) -> BTreeSet<(String, String)> {
    let lock = read(path);
    let value = |package: &str, key: &str| {
        let line = package
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{key} = \"")))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .skip(1)
        .map(|package| {
            let name = value(package, "name").unwrap_or_else(|| panic!("a package without a name in {path}"));
            (name, value(package, "version").unwrap_or_default())
        })
        .collect()
}
