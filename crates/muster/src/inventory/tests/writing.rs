//! What is written is read again as it was, and what a format cannot hold is said.

use proptest::prelude::*;

use muster_model::Reach;
use muster_model::host::HostRecord;
use muster_model::inventory::{Document, Group};

use super::{good, sorted};
use crate::inventory::{Format, write};

fn host() -> impl Strategy<Value = HostRecord> {
    let field = || proptest::option::of("[a-z][a-z0-9.]{0,8}");
    let reach = proptest::option::of(prop_oneof![
        Just(Reach::Local),
        Just(Reach::Ssh),
        Just(Reach::Agent)
    ]);
    let label = prop_oneof![
        "\\PC{0,12}",
        "[ '\"\\\\#=,\n\t\\[\\]{}a1]{0,8}",
        Just("5".to_owned()),
        Just("[1, 2]".to_owned()),
        Just("True".to_owned()),
        Just("'a'".to_owned()),
        Just("yes".to_owned()),
    ];
    let labels = proptest::collection::btree_map("[a-z_]{2,9}", label, 0..4);
    let name = "[a-z]{1,4}[0-9]{0,3}(\\.[a-z]{1,3})?";
    (
        name,
        field(),
        field(),
        proptest::option::of(1_u16..),
        reach,
        field(),
        labels,
    )
        .prop_map(
            |(name, address, user, port, reach, credential, labels)| HostRecord {
                name: name.parse().expect("a name"),
                address,
                user,
                port,
                reach,
                credential: credential.map(|name| name.parse().expect("a name")),
                labels,
            },
        )
}

/// Hosts, and groups of them; a group only holds those behind it.
fn document() -> impl Strategy<Value = Document> {
    let groups = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..6), 0..5);
    (proptest::collection::vec(host(), 1..8), groups).prop_map(|(mut hosts, members)| {
        let mut seen = std::collections::HashSet::new();
        hosts.retain(|host| seen.insert(host.name.clone()));
        let name = |at: usize| format!("g{at}").parse().expect("a name");
        let groups = members.iter().enumerate().map(|(at, picks)| {
            let mut hosts: Vec<_> = picks
                .iter()
                .map(|pick| hosts[usize::from(*pick) % hosts.len()].name.clone())
                .collect();
            hosts.sort();
            hosts.dedup();
            Group {
                name: name(at),
                hosts,
                groups: (at + 1..members.len())
                    .filter(|inner| picks.contains(&(*inner as u8)))
                    .map(name)
                    .collect(),
            }
        });
        let groups = groups.collect();
        Document { hosts, groups }
    })
}

proptest! {
    #[test]
    fn formats_that_hold_everything_give_it_back(document in document()) {
        for format in [Format::Json, Format::Csv, Format::AnsibleYaml, Format::AnsibleIni] {
            let written = write(format, &document).expect("writable");
            prop_assert_eq!(&written.notes, &Vec::<String>::new());
            let again = good(&written.text, format).document;
            prop_assert_eq!(&again.hosts, &document.hosts, "{}\n{}", format, written.text);
            prop_assert_eq!(sorted(again), sorted(document.clone()), "{}\n{}", format, written.text);
        }
    }

    #[test]
    fn no_text_makes_a_reader_fail_badly(text in "\\PC{0,60}", lines in "([a-z\\[\\]:=,@'\"#&*! -]{0,12}\n){0,8}") {
        for format in Format::ALL {
            let _ = super::read_text(&text, Some(format));
            let _ = super::read_text(&lines, Some(format));
        }
    }
}

fn full() -> Document {
    good(
        "name,address,user,port,reach,credential,groups,label.rack,label.alias\n@prod\n@web,,,,,,prod\n\
         web1,10.0.0.1,deploy,2222,,key,web,r7,\nweb2,10.0.0.2,,,ssh,,web,,w2 two\nlone,,,,agent,,,,\n",
        Format::Csv,
    )
    .document
}

#[test]
fn what_a_format_cannot_hold_is_said() {
    for (format, text, notes) in [
        (
            Format::SshConfig,
            "Host web1\n    HostName 10.0.0.1\n    User deploy\n    Port 2222\n\nHost web2\n    HostName 10.0.0.2\n",
            4,
        ),
        (
            Format::ClusterShell,
            "muster:\n  prod: \"@web\"\n  web: \"web[1-2]\"\n",
            4,
        ),
        (Format::Hosts, "10.0.0.1 web1\n10.0.0.2 web2 w2 two\n", 4),
    ] {
        let written = write(format, &full()).expect("writable");
        assert_eq!(written.text, text);
        assert_eq!(written.notes.len(), notes, "{:#?}", written.notes);
        good(&written.text, format);
    }
    assert!(write(Format::List, &full()).is_err());
}

#[test]
fn hosts_that_only_a_group_names_are_noted() {
    let document: Document =
        serde_json::from_str(r#"{"groups": [{"name": "web", "hosts": ["a"]}]}"#).expect("a document");
    for format in [Format::Csv, Format::AnsibleIni, Format::AnsibleYaml] {
        let written = write(format, &document).expect("writable");
        assert!(
            written.notes[0].contains("in a group alone"),
            "{:?}",
            written.notes
        );
    }
    let json = write(Format::Json, &document).expect("writable");
    assert_eq!(good(&json.text, Format::Json).document, document);
    assert!(json.notes.is_empty());
}
