//! `ssh_config`: any files end in a way to reach the host or in a message, in bounded time.
//!
//! The first line is the target; a line `%% PATH` begins another file, the first one being the user's own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use muster_model::{Endpoint, Reach, Target};
use muster_transport::fuzzing;

const USERS_OWN: &str = "/home/me/.ssh/config";

/// Checks one input.
pub fn check(input: &[u8]) {
    // As it is read from the disk.
    let text = String::from_utf8_lossy(input);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    rest.lines().for_each(quoting);
    let Ok(target) = first.parse::<Target>() else {
        return;
    };
    let endpoint = Endpoint {
        reach: Reach::Ssh,
        host: target.host.into(),
        address: None,
        user: target.user,
        port: target.port,
        credential: None,
    };
    let files = files(rest);
    let answer = fuzzing::resolve(&files, &endpoint);
    match &answer {
        Ok(told) => assert!(told.lines().count() <= 10, "a way through too many hosts: {told}"),
        Err(why) => assert!(!why.is_empty() && why.contains(&endpoint.host), "{why}"),
    }
    assert_eq!(fuzzing::resolve(&files, &endpoint), answer, "asked twice");

    // Comments, empty lines and space around a line say nothing.
    let commented = files
        .iter()
        .map(|(path, text)| (path.clone(), spaced(text)))
        .collect();
    let told = fuzzing::resolve(&commented, &endpoint);
    assert_eq!(told.ok(), answer.ok(), "with comments");
}

fn files(text: &str) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut path = PathBuf::from(USERS_OWN);
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("%% ") {
            Some(named) => path = named.trim_end_matches(['\r', '\n']).into(),
            None => files
                .entry(path.clone())
                .or_insert_with(String::new)
                .push_str(line),
        }
    }
    files
}

fn spaced(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| format!("# say nothing\n\n\t {line} \t\r\n"));
    lines.collect()
}

/// Arguments that are quoted are read as they were.
fn quoting(line: &str) {
    let Some(arguments) = fuzzing::arguments(line) else {
        return;
    };
    let quoted = |argument: &String| {
        let escaped = argument
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\'', "\\'");
        format!("\"{escaped}\"")
    };
    let written: Vec<String> = arguments.iter().map(quoted).collect();
    assert_eq!(
        fuzzing::arguments(&written.join(" ")),
        Some(arguments),
        "{line:?}"
    );
}
