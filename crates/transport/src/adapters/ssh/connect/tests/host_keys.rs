//! Host keys: known, unknown, changed, revoked, hashed, signed by an authority, taken at first contact.

use std::sync::Arc;

use muster_model::host_key::{Decision, HostKey, KnownHost};
use muster_model::{ErrorKind, Unreachable};
use muster_testkit::keys::{self, KeyKind};
use muster_testkit::{Sshd, require};

use super::super::super::scan::scan;
use super::{Site, failed};
use crate::error::Error;
use crate::host_keys::HostKeys;
use crate::types::Access;

fn public(site: &Site, kind: KeyKind) -> String {
    let text = std::fs::read_to_string(keys::public(&site.sshd.host_key(kind))).expect("a key");
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

fn accepting(site: &Site) -> Access {
    Access {
        accept_new: true,
        ..site.access()
    }
}

#[tokio::test]
async fn a_known_host_is_trusted_by_each_type_of_key() {
    let site = Site::new(require!(Sshd::start().await));
    for kind in [KeyKind::Ed25519, KeyKind::Ecdsa256, KeyKind::Rsa3072] {
        // The host has three keys; the one that is known has to be asked for.
        site.known_hosts(&format!(
            "[127.0.1.1]:{} {}\n",
            site.sshd.port(),
            public(&site, kind)
        ));
        site.works(&site.access()).await;
    }
}

#[tokio::test]
async fn an_unknown_host_is_refused_with_its_fingerprint_and_advice() {
    let site = Site::new(require!(Sshd::start().await));
    site.known_hosts("");
    let fingerprint = keys::fingerprint(&site.sshd.host_key(KeyKind::Ed25519)).expect("a fingerprint");
    let port = site.sshd.port().to_string();
    let words = [
        fingerprint.as_str(),
        "ssh-ed25519",
        &site.path(".ssh/known_hosts").display().to_string(),
        &format!("ssh-keyscan -p {port} 127.0.1.1"),
        "--accept-new",
        &format!("muster hosts trust 127.0.1.1:{port} --scan"),
    ];
    site.fails(&site.access(), Unreachable::HostKeyUnknown, &words)
        .await;
    assert_eq!(site.known(), "", "nothing is written down without being asked");
    assert!(known(&site, 1).await.is_unknown());
}

#[tokio::test]
async fn a_changed_key_is_refused_even_where_new_ones_are_accepted() {
    let site = Site::new(require!(Sshd::start().await));
    let other = keys::generate(site.dir(), KeyKind::Ed25519, None).expect("a key");
    let other = std::fs::read_to_string(keys::public(&other)).expect("a key");
    let line = format!("# comment\n[127.0.1.1]:{} {other}", site.sshd.port());
    site.known_hosts(&line);
    let words = [
        "its key has changed",
        "line 2 of",
        &format!("ssh-keygen -R \"[127.0.1.1]:{}\"", site.sshd.port()),
    ];
    site.fails(&accepting(&site), Unreachable::HostKeyChanged, &words)
        .await;
    assert_eq!(site.known(), line);
    assert!(
        known(&site, 1).await.is_unknown(),
        "that is between the user and the file"
    );
}

#[tokio::test]
async fn a_host_known_by_another_type_of_key_only_is_a_change() {
    let sshd = Sshd::builder().host_key_types(&[KeyKind::Ed25519]).start().await;
    let site = Site::new(require!(sshd));
    let other = keys::generate(site.dir(), KeyKind::Ecdsa256, None).expect("a key");
    let other = std::fs::read_to_string(keys::public(&other)).expect("a key");
    site.known_hosts(&format!("[127.0.1.1]:{} {other}", site.sshd.port()));
    let words = ["ecdsa-sha2-nistp256"];
    site.fails(&accepting(&site), Unreachable::HostKeyChanged, &words)
        .await;
}

#[tokio::test]
async fn a_revoked_key_is_refused() {
    let site = Site::new(require!(Sshd::start().await));
    let mut known = site.known();
    for kind in [KeyKind::Ed25519, KeyKind::Ecdsa256, KeyKind::Rsa3072] {
        known.push_str(&format!("@revoked * {}\n", public(&site, kind)));
    }
    site.known_hosts(&known);
    site.fails(
        &accepting(&site),
        Unreachable::HostKeyRevoked,
        &["marked as revoked in line 4"],
    )
    .await;
}

#[tokio::test]
async fn a_list_of_revoked_keys_is_honoured() {
    let site = Site::new(require!(Sshd::start().await));
    let list = site.path("revoked");
    std::fs::write(&list, format!("# old\n{}\n", public(&site, KeyKind::Ed25519))).expect("written");
    site.config(&format!("RevokedHostKeys {}\n", list.display()));
    site.fails(&site.access(), Unreachable::HostKeyRevoked, &["is revoked in"])
        .await;
    std::fs::remove_file(&list).expect("removed");
    site.fails(
        &site.access(),
        Unreachable::Settings,
        &["RevokedHostKeys", "no such file"],
    )
    .await;
}

#[tokio::test]
async fn hashed_names_are_found() {
    let site = Site::new(require!(Sshd::start().await));
    let text = format!(
        "[127.0.1.1]:{} {}\n",
        site.sshd.port(),
        public(&site, KeyKind::Ed25519)
    );
    site.known_hosts(&text);
    keys::hash_known_hosts(&site.path(".ssh/known_hosts")).expect("hashed");
    assert!(site.known().starts_with("|1|"), "{}", site.known());
    site.works(&site.access()).await;
    let result = site.login(&site.sshd.host(2), &site.access()).await;
    failed(result, Unreachable::HostKeyUnknown, &[]);
}

/// The name under which a host is known.
fn name(site: &Site, host: u32) -> String {
    format!("[{}]:{}", site.sshd.host(host), site.sshd.port())
}

async fn known(site: &Site, host: u32) -> KnownHost {
    site.pins.known(&name(site, host)).await.expect("in memory")
}

/// Gives the sshd, which has one key, another; returns the fingerprints of both.
async fn change(site: &mut Site) -> (String, String) {
    let old = keys::fingerprint(&site.sshd.host_key(KeyKind::Ed25519)).expect("a fingerprint");
    let other = keys::generate(site.dir(), KeyKind::Ed25519, None).expect("a key");
    let new = keys::fingerprint(&other).expect("a fingerprint");
    site.sshd
        .change_host_key(KeyKind::Ed25519, &other)
        .await
        .expect("another key");
    (old, new)
}

async fn one_key() -> Result<Sshd, muster_testkit::Error> {
    Sshd::builder().host_key_types(&[KeyKind::Ed25519]).start().await
}

#[tokio::test]
async fn accept_new_pins_a_key_once_and_then_insists_on_it() {
    let site = Site::new(require!(Sshd::start().await));
    std::fs::remove_file(site.path(".ssh/known_hosts")).expect("removed");
    let access = accepting(&site);
    // All at once, as for a task on many hosts.
    let hosts: Vec<String> = (1..=6).map(|i| site.sshd.host(i % 3 + 1)).collect();
    let logins = futures_util::future::join_all(hosts.iter().map(|host| site.login(host, &access))).await;
    for login in logins {
        assert!(login.is_ok(), "{:?}", login.err());
    }
    for host in 1..=3 {
        let known = known(&site, host).await;
        assert_eq!((known.pinned.len(), known.offered.len()), (1, 0), "{known:?}");
        assert_eq!(known.pinned[0].algorithm, "ssh-ed25519");
    }
    assert!(
        !site.path(".ssh/known_hosts").exists(),
        "the user's files are left alone"
    );
    site.works(&site.access()).await;
}

#[tokio::test]
async fn ssh_config_may_say_accept_new() {
    let site = Site::new(require!(Sshd::start().await));
    site.known_hosts("");
    site.config("HashKnownHosts yes\nStrictHostKeyChecking accept-new\n");
    site.works(&site.access()).await;
    site.config("StrictHostKeyChecking yes\n");
    site.works(&site.access()).await;
    assert_eq!(site.known(), "", "the user's files are left alone");
}

#[tokio::test]
async fn a_pinned_key_that_changes_puts_the_host_into_quarantine_until_somebody_decides() {
    let mut site = Site::new(require!(one_key().await));
    site.known_hosts("");
    let before = site.dir().join("before");
    std::fs::copy(site.sshd.host_key(KeyKind::Ed25519), &before).expect("a copy");
    std::fs::copy(
        keys::public(&site.sshd.host_key(KeyKind::Ed25519)),
        keys::public(&before),
    )
    .expect("a copy");
    site.works(&accepting(&site)).await;
    let (old, new) = change(&mut site).await;
    let tried = site.sshd.logins();
    let trust = format!("muster hosts trust \"{}\"", name(&site, 1));
    let words = [old.as_str(), new.as_str(), "quarantine", &trust];
    for access in [accepting(&site), site.access()] {
        site.fails(&access, Unreachable::HostKeyChanged, &words).await;
    }
    // The old key that comes back ends nothing, and a host in quarantine is not even connected to.
    site.sshd
        .change_host_key(KeyKind::Ed25519, &before)
        .await
        .expect("the old key");
    let connections = site.sshd.log().matches("Connection from").count();
    site.fails(&site.access(), Unreachable::HostKeyChanged, &words)
        .await;
    assert_eq!(site.sshd.log().matches("Connection from").count(), connections);
    assert_eq!(site.sshd.logins(), tried, "nobody was logged in");
    // A person decides: first for the new key, which is not there any more.
    let name = name(&site, 1);
    site.pins
        .decide(&name, &Decision::Accept(new.clone()))
        .expect("it was offered");
    site.fails(&site.access(), Unreachable::HostKeyChanged, &[&old])
        .await;
    site.pins
        .decide(&name, &Decision::Accept(old))
        .expect("it was offered");
    site.works(&site.access()).await;
}

#[tokio::test]
async fn what_is_pinned_goes_before_the_files_and_one_host_may_have_several_keys() {
    let site = Site::new(require!(Sshd::start().await));
    let public_key = |kind| public(&site, kind).parse::<HostKey>().expect("a key");
    let both = vec![public_key(KeyKind::Rsa3072), public_key(KeyKind::Ecdsa256)];
    site.pins
        .decide(&name(&site, 1), &Decision::Pin(both))
        .expect("nothing was known");
    // The files know the key that the host would rather show; it is asked for one that is pinned.
    for algorithms in ["ssh-rsa,rsa-sha2-512", "ecdsa-sha2-nistp256", "^ssh-ed25519"] {
        site.config(&format!("HostKeyAlgorithms {algorithms}\n"));
        site.works(&site.access()).await;
    }
    site.config("HostKeyAlgorithms ssh-ed25519\n");
    site.fails(
        &site.access(),
        Unreachable::HostKeyChanged,
        &["ssh-ed25519", "ssh-rsa"],
    )
    .await;
}

/// An inventory that is away.
#[derive(Debug)]
struct Away;

#[async_trait::async_trait]
impl HostKeys for Away {
    async fn known(&self, _: &str) -> Result<KnownHost, Error> {
        Err(Error::new(ErrorKind::Unavailable, "read the keys of hosts"))
    }

    async fn show(&self, _: &str, _: &HostKey, _: bool) -> Result<KnownHost, Error> {
        Err(Error::new(ErrorKind::Unavailable, "write down the keys of hosts"))
    }
}

/// An inventory that can be read and not written.
#[derive(Debug)]
struct ReadOnly;

#[async_trait::async_trait]
impl HostKeys for ReadOnly {
    async fn known(&self, _: &str) -> Result<KnownHost, Error> {
        Ok(KnownHost::default())
    }

    async fn show(&self, name: &str, key: &HostKey, pin: bool) -> Result<KnownHost, Error> {
        Away.show(name, key, pin).await
    }
}

#[tokio::test]
async fn nobody_is_let_past_an_inventory_that_is_away() {
    let site = Site::new(require!(Sshd::start().await));
    for (keys, words) in [
        (Arc::new(Away) as Arc<dyn HostKeys>, "cannot be checked"),
        (Arc::new(ReadOnly), "could not be kept"),
    ] {
        // With the away one, a key in the files helps nothing; with the other, the host is new.
        if words == "could not be kept" {
            site.known_hosts("");
        }
        let settings = crate::Settings {
            host_keys: keys,
            ..site.settings()
        };
        let access = accepting(&site);
        let endpoint = site.endpoint(&site.sshd.host(1));
        let resolved = super::super::resolve(&settings, &endpoint, &access).expect("a way");
        let until = tokio::time::Instant::now() + access.connect_timeout;
        let result = super::super::login(&settings, &resolved, &access, until, &Arc::default()).await;
        failed(result, Unreachable::Settings, &[words, "not at hand"]);
    }
}

#[tokio::test]
async fn a_host_is_asked_for_its_keys_without_a_login() {
    let site = Site::new(require!(Sshd::start().await));
    site.known_hosts("");
    let settings = site.settings();
    let endpoint = site.endpoint(&site.sshd.host(1));
    let resolved = super::super::resolve(&settings, &endpoint, &site.plain()).expect("a way");
    let shown = scan(&settings, &resolved, &site.plain()).await.expect("keys");
    let shown: Vec<String> = shown.iter().map(HostKey::to_string).collect();
    let all = [KeyKind::Ed25519, KeyKind::Ecdsa256, KeyKind::Rsa3072];
    assert_eq!(shown, all.map(|kind| public(&site, kind)));
    assert_eq!(site.sshd.logins(), 0);
    assert!(
        known(&site, 1).await.is_unknown(),
        "it is for a person to pin them"
    );
    site.config("HostKeyAlgorithms ecdsa-*\n");
    let resolved = super::super::resolve(&settings, &endpoint, &site.plain()).expect("a way");
    let shown = scan(&settings, &resolved, &site.plain()).await.expect("keys");
    assert_eq!(shown.len(), 1);
}

#[tokio::test]
async fn a_host_certificate_is_trusted_through_its_authority() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = require!(keys::generate(folder.path(), KeyKind::Ecdsa256, None));
    let public = std::fs::read_to_string(keys::public(&ca)).expect("a key");
    let sshd = Sshd::builder()
        .host_certificate(&ca, &["127.0.1.1", "web1"])
        .start()
        .await;
    let site = Site::new(require!(sshd));
    site.known_hosts(&format!("@cert-authority [127.0.*]:* {public}"));
    site.works(&site.access()).await;
    let result = site.login(&site.sshd.host(2), &site.access()).await;
    let words = [
        "its certificate",
        "made out for 127.0.1.1, web1, not for 127.0.1.2",
    ];
    failed(result, Unreachable::HostKeyUnknown, &words);
    // The authority is trusted for other hosts only.
    site.known_hosts(&format!("@cert-authority *.example.com {public}"));
    site.fails(
        &site.access(),
        Unreachable::HostKeyUnknown,
        &["neither pinned nor in"],
    )
    .await;
    // And one that is revoked is not trusted at all.
    site.known_hosts(&format!("@cert-authority * {public}@revoked * {public}"));
    site.fails(&accepting(&site), Unreachable::HostKeyRevoked, &[])
        .await;
}

#[tokio::test]
async fn host_key_alias_is_the_name_that_is_looked_up() {
    let site = Site::new(require!(Sshd::start().await));
    site.known_hosts(&format!("the-cluster {}\n", public(&site, KeyKind::Ed25519)));
    site.fails(&site.access(), Unreachable::HostKeyUnknown, &[]).await;
    site.config("HostKeyAlias the-cluster\n");
    site.works(&site.access()).await;
}
