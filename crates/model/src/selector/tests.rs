//! The language: what selectors mean, what is wrong with others, and what holds for any.

mod guide;

use proptest::prelude::*;

use super::*;
use crate::Timestamp;
use crate::facts::{Disk, Facts, Os};
use crate::host::HostRecord;
use crate::inventory::GroupName;

const HOUR: i64 = 3_600_000_000;

fn host() -> HostRecord {
    serde_json::from_str(
        r#"{"name": "web1", "address": "192.0.2.1", "port": 2222, "user": "root", "credential": "site",
            "labels": {"env": "prod", "rack": "12", "weird key": "x", "app.kubernetes.io/name": "shop"}}"#,
    )
    .expect("a host")
}

fn facts() -> Facts {
    let disk = |mount: &str, size_bytes, free_bytes| Disk {
        device: "/dev/sda".to_owned(),
        mount: mount.to_owned(),
        size_bytes,
        free_bytes,
    };
    Facts {
        os: Os {
            id: Some("ubuntu".to_owned()),
            like: vec!["debian".to_owned()],
            version: Some("22.04".to_owned()),
            name: Some("Ubuntu 22.04.3 LTS".to_owned()),
        },
        kernel_release: Some("6.5.0-14-generic".to_owned()),
        arch: Some("x86_64".to_owned()),
        cpus: Some(4),
        mem_bytes: Some(8_200_000_000),
        swap_bytes: Some(0),
        disks: vec![
            disk("/", 50_000_000_000, 10_000_000_000),
            disk("/var", 100_000_000_000, 1_000_000_000),
        ],
        addresses: vec!["10.1.2.3".parse().expect("v4"), "fd00::1".parse().expect("v6")],
        uptime_s: Some(40 * 86_400),
        pkg: Some("apt".to_owned()),
        ..Facts::default()
    }
}

fn groups() -> Vec<GroupName> {
    ["web", "rack-1"]
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect()
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}\n{}", error.pointed()))
}

/// Asks for the host of these tests, with facts of three hours ago, and checks that the explanation agrees.
fn takes(text: &str) -> bool {
    let (host, facts, groups) = (host(), facts(), groups());
    ask(
        text,
        &Subject {
            host: &host,
            groups: &groups,
            facts: Some(Gathered {
                facts: &facts,
                at: Timestamp(HOUR),
            }),
            now: Timestamp(4 * HOUR),
        },
    )
}

/// The same for a host of which nothing is known.
fn takes_unknown(text: &str) -> bool {
    let host: HostRecord = serde_json::from_str(r#"{"name": "new"}"#).expect("a host");
    ask(
        text,
        &Subject::<GroupName> {
            host: &host,
            groups: &[],
            facts: None,
            now: Timestamp(0),
        },
    )
}

fn ask(text: &str, subject: &Subject<'_>) -> bool {
    let selector = selector(text);
    assert_eq!(
        selector.explain(subject).truth,
        selector.matches(subject),
        "{text}"
    );
    assert_eq!(
        Selector::parse(&selector.to_string()).as_ref(),
        Ok(&selector),
        "{text}"
    );
    selector.matches(subject)
}

#[test]
fn every_field_is_read() {
    for text in [
        "os.id == \"debian\" && mem_gb >= 8 && \"web\" in groups || os.id == 'ubuntu'",
        "name == \"web1\" and address == \"192.0.2.1\" and port == 2222 and user == \"root\"",
        "reach == \"ssh\" and credential == \"site\"",
        "\"web\" in groups and \"db\" not in groups",
        "labels.env == \"prod\" and label.env == \"prod\" and labels[\"weird key\"] == \"x\"",
        "labels[\"app.kubernetes.io/name\"] == \"shop\"",
        "labels.rack == 12 and labels.rack < 13 and labels.rack == \"12\" and labels.rack in [11, 12]",
        "os.version >= \"20.04\" and os.version < \"22.10\" and os.name like \"Ubuntu*LTS\"",
        "\"debian\" in os.like and kernel_release >= \"6.5\" and arch == \"x86_64\" and pkg == \"apt\"",
        "cpus == 4 and cpus in [2, 4] and cpus not in [8] and 2 <= cpus and 5 > cpus",
        "mem_gb >= 8 and mem_mb >= 8000 and mem_bytes == 8200000000 and mem_gb < 8G and mem_gb > 7.5G",
        "swap_gb == 0 and swap_bytes <= 0",
        "disk_free_gb[\"/\"] == 10 and disk_free_gb[\"/home/x\"] == 10 and disk_free_gb[\"/var/log\"] == 1",
        "disk_size_gb[\"/var\"] == 100 and disk_free_gb[\"/various\"] == 10",
        "\"10.0.0.0/8\" in addresses and \"10.1.2.3\" in addresses and \"fd00::/16\" in addresses",
        "\"10.2.0.0/16\" not in addresses and \"::/0\" in addresses and \"0.0.0.0/0\" in addresses",
        "uptime_d == 40 and uptime_d > 30d and uptime_s > 5w and uptime_h >= 960",
        "facts_age_h == 3 and facts_age_h < 1d and facts_age_s == 10800",
        "groups like \"rack-*\" and name like \"web?\" and name not like \"db*\"",
        "name in [\"web2\", \"web1\"] and os.id not in [\"debian\"]",
        "has(os.id) and has(groups) and has(addresses) and has(labels.env) and has(disk_free_gb[\"/\"])",
        "!has(virt) and !has(labels.none) and not has(init)",
        "true and !false",
    ] {
        assert!(takes(text), "{text}");
    }
}

#[test]
fn and_binds_tighter_than_or_and_not_tightest() {
    for (text, canonical) in [
        ("true or false and false", "true || false && false"),
        ("(true or false) and false", "(true || false) && false"),
        ("not true or true", "!true || true"),
        ("!(true || true)", "!(true || true)"),
        ("! os.id == 'x' && true", "!(os.id == \"x\") && true"),
        ("((true && (true && false)))", "true && true && false"),
        ("not not ! has( os.id )", "!!!has(os.id)"),
        ("8 < cpus", "cpus > 8"),
        ("name in ['b','a','b']", "name in [\"a\", \"b\"]"),
        (
            "label['a b'] == 'x\\'\\u{1b}'",
            "labels[\"a b\"] == \"x'\\u{1b}\"",
        ),
        ("mem_gb >= 1.50G", "mem_gb >= 1.5G"),
        ("'10.0.0.1' in addresses", "\"10.0.0.1/32\" in addresses"),
        ("\n true\tand\r\n true ", "true && true"),
    ] {
        assert_eq!(selector(text).to_string(), canonical, "{text}");
    }
    assert!(takes("true or false and false"));
    assert!(!takes("(true or false) and false"));
}

#[test]
fn what_is_missing_is_neither_equal_nor_different() {
    for text in [
        "os.id == \"debian\"",
        "os.id != \"debian\"",
        "os.id not in [\"debian\"]",
        "os.id not like \"d*\"",
        "\"debian\" not in os.like",
        "\"10.0.0.0/8\" not in addresses",
        "mem_gb < 8",
        "cpus not in [1]",
        "facts_age_h > 1",
        "labels.env != \"prod\"",
        "disk_free_gb[\"/\"] >= 0",
        "has(os.id)",
        "has(groups)",
        "has(facts_age_h)",
        "port == 22",
    ] {
        assert!(!takes_unknown(text), "{text}");
        assert!(takes_unknown(&format!("not ({text})")), "{text}");
    }
    assert!(takes_unknown(
        "reach == \"ssh\" and address == \"new\" and \"web\" not in groups"
    ));
    assert!(
        !takes("labels.env == 12 or labels.env != 12"),
        "no number is in prod"
    );
}

#[test]
fn errors_say_the_column_what_was_found_and_what_would_be_right() {
    for (text, column, found, reason) in [
        (
            "",
            1,
            "",
            "a comparison is missing: write it as in os.id == \"debian\"",
        ),
        ("os.id ==", 9, "", "a value is missing"),
        (
            "os.id",
            6,
            "",
            "a comparison is missing: write it as in os.id == \"debian\"",
        ),
        (
            "mem_gb == \"x\"",
            11,
            "\"x\"",
            "mem_gb is a number: write it without quotes, as in mem_gb >= 8",
        ),
        (
            "os.version >= 22.04",
            15,
            "22.04",
            "os.version is a text: write it in quotes",
        ),
        ("os.idd == \"x\"", 1, "os.idd", "did you mean os.id?"),
        ("memgb > 8", 1, "memgb", "did you mean mem_gb?"),
        ("version == \"1\"", 1, "version", "did you mean os.version?"),
        ("quux == \"1\"", 1, "quux", "is no field: fields are name, groups"),
        ("true AND true", 6, "AND", "write && or ||"),
        ("NOT true", 1, "NOT", "operators are written in lower case, not"),
        ("os.id = \"x\"", 7, "=", "write == for equal"),
        ("true & true", 6, "&", "write && or and"),
        ("true | true", 6, "|", "write || or or"),
        ("os.id == “x”", 10, "“", "straight quotes"),
        ("os.id == debian", 10, "debian", "texts stand in quotes"),
        ("os.id == \"x", 10, "\"x", "has no closing quote"),
        ("os.id == \"\\q\"", 11, "\\q", "is no escape"),
        ("os.id == \"\\u{d800}\"", 11, "\\u{d800}", "is no escape"),
        ("(true", 1, "(", "has no closing parenthesis"),
        ("true)", 5, ")", "was not opened"),
        ("(true true)", 7, "true", "does not belong here"),
        ("&& true", 1, "&&", "has nothing before it"),
        ("true ||", 8, "", "a comparison is missing"),
        ("groups == \"web\"", 8, "==", "write \"name\" in groups"),
        ("groups in [\"web\"]", 1, "groups", "is a list itself"),
        ("\"web\" in name", 10, "name", "is not a list"),
        ("8 in groups", 1, "8", "lists hold texts"),
        (
            "\"10.0.0.0/33\" in addresses",
            1,
            "\"10.0.0.0/33\"",
            "is no address",
        ),
        ("os.id in \"x\"", 10, "\"x\"", "is not a list"),
        ("os.id in []", 11, "]", "is not a value"),
        ("os.id in [\"a\" \"b\"]", 15, "\"b\"", "is not a comma or ]"),
        ("labels.x in [\"a\", 1]", 19, "1", "another kind"),
        ("os.id not == \"x\"", 11, "==", "is not in or like"),
        ("cpus like \"4\"", 6, "like", "cpus is none"),
        ("cpus > 8G", 8, "8G", "has a unit"),
        ("mem_gb > 8d", 10, "8d", "is a time"),
        ("uptime_d > 8G", 12, "8G", "is a size"),
        ("labels.x > 8G", 12, "8G", "labels have none"),
        ("mem_gb > 8x", 10, "8x", "has no unit"),
        (
            "cpus > 99999999999999999999",
            8,
            "99999999999999999999",
            "too large",
        ),
        ("os.version > 1.2.3", 17, ".", "texts stand in quotes"),
        ("labels == \"x\"", 1, "labels", "needs the key of a label"),
        ("disk_free_gb > 1", 1, "disk_free_gb", "needs a path"),
        ("disk_free_gb[1] > 1", 1, "disk_free_gb[1", "needs a path"),
        ("has os.id", 5, "os.id", "is not a parenthesis"),
        ("os.id == true", 10, "true", "no field is true or false"),
        ("mem_gb > -1", 10, "-", "below zero"),
        ("name ~ \"x\"", 6, "~", "write like"),
        ("labels.ä == \"x\"", 8, "ä", "write a comparison"),
        ("name == \"ä\" && x", 16, "x", "is no field"),
    ] {
        let error = Selector::parse(text).expect_err(text);
        assert_eq!(
            (error.column(), error.found()),
            (column, found),
            "{text}: {error}"
        );
        let written = error.to_string();
        assert!(written.contains(reason), "{text}: {written}");
        assert!(
            written.starts_with(&format!("selector, column {column}: ")),
            "{written}"
        );
    }
}

#[test]
fn a_caret_shows_the_place() {
    let error = Selector::parse("name == \"ä\" && mem_gb == \"x\"").expect_err("types");
    let line = "name == \"ä\" && mem_gb == \"x\"";
    assert_eq!(error.pointed(), format!("{line}\n{}^", " ".repeat(25)));
    let long = format!("{} x", "true &&\n".repeat(100));
    let pointed = Selector::parse(&long).expect_err("no field").pointed();
    let (text, caret) = pointed.split_once('\n').expect("two lines");
    assert!(text.starts_with('…') && text.chars().count() < 110, "{text}");
    assert_eq!(text.chars().nth(caret.len() - 1), Some('x'), "{pointed}");
}

#[test]
fn errors_are_harmless_and_short() {
    let error = Selector::parse(&format!("\u{1b}]0;x\u{7} {}", "y".repeat(5000))).expect_err("no selector");
    let written = format!("{error}{}", error.pointed().replace('\n', ""));
    assert!(!written.contains(crate::sanitise::is_treacherous), "{written:?}");
    assert!(written.len() < 600, "{written}");
}

#[test]
fn length_and_depth_have_limits() {
    let deep = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Selector::parse(&deep(DEPTH)).is_ok());
    let error = Selector::parse(&deep(DEPTH + 1)).expect_err("too deep");
    assert_eq!(error.column(), DEPTH + 1);
    assert!(Selector::parse(&format!("{}true", "!".repeat(DEPTH))).is_ok());
    assert!(Selector::parse(&format!("{}true", "!".repeat(DEPTH + 1))).is_err());
    assert!(Selector::parse(&"(".repeat(SELECTOR_BYTES)).is_err());
    let wide = vec!["true"; SELECTOR_BYTES / 8 - 1].join(" && ");
    assert!(Selector::parse(&wide).is_ok());
    let error = Selector::parse(&format!("{wide}{}", " ".repeat(SELECTOR_BYTES))).expect_err("too long");
    assert!(error.to_string().contains("65536 bytes"), "{error}");
    let pattern = format!("name like \"{}\"", "*a".repeat(200));
    assert!(Selector::parse(&pattern).is_err());
}

#[test]
fn a_selector_says_what_it_reads() {
    let needs = |text: &str| {
        let needs = selector(text).needs();
        (needs.facts, needs.labels, needs.groups)
    };
    assert_eq!(
        needs("name == \"x\" or reach == \"ssh\" or true"),
        (false, false, false)
    );
    assert_eq!(needs("not (labels.env == \"x\")"), (false, true, false));
    assert_eq!(needs("has(groups) and facts_age_h < 1"), (true, false, true));
}

#[test]
fn an_explanation_says_what_was_seen_and_what_decided() {
    let (host, facts, groups) = (host(), facts(), groups());
    let subject = Subject {
        host: &host,
        groups: &groups,
        facts: Some(Gathered {
            facts: &facts,
            at: Timestamp(0),
        }),
        now: Timestamp(HOUR),
    };
    let text = "os.id == \"debian\" && (mem_gb >= 8 || has(virt)) && !(\"web\" in groups)";
    let explanation = selector(text).explain(&subject);
    assert_eq!(
        explanation.to_string(),
        "no  os.id == \"debian\" && (mem_gb >= 8 || has(virt)) && !(\"web\" in groups)\n\
         no    os.id == \"debian\"  (os.id is \"ubuntu\")\n\
         yes   mem_gb >= 8 || has(virt)\n\
         yes     mem_gb >= 8  (mem_gb is 8.2)\n\
         no      has(virt)  (virt is not known)\n\
         no    !(\"web\" in groups)\n\
         yes     \"web\" in groups  (groups is [\"web\", \"rack-1\"])"
    );
    let guide = include_str!("../../../../docs/guide/selectors.md");
    let shown: Vec<&str> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    assert!(shown.join("\n").contains(&explanation.to_string()), "the guide");
    let decisive: Vec<&str> = explanation
        .decisive()
        .iter()
        .map(|part| part.text.as_str())
        .collect();
    assert_eq!(decisive, ["os.id == \"debian\"", "\"web\" in groups"]);
    let unknown = Subject {
        facts: None,
        ..subject
    };
    let saw = selector("cpus > 1").explain(&unknown).saw;
    assert_eq!(saw.as_deref(), Some("cpus is not known: no facts were gathered"));
}

#[test]
fn a_hundred_thousand_hosts_take_a_moment() {
    let (host, facts, groups) = (host(), facts(), groups());
    let selector = selector(
        "(os.id == \"ubuntu\" && os.version >= \"20.04\" && mem_gb >= 8 && \"rack-1\" in groups \
         && labels.env == \"prod\" && disk_free_gb[\"/var\"] > 100) || \"10.99.0.0/16\" in addresses",
    );
    let start = std::time::Instant::now();
    let count = (0..100_000)
        .filter(|_| {
            let subject = Subject {
                host: std::hint::black_box(&host),
                groups: &groups,
                facts: Some(Gathered {
                    facts: &facts,
                    at: Timestamp(0),
                }),
                now: Timestamp(HOUR),
            };
            selector.matches(&subject)
        })
        .count();
    let took = start.elapsed();
    assert_eq!(count, 0);
    println!("100,000 hosts in {took:?}");
    assert!(took < std::time::Duration::from_secs(2), "{took:?}");
}

/// Selectors of all kinds, most of them right.
fn any_selector() -> impl Strategy<Value = String> {
    let text = "\"([ -!#-\\[\\]-~äß€]|\\\\n|\\\\u\\{202e\\}){0,6}\"";
    let operator = "(==|!=|<|<=|>|>=)";
    let tests = [
        format!("(name|os\\.id|os\\.version|labels\\.env|labels\\[{text}\\]|virt) {operator} {text}"),
        format!("(cpus|port|labels\\.rack) {operator} [0-9]{{1,3}}(\\.[0-9]{{1,3}})?"),
        format!("[0-9]{{1,9}}(k|G|MiB|)? {operator} (mem_gb|swap_mb|disk_free_gb\\[\"/var\"\\])"),
        format!("(uptime_d|facts_age_h) {operator} [0-9]{{1,4}}(s|min|h|d|)?"),
        format!("(name|os\\.id|labels\\.env) (not )?in \\[{text}(, {text}){{0,3}}\\]"),
        "(\"web\"|\"rack-1\"|\"x\") (not )?in (groups|os\\.like)".to_owned(),
        "\"10\\.[0-9]\\.0\\.0/(8|16|24)\" (not )?in addresses".to_owned(),
        "(name|groups|os\\.name) (not )?like \"[a-cw*?]{0,4}\"".to_owned(),
        "has\\((os\\.id|virt|labels\\.env|groups)\\)|true|false".to_owned(),
    ];
    let test = proptest::string::string_regex(&tests.join("|")).expect("a pattern");
    test.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            (proptest::collection::vec(inner.clone(), 2..4), any::<bool>())
                .prop_map(|(parts, all)| parts.join(if all { " && " } else { " or " })),
            inner.clone().prop_map(|part| format!("({part})")),
            inner.prop_map(|part| format!("not {part}")),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_out_is_read_as_the_same(text in any_selector()) {
        prop_assert_eq!(takes(&text), takes(&selector(&text).to_string()));
        takes_unknown(&text);
    }

    #[test]
    fn what_decides_has_decided(text in any_selector()) {
        let (host, groups) = (host(), groups());
        let subject = Subject { host: &host, groups: &groups, facts: None, now: Timestamp(0) };
        let explanation = selector(&text).explain(&subject);
        prop_assert!(!explanation.decisive().is_empty());
    }

    #[test]
    fn any_text_is_read_or_refused_with_its_place(text in "\\PC{0,60}|[a-z.()!&|=<>\"' \\[\\],0-9]{0,60}") {
        if let Err(error) = Selector::parse(&text) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.column()));
            prop_assert!(!error.to_string().contains(crate::sanitise::is_treacherous));
        }
    }
}
