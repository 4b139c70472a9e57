//! What is kept in little memory is what was given.

use proptest::prelude::*;

use super::*;
use crate::facts;
use crate::selector::{Host as _, System as _};

fn text() -> impl Strategy<Value = String> {
    // Quotes, control characters and what is no ASCII are escaped in JSON, or not.
    prop_oneof!["[a-z\"\\\\\n\u{0}ü\u{1f600}]{0,12}", Just(String::new())]
}

fn maybe<T: fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(of)
}

prop_compose! {
    fn disk()(device in text(), mount in text(), size_bytes: u64, free_bytes: u64) -> Disk {
        Disk { device, mount, size_bytes, free_bytes }
    }
}

prop_compose! {
    fn any_facts()(
        words in proptest::collection::vec(maybe(text()), WORDS),
        like in proptest::collection::vec(text(), 0..4),
        disks in proptest::collection::vec(disk(), 0..4),
        addresses: Vec<IpAddr>,
        cpus: Option<u32>,
        numbers: [Option<u64>; 3],
    ) -> facts::Facts {
        let word = |place: usize| words[place].clone();
        facts::Facts {
            os: Os { id: word(0), version: word(1), name: word(2), like },
            kernel: word(3),
            kernel_release: word(4),
            arch: word(5),
            hostname: word(6),
            virt: word(7),
            pkg: word(8),
            init: word(9),
            cpus,
            mem_bytes: numbers[0],
            swap_bytes: numbers[1],
            uptime_s: numbers[2],
            disks,
            addresses,
        }
    }
}

prop_compose! {
    fn any_host()(
        name in "[a-zü0-9_.:%][a-zü0-9_.:%-]{0,20}",
        address in maybe(text()),
        user in maybe(text()),
        port: Option<u16>,
        reach in maybe(prop_oneof![Just(Reach::Local), Just(Reach::Ssh), Just(Reach::Agent)]),
        credential in maybe("[a-z][a-z0-9-]{0,9}"),
        labels in proptest::collection::btree_map(text(), text(), 0..5),
    ) -> HostRecord {
        HostRecord {
            name: name.parse().expect("a name"),
            address,
            user,
            port,
            reach,
            credential: credential.map(|name| name.parse().expect("a name")),
            labels,
        }
    }
}

fn kept(host: &HostRecord, labels: &str) -> Result<Host, Error> {
    Host::new(&Parts {
        name: host.name.as_str(),
        address: host.address.as_deref(),
        user: host.user.as_deref(),
        port: host.port,
        reach: host.reach,
        credential: host.credential.as_ref().map(CredentialName::as_str),
        labels: serde_json::from_str(labels).expect("labels"),
    })
}

const WORD: [Word; WORDS] = [
    Word::OsId,
    Word::OsVersion,
    Word::OsName,
    Word::Kernel,
    Word::KernelRelease,
    Word::Arch,
    Word::Hostname,
    Word::Virt,
    Word::Pkg,
    Word::Init,
];

proptest! {
    #[test]
    fn facts_are_told_as_they_were_said(facts in any_facts()) {
        let json = serde_json::to_string(&facts).expect("JSON");
        let kept: Facts = serde_json::from_str(&json).expect("facts");
        prop_assert_eq!(kept.record(), facts.clone());
        for word in WORD {
            prop_assert_eq!(kept.word(word), facts.word(word));
        }
        for place in 0..6 {
            prop_assert_eq!(kept.like(place), facts.like(place));
            prop_assert_eq!(kept.disk(place), facts.disk(place));
        }
        prop_assert_eq!(kept.addresses(), facts.addresses());
        let numbers = |of: &dyn selector::System| (of.cpus(), of.mem_bytes(), of.swap_bytes(), of.uptime_s());
        prop_assert_eq!(numbers(&kept), numbers(&facts));
    }

    #[test]
    fn a_host_is_told_as_it_was_written(host in any_host()) {
        let labels = serde_json::to_string(&host.labels).expect("JSON");
        let kept = kept(&host, &labels).expect("a host");
        prop_assert_eq!(kept.record().expect("a record"), host.clone());
        let told = |of: &dyn selector::Host| {
            let texts = [Some(of.name()), of.address(), of.user(), of.credential()];
            (texts.map(|text| text.map(str::to_owned)), of.port(), of.reach())
        };
        prop_assert_eq!(told(&kept), told(&host));
        for key in host.labels.keys().map(String::as_str).chain(["none"]) {
            prop_assert_eq!(kept.label(key), host.label(key));
        }
    }
}

#[test]
fn of_a_label_that_stands_twice_the_last_one_counts() {
    let host = HostRecord::named("a".parse().expect("a name"));
    let kept = kept(&host, r#"{"k": "1", "l": "2", "k": "3"}"#).expect("a host");
    assert_eq!(kept.label("k"), Some("3"));
    assert_eq!(kept.record().expect("a record").labels["k"], "3");
}

#[test]
fn what_is_no_facts_is_refused() {
    for json in [
        "",
        "[1]",
        r#"{"cpus": "many"}"#,
        r#"{"os": {"id": 5}}"#,
        r#"{"os": {}"#,
    ] {
        assert!(serde_json::from_str::<Facts>(json).is_err(), "{json}");
        assert!(serde_json::from_str::<facts::Facts>(json).is_err(), "{json}");
    }
    let unknown: Facts = serde_json::from_str(r#"{"later": [1, {}], "arch": "x"}"#).expect("facts");
    assert_eq!(
        unknown.word(Word::Arch),
        Some("x"),
        "what a later release writes is passed over"
    );
}

#[test]
fn what_is_no_name_is_refused() {
    let mut parts = Parts {
        name: "a b",
        address: None,
        user: None,
        port: None,
        reach: None,
        credential: None,
        labels: Labels::default(),
    };
    assert!(matches!(Host::new(&parts), Err(Error::Name(_))));
    parts.name = "a";
    parts.credential = Some("-x");
    assert!(matches!(Host::new(&parts), Err(Error::Credential(_))));
}
