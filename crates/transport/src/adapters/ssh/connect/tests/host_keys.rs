//! Host keys: known, unknown, changed, revoked, hashed, signed by an authority, taken at first contact.

use muster_model::Unreachable;
use muster_testkit::keys::{self, KeyKind};
use muster_testkit::{Sshd, require};

use super::{Site, failed};
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
    ];
    site.fails(&site.access(), Unreachable::HostKeyUnknown, &words)
        .await;
    assert_eq!(site.known(), "", "nothing is written down without being asked");
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

#[tokio::test]
async fn accept_new_writes_a_key_down_once_and_then_insists_on_it() {
    let site = Site::new(require!(Sshd::start().await));
    std::fs::remove_file(site.path(".ssh/known_hosts")).expect("removed");
    let access = accepting(&site);
    // All at once, as for a task on many hosts.
    let hosts: Vec<String> = (1..=6).map(|i| site.sshd.host(i % 3 + 1)).collect();
    let logins = futures_util::future::join_all(hosts.iter().map(|host| site.login(host, &access))).await;
    for login in logins {
        assert!(login.is_ok(), "{:?}", login.err());
    }
    assert_eq!(site.known().lines().count(), 3, "{}", site.known());
    let prefix = format!("[127.0.1.1]:{} ssh-ed25519 ", site.sshd.port());
    assert!(
        site.known().lines().any(|line| line.starts_with(&prefix)),
        "{}",
        site.known()
    );
    site.works(&site.access()).await;
    // OpenSSH reads the same.
    let found = std::process::Command::new("ssh-keygen")
        .arg("-F")
        .arg(format!("[127.0.1.2]:{}", site.sshd.port()))
        .arg("-f")
        .arg(site.path(".ssh/known_hosts"))
        .output()
        .expect("ssh-keygen");
    assert!(found.status.success());
}

#[tokio::test]
async fn accept_new_hashes_names_where_ssh_config_says_so() {
    let site = Site::new(require!(Sshd::start().await));
    site.known_hosts("");
    site.config("HashKnownHosts yes\nStrictHostKeyChecking accept-new\n");
    site.works(&site.access()).await;
    assert!(site.known().starts_with("|1|"), "{}", site.known());
    site.config("StrictHostKeyChecking yes\n");
    site.works(&site.access()).await;
}

#[tokio::test]
async fn a_new_key_that_cannot_be_written_down_is_not_taken() {
    let site = Site::new(require!(Sshd::start().await));
    std::os::unix::fs::symlink("/dev/full", site.path("full")).expect("a link");
    site.config(&format!("UserKnownHostsFile {}\n", site.path("full").display()));
    site.fails(
        &accepting(&site),
        Unreachable::Settings,
        &["could not be kept", "it cannot be written"],
    )
    .await;
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
    site.fails(&site.access(), Unreachable::HostKeyUnknown, &["is not in"])
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
