//! Sealed credentials and the keys of the vault.

use bytes::Bytes;
use futures_util::future::join_all;
use muster_model::{ErrorKind, Timestamp};

use super::World;
use super::world::HOSTILE;
use crate::open::Opened;
use crate::types::Edit;
use crate::types::vault::{Put, Removed, SEALED_BYTES, SealedCredential, VaultKey};

fn key(id: &str, at: i64) -> VaultKey {
    VaultKey {
        id: id.to_owned(),
        canary: Bytes::from_static(b"\x00\xffcanary"),
        created_at: Timestamp(at),
        retired_at: None,
    }
}

fn sealed(name: &str, version: u64, key_id: &str) -> SealedCredential {
    SealedCredential {
        name: name.parse().unwrap(),
        user: Some("o'brien".into()),
        holds: "key,password".into(),
        public_key: Some("ssh-ed25519 SHA256:abc".into()),
        key_id: key_id.into(),
        sealed: (0..=255).collect::<Vec<u8>>().into(),
        version,
        created_at: Timestamp(1_700_000_000_000_001),
        changed_at: Timestamp(1_700_000_000_000_002),
    }
}

async fn with_key(world: &World) -> Opened {
    let opened = world.open().await;
    assert!(opened.vault.add_vault_key(key("k1", 1), &[]).await.unwrap());
    opened
}

/// Makes a host that names a credential.
async fn host_with(opened: &Opened, name: &str, credential: &str) {
    let host = muster_model::host::HostRecord {
        name: name.parse().unwrap(),
        address: None,
        user: None,
        port: None,
        reach: None,
        credential: Some(credential.parse().unwrap()),
        labels: std::collections::BTreeMap::new(),
    };
    let edit = Edit::PutHosts(vec![host]);
    opened.inventory.change(vec![edit], None).await.unwrap();
}

pub(super) async fn a_credential_is_read_back_as_it_was_put(world: World) {
    let opened = with_key(&world).await;
    let vault = &opened.vault;
    assert_eq!(vault.credential("web").await.unwrap(), None);
    assert_eq!(
        vault.put_credential(sealed("web", 0, "k1")).await.unwrap(),
        Put::Done
    );
    assert_eq!(
        vault.credential("web").await.unwrap(),
        Some(sealed("web", 1, "k1"))
    );
    assert_eq!(vault.credential("WEB").await.unwrap(), None);
    let plain = SealedCredential {
        user: None,
        public_key: None,
        sealed: Bytes::new(),
        ..sealed("a-ü", 0, "k1")
    };
    assert_eq!(vault.put_credential(plain.clone()).await.unwrap(), Put::Done);
    let all = vault.credentials().await.unwrap();
    let plain = SealedCredential { version: 1, ..plain };
    assert_eq!(all, [(plain, 0), (sealed("web", 1, "k1"), 0)]);
}

pub(super) async fn of_many_that_change_a_credential_one_wins(world: World) {
    let opened = with_key(&world).await;
    let vault = &opened.vault;
    for version in 0..3 {
        let all = join_all((0..8).map(|_| vault.put_credential(sealed("web", version, "k1")))).await;
        let done = all.iter().filter(|put| matches!(put, Ok(Put::Done))).count();
        assert_eq!(done, 1, "{all:?}");
        assert!(all.iter().all(|put| matches!(put, Ok(Put::Done | Put::Changed))));
    }
    let put = vault.put_credential(sealed("web", 0, "k1")).await.unwrap();
    assert_eq!(put, Put::Changed, "it is there already");
    let put = vault.put_credential(sealed("db", 1, "k1")).await.unwrap();
    assert_eq!(put, Put::Changed, "it is not there");
}

pub(super) async fn a_credential_goes_by_its_name(world: World) {
    let opened = with_key(&world).await;
    let vault = &opened.vault;
    for name in ["a", "b"] {
        vault.put_credential(sealed(name, 0, "k1")).await.unwrap();
    }
    assert_eq!(vault.remove_credential("a", false).await.unwrap(), Removed::Done);
    assert_eq!(
        vault.remove_credential("a", true).await.unwrap(),
        Removed::NotThere
    );
    assert_eq!(vault.credential("a").await.unwrap(), None);
    assert!(vault.credential("b").await.unwrap().is_some());
    let again = vault.put_credential(sealed("a", 0, "k1")).await.unwrap();
    assert_eq!(again, Put::Done);
}

pub(super) async fn a_credential_that_hosts_use_stays_unless_it_is_forced(world: World) {
    let opened = with_key(&world).await;
    let vault = &opened.vault;
    vault.put_credential(sealed("web", 0, "k1")).await.unwrap();
    vault.put_credential(sealed("db", 0, "k1")).await.unwrap();
    for host in ["w1", "w2"] {
        host_with(&opened, host, "web").await;
    }
    let all = vault.credentials().await.unwrap();
    let used: Vec<(&str, u64)> = all.iter().map(|(one, used)| (one.name.as_str(), *used)).collect();
    assert_eq!(used, [("db", 0), ("web", 2)]);
    let kept = vault.remove_credential("web", false).await.unwrap();
    assert_eq!(kept, Removed::Used(2));
    assert!(vault.credential("web").await.unwrap().is_some());
    assert_eq!(vault.remove_credential("web", true).await.unwrap(), Removed::Done);
    assert_eq!(vault.credential("web").await.unwrap(), None);
}

pub(super) async fn a_key_that_is_used_is_not_retired(world: World) {
    let opened = with_key(&world).await;
    let vault = &opened.vault;
    vault.put_credential(sealed("web", 0, "k1")).await.unwrap();
    assert!(!vault.retire_vault_key("k1", Timestamp(7)).await.unwrap());
    assert!(vault.add_vault_key(key("k2", 2), &["k1".into()]).await.unwrap());
    vault.put_credential(sealed("web", 1, "k2")).await.unwrap();
    assert!(vault.retire_vault_key("k1", Timestamp(7)).await.unwrap());
    assert!(
        vault.retire_vault_key("k1", Timestamp(8)).await.unwrap(),
        "it is retired"
    );
    assert!(!vault.retire_vault_key("k9", Timestamp(8)).await.unwrap());
    let retired = VaultKey {
        retired_at: Some(Timestamp(7)),
        ..key("k1", 1)
    };
    assert_eq!(vault.vault_keys().await.unwrap(), [retired, key("k2", 2)]);
}

pub(super) async fn nothing_is_sealed_with_a_key_that_is_not_there_or_retired(world: World) {
    let opened = with_key(&world).await;
    let vault = &opened.vault;
    let unknown = vault.put_credential(sealed("web", 0, "k2")).await.unwrap();
    assert_eq!(unknown, Put::KeyGone);
    assert!(vault.retire_vault_key("k1", Timestamp(7)).await.unwrap());
    let retired = vault.put_credential(sealed("web", 0, "k1")).await.unwrap();
    assert_eq!(retired, Put::KeyGone);
    assert_eq!(vault.credentials().await.unwrap(), []);
}

pub(super) async fn of_many_that_make_the_first_key_one_wins(world: World) {
    let opened = world.open().await;
    let vault = &opened.vault;
    assert_eq!(vault.vault_keys().await.unwrap(), []);
    let all = join_all((0..8).map(|number| vault.add_vault_key(key(&format!("k{number}"), 1), &[]))).await;
    let made = all.into_iter().filter(|added| matches!(added, Ok(true))).count();
    assert_eq!((made, vault.vault_keys().await.unwrap().len()), (1, 1));
}

pub(super) async fn names_and_bytes_are_data_and_never_statements(world: World) {
    let opened = with_key(&world).await;
    let vault = &opened.vault;
    for text in HOSTILE {
        assert_eq!(vault.credential(text).await.unwrap(), None);
        assert_eq!(
            vault.remove_credential(text, true).await.unwrap(),
            Removed::NotThere
        );
        let hostile = SealedCredential {
            user: Some(text.chars().take(255).collect()),
            sealed: Bytes::copy_from_slice(text.as_bytes()),
            ..sealed("x", 0, "k1")
        };
        assert_eq!(vault.put_credential(hostile.clone()).await.unwrap(), Put::Done);
        let read = vault.credential("x").await.unwrap().unwrap();
        assert_eq!((read.user, read.sealed), (hostile.user, hostile.sealed));
        assert_eq!(vault.remove_credential("x", false).await.unwrap(), Removed::Done);
    }
}

pub(super) async fn what_is_too_large_is_refused(world: World) {
    let opened = with_key(&world).await;
    let vault = &opened.vault;
    let long = SealedCredential {
        sealed: vec![0; SEALED_BYTES + 1].into(),
        ..sealed("web", 0, "k1")
    };
    let wide = SealedCredential {
        user: Some("x".repeat(256)),
        ..sealed("web", 0, "k1")
    };
    for credential in [long, wide] {
        let error = vault.put_credential(credential).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge);
    }
    let error = vault.add_vault_key(key("", 1), &["k1".into()]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert_eq!(vault.credentials().await.unwrap(), []);
}
