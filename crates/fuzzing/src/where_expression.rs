//! What stands after `--where`: a selector or a message with its place; a selector that is written out is read as the
//! same, and its explanation agrees with it.
//!
//! What stands before a NUL is what the host's facts script said, the rest is the selector.

use muster_model::facts::{self, Facts};
use muster_model::host::HostRecord;
use muster_model::sanitise::is_treacherous;
use muster_model::selector::{Explanation, Gathered, SELECTOR_BYTES, Selector, Subject};
use muster_model::{HostName, Reach, Timestamp};

/// Checks one input.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (said, text) = text.split_once('\0').unwrap_or(("", text));
    let selector = match Selector::parse(text) {
        Ok(selector) => selector,
        Err(error) => {
            assert!(
                (1..=text.chars().count() + 1).contains(&error.column()),
                "{error}"
            );
            let shown = format!("{error} {}", error.pointed().replacen('\n', " ", 1));
            assert!(
                shown.len() < 3000 && !shown.contains(['\n', '\t']) && !shown.contains(is_treacherous),
                "{shown:?}"
            );
            return;
        }
    };
    assert!(text.len() <= SELECTOR_BYTES);
    let written = selector.to_string();
    assert!(!written.contains(is_treacherous), "{written:?}");
    // Escapes and prefixes may make it longer than what a person may write.
    if written.len() <= SELECTOR_BYTES {
        assert_eq!(Selector::parse(&written).as_ref(), Ok(&selector), "{written}");
    }
    let facts = facts::parse(format!("muster-facts 1\n{said}\nend\n").as_bytes()).unwrap_or_default();
    for facts in [None, Some(&facts)] {
        ask(&selector, facts);
    }
}

fn ask(selector: &Selector, facts: Option<&Facts>) {
    let Ok(name) = "web1".parse::<HostName>() else {
        return;
    };
    let labels = [("env", "prod"), ("rack", "12")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let host = HostRecord {
        name,
        address: None,
        user: Some("root".to_owned()),
        port: Some(22),
        reach: Some(Reach::Agent),
        credential: None,
        labels: labels.into_iter().collect(),
    };
    let at = Timestamp(1_000_000);
    let subject = Subject {
        host: &host,
        groups: &["web", "rack-1"],
        facts: facts.map(|facts| Gathered { facts, at }),
        now: Timestamp(7_200_000_000),
    };
    let explanation = selector.explain(&subject);
    assert_eq!(explanation.truth, selector.matches(&subject), "{selector}");
    assert!(!explanation.decisive().is_empty(), "{selector}");
    harmless(&explanation);
}

fn harmless(explanation: &Explanation) {
    let saw = explanation.saw.as_deref().unwrap_or_default();
    for text in [explanation.text.as_str(), saw] {
        assert!(
            text.len() < 1000 && !text.contains('\n') && !text.contains(is_treacherous),
            "{text:?}"
        );
    }
    explanation.parts.iter().for_each(harmless);
}
