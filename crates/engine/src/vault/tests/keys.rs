//! Where keys come from, and what a wrong or missing one does.

use std::os::unix::fs::PermissionsExt;

use muster_model::Secret;
use muster_model::problem::Code;

use super::{Place, mode, opened, put};
use crate::vault::KeySource;
use crate::vault::seal::MasterKey;

fn variable(text: Option<&str>) -> KeySource {
    KeySource::Variable {
        name: "MUSTER_KEY".into(),
        text: text.map(|text| Secret::new(text.to_owned())),
    }
}

fn shell(text: &str) -> KeySource {
    KeySource::Command(vec!["/bin/sh".into(), "-c".into(), text.into()])
}

#[tokio::test]
async fn a_fresh_home_makes_its_key_on_first_use_and_not_before() {
    let place = Place::new().await;
    let vault = place.vault();
    vault.check().await.expect("nothing is needed yet");
    assert!(!place.key().exists());
    assert_eq!(opened(&vault, "web").await, None);
    put(&vault, "web", "hunter2").await;
    assert_eq!(opened(&vault, "web").await.as_deref(), Some("hunter2"));
    assert_eq!(mode(&place.key()), 0o600);
    assert_eq!(mode(place.key().parent().expect("a folder")), 0o700);
    let files: Vec<_> = std::fs::read_dir(place.key().parent().expect("a folder"))
        .expect("a folder")
        .collect();
    assert_eq!(files.len(), 1, "nothing else is left: {files:?}");
    let other = place.vault();
    other.check().await.expect("the key is right");
    assert_eq!(opened(&other, "web").await.as_deref(), Some("hunter2"));
}

#[tokio::test]
async fn a_wrong_or_missing_key_is_refused_at_once_and_none_is_made() {
    let place = Place::new().await;
    put(&place.vault(), "web", "hunter2").await;
    let right = std::fs::read_to_string(place.key()).expect("the key");
    std::fs::remove_file(place.key()).expect("it goes");
    let problem = place.vault().check().await.expect_err("missing");
    assert_eq!(problem.code, Code::VaultKey);
    assert!(problem.detail.contains("is not there"), "{problem}");
    assert!(!place.key().exists(), "no other takes its place");
    let other = MasterKey::random().expect("a key");
    let cases = [
        (other.text().to_string(), other.id().to_owned()),
        ("not a key\n".to_owned(), "place 1".to_owned()),
        ("# nothing\n".to_owned(), "holds no key".to_owned()),
    ];
    for (text, says) in cases {
        std::fs::write(place.key(), &text).expect("written");
        std::fs::set_permissions(place.key(), std::fs::Permissions::from_mode(0o600)).expect("ours");
        let problem = place.vault().check().await.expect_err("wrong");
        assert_eq!(problem.code, Code::VaultKey);
        assert!(problem.detail.contains(&says), "{problem}");
        assert!(!problem.detail.contains(text.trim()), "{problem}");
    }
    std::fs::write(place.key(), right).expect("written");
    place.vault().check().await.expect("the right one is back");
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused_with_the_command_to_type() {
    let place = Place::new().await;
    put(&place.vault(), "web", "hunter2").await;
    std::fs::set_permissions(place.key(), std::fs::Permissions::from_mode(0o640)).expect("open");
    let problem = place.vault().check().await.expect_err("open to others");
    assert!(problem.detail.contains("0640"), "{problem}");
    let hint = problem.hint.expect("a hint");
    assert!(
        hint.contains(&format!("chmod 600 {}", place.key().display())),
        "{hint}"
    );
}

#[tokio::test]
async fn of_many_that_make_the_first_key_all_use_the_same() {
    let place = Place::new().await;
    let vaults: Vec<_> = (0..8).map(|_| place.vault()).collect();
    let names: Vec<String> = (0..8).map(|number| format!("c{number}")).collect();
    let puts = vaults
        .iter()
        .zip(&names)
        .map(|(vault, name)| put(vault, name, "x"));
    futures_util::future::join_all(puts).await;
    let late = place.vault();
    for name in &names {
        assert_eq!(opened(&late, name).await.as_deref(), Some("x"));
    }
    assert_eq!(late.live().await.expect("keys").len(), 1);
}

#[tokio::test]
async fn a_variable_or_a_program_gives_the_key() {
    let key = MasterKey::random().expect("a key").text().to_string();
    let sources = [
        variable(Some(&key)),
        shell(&format!("echo; echo '# mine'; echo {key}")),
    ];
    for source in sources {
        let place = Place::new().await;
        put(&place.with(source.clone()), "web", "hunter2").await;
        let other = place.with(source.clone());
        other.check().await.expect("the key is right");
        assert_eq!(opened(&other, "web").await.as_deref(), Some("hunter2"));
        assert!(!format!("{source} {:?}", variable(Some(&key))).contains(&key));
    }
}

#[tokio::test]
async fn a_source_without_a_key_says_what_is_wrong_with_it() {
    let noise = "head -c 100000 /dev/zero | tr '\\0' x";
    let cases = [
        (variable(None), "env:MUSTER_KEY, gives no key"),
        (variable(Some("AAAA")), "place 1 is none"),
        (shell("echo 'no access \x1b[31m' >&2; exit 3"), "no access"),
        (shell(noise), "more than 16 KiB"),
        (shell("true"), "holds no key"),
        (
            KeySource::Command(vec!["/no/such/program".into()]),
            "cannot be run",
        ),
    ];
    for (source, says) in cases {
        let place = Place::new().await;
        let vault = place.with(source);
        vault.check().await.expect("nothing is needed yet");
        let problem = vault.sealing().await.err().expect("no key");
        assert_eq!(problem.code, Code::VaultKey);
        assert!(problem.detail.contains(says), "{problem}");
        assert!(!problem.detail.contains('\x1b'), "{problem}");
    }
}
