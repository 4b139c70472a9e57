//! Target expressions: groups and operators in the pattern language, and targets such as `user@host:port`.
//! Expressions over facts (`--where`) are a target of their own, `where_expression`.
//!
//! Lines that begin with `-x ` are excluded, the others included; each word is also read as a target.

use std::collections::BTreeSet;

use muster_model::pattern::{self, Groups};
use muster_model::{Reach, Target};

use crate::pattern::round_trip;

/// Checks one input.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (mut include, mut exclude) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match line.strip_prefix("-x ") {
            Some(pattern) => exclude.push(pattern.to_owned()),
            None => include.push(line.to_owned()),
        }
        line.split_whitespace().for_each(target);
    }
    let both = pattern::expand_all(&include, &exclude, &Inventory);
    let included = pattern::expand_all(&include, &[], &Inventory);
    let excluded = pattern::expand_all(&exclude, &[], &Inventory);
    if let (Ok(both), Ok(included), Ok(excluded)) = (&both, included, excluded) {
        let left: BTreeSet<&String> = both.iter().collect();
        let excluded: BTreeSet<&String> = excluded.iter().collect();
        let expected: BTreeSet<&String> = included.iter().filter(|host| !excluded.contains(host)).collect();
        assert_eq!(left, expected, "a difference of sets");
    }
    match both {
        Ok(hosts) => {
            hosts.iter().take(1000).for_each(|host| target(host));
            round_trip(&hosts);
        }
        Err(error) => assert!(error.to_string().len() < 2000, "an endless message"),
    }
}

/// A target says the same when it is written out and read again.
fn target(text: &str) {
    let Ok(target) = text.parse::<Target>() else {
        return;
    };
    assert!(!target.host.as_str().starts_with('-'), "{text:?} gives an option");
    assert_ne!(target.port, Some(0));
    let scheme = match target.reach {
        _ if text == "localhost" => "",
        None => "",
        Some(Reach::Local) => "local://",
        Some(Reach::Ssh) => "ssh://",
        Some(Reach::Agent) => "agent://",
    };
    let user = target
        .user
        .as_ref()
        .map_or(String::new(), |user| format!("{user}@"));
    let port = target.port.map_or(String::new(), |port| format!(":{port}"));
    let host = &target.host;
    let written = if port.is_empty() {
        format!("{scheme}{user}{host}")
    } else {
        format!("{scheme}{user}[{host}]{port}")
    };
    assert_eq!(written.parse().as_ref(), Ok(&target), "{text:?} as {written:?}");
}

/// A few groups, one of them with a name that has a number.
struct Inventory;

impl Groups for Inventory {
    fn members(&self, group: &str) -> Option<Vec<String>> {
        let members: &[&str] = match group {
            "db" => &["db1", "db2", "db10"],
            "web" => &["web01", "web02", "web03", "web1"],
            "rack1" => &["r1n1", "r1n2", "10.0.0.1", "lonely"],
            "empty" => &[],
            _ => return None,
        };
        Some(members.iter().map(|host| (*host).to_owned()).collect())
    }

    fn all(&self) -> Vec<String> {
        let groups = ["db", "web", "rack1"];
        groups
            .iter()
            .filter_map(|group| self.members(group))
            .flatten()
            .collect()
    }
}
