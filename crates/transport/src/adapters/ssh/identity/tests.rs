//! Key files: what is read, what is kept, what is opened once.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_model::Secret;
use muster_testkit::keys::{self, KeyKind};
use muster_testkit::require;

use super::key_file::{Unusable, is_encrypted, load};
use super::open::open;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn private(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.to_owned()
}

#[tokio::test]
async fn a_file_is_read_once_until_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let key = require!(keys::generate(folder.path(), KeyKind::Ed25519, None));
    let first = load(&key).await.ok().unwrap();
    assert!(Arc::ptr_eq(&first, &load(&key).await.ok().unwrap()));
    // A new certificate beside it counts as a change.
    let ca = keys::generate(folder.path(), KeyKind::Ecdsa256, None).unwrap();
    keys::sign(&ca, &key, keys::For::Users, &["me"], None).unwrap();
    let second = load(&key).await.ok().unwrap();
    assert!(first.certificate.is_none() && second.certificate.is_some());
}

#[tokio::test]
async fn an_encrypted_key_is_opened_once_for_all_who_wait() {
    let folder = tempfile::tempdir().unwrap();
    let key = require!(keys::generate(folder.path(), KeyKind::Ed25519, Some("open")));
    let file = load(&key).await.ok().unwrap();
    assert!(file.public.is_some(), "the public half needs no passphrase");
    let right = secret("open");
    let all = futures_util::future::join_all((0..50).map(|_| open(&file, Some(&right)))).await;
    let first = all[0].clone().ok().unwrap();
    assert!(
        all.iter()
            .all(|key| key.as_ref().is_ok_and(|key| Arc::ptr_eq(key, &first)))
    );
    assert_eq!(open(&file, None).await.err(), Some(Unusable::Encrypted));
    assert_eq!(
        open(&file, Some(&secret("closed"))).await.err(),
        Some(Unusable::WrongPassphrase)
    );
}

#[tokio::test]
async fn what_is_no_key_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert_eq!(load(&path("none")).await.err(), Some(Unusable::Missing));
    let empty = private(&path("empty"), "");
    assert_eq!(load(&empty).await.err(), Some(Unusable::NotAKey));
    let broken = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
    assert_eq!(
        load(&private(&path("broken"), broken)).await.err(),
        Some(Unusable::NotAKey)
    );
    assert_eq!(load(folder.path()).await.err(), Some(Unusable::NotAKey));
}

#[test]
fn encrypted_forms_are_told_from_plain_ones() {
    for text in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n",
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: aes256-cbc\n",
    ] {
        assert!(is_encrypted(text), "{text}");
    }
    for text in [
        "-----BEGIN PRIVATE KEY-----\nMII=\n",
        "-----BEGIN RSA PRIVATE KEY-----\nMII=\n",
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
    ] {
        assert!(!is_encrypted(text), "{text}");
    }
}
