//! `known_hosts` on texts, with keys and certificates made on the spot.

use std::path::Path;
use std::sync::Arc;

use muster_model::Timestamp;
use muster_model::host_key::{Decision, HostKey, KnownHost};
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{Algorithm, Certificate, PrivateKey};

use super::entry::hash_of;
use super::{KnownHosts, Names, Verdict, known_algorithms};

const NOW: u64 = 1_800_000_000;

fn key() -> PrivateKey {
    PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap()
}

fn blob(key: &PrivateKey) -> Vec<u8> {
    key.public_key().to_bytes().unwrap()
}

fn line(names: &str, key: &PrivateKey) -> String {
    format!("{names} {}", key.public_key().to_openssh().unwrap())
}

fn file(lines: &[String]) -> Vec<Arc<KnownHosts>> {
    vec![Arc::new(KnownHosts::read(Path::new("/known"), &lines.join("\n")))]
}

fn names(name: &str) -> Names {
    Names {
        names: vec![name.to_owned()],
        without_port: Vec::new(),
        principal: name.to_owned(),
    }
}

/// Judges a key where nothing is pinned.
fn judge(
    files: &[Arc<KnownHosts>],
    names: &Names,
    key: &[u8],
    presented: Option<&Certificate>,
    now: u64,
) -> Verdict {
    let key = HostKey::read(key.to_vec()).unwrap();
    super::judge(files, &KnownHost::default(), names, &key, presented, now)
}

fn verdict(lines: &[String], name: &str, presented: &PrivateKey) -> Verdict {
    judge(&file(lines), &names(name), &blob(presented), None, NOW)
}

fn certificate(authority: &PrivateKey, key: &PrivateKey, edit: fn(&mut Builder)) -> Certificate {
    certificate_for(CertType::Host, authority, key, edit)
}

fn certificate_for(
    kind: CertType,
    authority: &PrivateKey,
    key: &PrivateKey,
    edit: fn(&mut Builder),
) -> Certificate {
    let mut builder =
        Builder::new_with_random_nonce(&mut rand::rng(), key.public_key(), NOW - 100, NOW + 100).unwrap();
    builder.cert_type(kind).unwrap();
    edit(&mut builder);
    builder.sign(authority).unwrap()
}

#[test]
fn names_patterns_ports_and_hashes_are_found() {
    let key = key();
    let hashed = |name: &str| {
        let encode = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        format!("|1|{}|{}", encode(b"salt"), encode(&hash_of(name, b"salt")))
    };
    for (known, name) in [
        ("web1", "web1"),
        ("WEB1,10.0.0.1", "10.0.0.1"),
        ("[web1]:2222", "[web1]:2222"),
        ("*.example.com,!bad.example.com", "good.example.com"),
        ("web?", "web9"),
        (hashed("web1").as_str(), "web1"),
        (hashed("[web1]:2222").as_str(), "[web1]:2222"),
    ] {
        assert_eq!(
            verdict(&[line(known, &key)], name, &key),
            Verdict::Known,
            "{known} {name}"
        );
    }
    for (known, name) in [
        ("web1", "web2"),
        ("web1", "[web1]:2222"),
        ("*.example.com,!bad.example.com", "bad.example.com"),
        (hashed("web1").as_str(), "web2"),
    ] {
        assert_eq!(
            verdict(&[line(known, &key)], name, &key),
            Verdict::Unknown,
            "{known} {name}"
        );
    }
}

#[test]
fn another_key_of_a_known_host_is_a_change_and_names_the_line() {
    let (old, new) = (key(), key());
    let ecdsa = PrivateKey::random(
        &mut rand::rng(),
        Algorithm::Ecdsa {
            curve: russh::keys::EcdsaCurve::NistP256,
        },
    )
    .unwrap();
    let lines = [
        "# comment".to_owned(),
        line("web1", &ecdsa),
        line("web1,web2", &old),
    ];
    let Verdict::Changed(found) = verdict(&lines, "web1", &new) else {
        panic!("not a change");
    };
    // The line of the same type is the one to name.
    assert_eq!((found.line, found.algorithm.as_str()), (3, "ssh-ed25519"));
    let Verdict::Changed(found) = verdict(&lines[..2], "web1", &new) else {
        panic!("a key of another type is a change as well");
    };
    assert_eq!(found.line, 2);
    assert_eq!(verdict(&lines, "web1", &old), Verdict::Known);
    assert_eq!(verdict(&lines, "web1", &ecdsa), Verdict::Known);
}

#[test]
fn a_revoked_key_is_refused_though_another_line_knows_it() {
    let key = key();
    let lines = [line("web1", &key), line("@revoked *", &key)];
    assert!(matches!(verdict(&lines, "web1", &key), Verdict::Revoked(found) if found.line == 2));
}

#[test]
fn the_name_without_the_port_is_good_for_the_same_key_only() {
    let (known, other) = (key(), key());
    let names = Names {
        names: vec!["[web1]:2222".into()],
        without_port: vec!["web1".into()],
        principal: "web1".into(),
    };
    let files = file(&[line("web1", &known)]);
    assert_eq!(judge(&files, &names, &blob(&known), None, NOW), Verdict::Known);
    assert_eq!(judge(&files, &names, &blob(&other), None, NOW), Verdict::Unknown);
}

#[test]
fn a_trusted_authority_vouches_for_a_host_by_name_and_time() {
    let (authority, host) = (key(), key());
    let files = file(&[line("@cert-authority *.example.com", &authority)]);
    let judged = |edit: fn(&mut Builder), now: u64| {
        let certificate = certificate(&authority, &host, edit);
        judge(
            &files,
            &names("a.example.com"),
            &blob(&host),
            Some(&certificate),
            now,
        )
    };
    let good: fn(&mut Builder) = |builder| {
        builder.valid_principal("a.example.com").unwrap();
    };
    assert_eq!(judged(good, NOW), Verdict::Known);
    let bad = |verdict: Verdict, wanted: &str| match verdict {
        Verdict::BadCertificate(why) => assert!(why.contains(wanted), "{why}"),
        other => panic!("{other:?}"),
    };
    bad(judged(good, NOW + 200), "expired");
    bad(judged(good, NOW - 200), "not valid yet");
    bad(
        judged(
            |builder| {
                builder.valid_principal("b").unwrap();
            },
            NOW,
        ),
        "made out for b",
    );
    bad(
        judged(
            |builder| {
                builder.all_principals_valid().unwrap();
            },
            NOW,
        ),
        "no host at all",
    );
    let user = certificate_for(CertType::User, &authority, &host, good);
    let judged = judge(&files, &names("a.example.com"), &blob(&host), Some(&user), NOW);
    bad(judged, "for a user");
}

#[test]
fn an_authority_for_a_name_is_one_for_all_its_ports() {
    let (authority, host) = (key(), key());
    let files = file(&[line("@cert-authority web1", &authority)]);
    let names = Names {
        names: vec!["[web1]:2222".into()],
        without_port: vec!["web1".into()],
        principal: "web1".into(),
    };
    let certificate = certificate(&authority, &host, |builder| {
        builder.valid_principal("web1").unwrap();
    });
    let judged = judge(&files, &names, &blob(&host), Some(&certificate), NOW);
    assert_eq!(judged, Verdict::Known);
}

#[test]
fn a_certificate_of_a_stranger_is_only_the_key_inside() {
    let (stranger, host) = (key(), key());
    let certificate = certificate(&stranger, &host, |builder| {
        builder.valid_principal("web1").unwrap();
    });
    let judged = |lines: &[String]| {
        judge(
            &file(lines),
            &names("web1"),
            &blob(&host),
            Some(&certificate),
            NOW,
        )
    };
    assert_eq!(judged(&[]), Verdict::Unknown);
    assert_eq!(judged(&[line("web1", &host)]), Verdict::Known);
    assert!(matches!(
        judged(&[line("@revoked *", &stranger)]),
        Verdict::Revoked(_)
    ));
}

#[test]
fn lines_that_say_nothing_usable_are_passed_over() {
    let key = key();
    let text = [
        "",
        "# web1",
        "web1",
        "web1 ssh-ed25519",
        "web1 ssh-ed25519 !!!!",
        "web1 ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ",
        "@unknown web1 ssh-ed25519 AAAA",
        "|2|a|b ssh-ed25519 AAAA",
        "web1 1024 35 1234567890",
    ];
    let mut lines: Vec<String> = text.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(verdict(&lines, "web1", &key), Verdict::Unknown);
    lines.push(format!(
        "\t web1   {}  a comment",
        key.public_key().to_openssh().unwrap()
    ));
    assert_eq!(verdict(&lines, "web1", &key), Verdict::Known);
}

#[test]
fn known_algorithms_are_asked_for_first() {
    let (key, authority) = (key(), key());
    let files = file(&[line("web1", &key), line("@cert-authority web1", &authority)]);
    assert_eq!(
        known_algorithms(&files, &names("web1")),
        (vec!["ssh-ed25519".to_owned()], true)
    );
    assert_eq!(known_algorithms(&files, &names("web2")), (vec![], false));
}

#[test]
fn what_is_pinned_decides_before_the_files_and_after_what_is_revoked_or_vouched_for() {
    let (known, other, authority) = (key(), key(), key());
    let shown = |key: &PrivateKey| HostKey::read(blob(key)).unwrap();
    let pinned = |keys: &[&PrivateKey]| {
        let mut host = KnownHost::default();
        let keys: Vec<HostKey> = keys.iter().map(|key| shown(key)).collect();
        host.decide(&Decision::Pin(keys), Timestamp(0)).unwrap();
        host
    };
    let verdict = |lines: &[String], pins: &KnownHost, key: &PrivateKey, presented: Option<&Certificate>| {
        super::judge(&file(lines), pins, &names("web1"), &shown(key), presented, NOW)
    };
    let certificate = certificate(&authority, &other, |builder| {
        builder.valid_principal("web1").unwrap();
    });
    let (in_files, both) = (line("web1", &other), pinned(&[&known, &other]));
    let (known_pin, other_pin) = (pinned(&[&known]), pinned(&[&other]));
    let trusted = line("@cert-authority *", &authority);
    let revoked = line("@revoked *", &other);
    for (case, lines, pins, presented, expected) in [
        ("pinned alone", vec![], &other_pin, None, Verdict::Known),
        ("one of two", vec![], &both, None, Verdict::Known),
        ("another one", vec![], &known_pin, None, Verdict::NotPinned),
        (
            "in the files alone",
            vec![&in_files],
            &KnownHost::default(),
            None,
            Verdict::Known,
        ),
        (
            "in the files, not pinned",
            vec![&in_files],
            &known_pin,
            None,
            Verdict::NotPinned,
        ),
        (
            "vouched for",
            vec![&trusted],
            &known_pin,
            Some(&certificate),
            Verdict::Known,
        ),
        (
            "by a stranger",
            vec![],
            &known_pin,
            Some(&certificate),
            Verdict::NotPinned,
        ),
    ] {
        let lines: Vec<String> = lines.into_iter().cloned().collect();
        assert_eq!(verdict(&lines, pins, &other, presented), expected, "{case}");
    }
    let judged = verdict(&[trusted, revoked], &other_pin, &other, Some(&certificate));
    assert!(matches!(judged, Verdict::Revoked(_)), "{judged:?}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_file_and_knows_nobody_by_chance(text in "(?s).{0,300}", name in "[a-z.*?!\\[\\]:|0-9]{0,20}") {
        let files = vec![Arc::new(KnownHosts::read(Path::new("/known"), &text))];
        proptest::prop_assert_eq!(judge(&files, &names(&name), &[0, 0, 0, 1, b'x'], None, NOW), Verdict::Unknown);
    }
}
