//! Host patterns: what they expand to is bounded, and folding is its inverse.

use std::collections::HashSet;

use muster_model::limits::HOSTS_PER_TASK;
use muster_model::pattern::{self, NoGroups};

/// Larger expansions are only counted: folding them is right or wrong for the same reasons as smaller ones.
const FOLDED: usize = 20_000;

/// Checks one input.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    // A name of any form is folded, and folding names that are folded adds nothing to them.
    let folded = pattern::fold(&[text]);
    assert!(folded.len() <= 2 * text.len() + 16, "{folded:?} from {text:?}");
    match pattern::expand(text, &NoGroups) {
        Ok(hosts) => round_trip(&hosts),
        Err(error) => assert!(error.to_string().len() < 2000, "an endless message"),
    }
}

/// Hosts that a pattern gave are distinct, few enough, and come back from their fold in the same order.
pub(crate) fn round_trip(hosts: &[String]) {
    assert!(hosts.len() as u64 <= HOSTS_PER_TASK, "{} hosts", hosts.len());
    if hosts.len() > FOLDED {
        return;
    }
    let distinct: HashSet<&String> = hosts.iter().collect();
    assert_eq!(distinct.len(), hosts.len(), "a host twice in {hosts:?}");
    let folded = pattern::fold(hosts);
    let again = pattern::expand(&folded, &NoGroups).map_err(|error| error.to_string());
    assert_eq!(again.as_deref(), Ok(hosts), "{folded:?}");
    let backwards: Vec<&String> = hosts.iter().rev().collect();
    assert_eq!(
        pattern::fold(&backwards),
        folded,
        "the order of the names changed the fold"
    );
    let mut sorted: Vec<&String> = backwards;
    pattern::sort(&mut sorted);
    assert!(
        sorted
            .windows(2)
            .all(|pair| pattern::compare(pair[0], pair[1]).is_le())
    );
}
