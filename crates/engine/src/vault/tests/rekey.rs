//! A change of keys, ended at every step, and beside others who work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use muster_model::problem::Code;
use muster_model::{ErrorKind, Secret, TaskId, Timestamp};
use muster_store::{
    Error, Put, Removed, SealedCredential, SealedSecrets, TaskSecrets, Vault as Port, VaultKey,
};

use super::{Place, opened, put};
use crate::vault::seal::MasterKey;
use crate::vault::{KeySource, Vault};

/// A database that answers so many calls more, and then no more: what a process sees of the world before it dies.
struct Dying {
    inner: Arc<dyn Port>,
    left: AtomicU32,
    /// Whether the last call is done, and only its answer lost.
    late: bool,
}

impl Dying {
    async fn call<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let dead = || Error::new(ErrorKind::Unavailable, "the process is dead");
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(dead());
        }
        self.left.store(left - 1, Ordering::SeqCst);
        if left > 1 {
            return work.await;
        }
        if self.late {
            work.await?;
        }
        Err(dead())
    }
}

#[async_trait]
impl Port for Dying {
    async fn credential(&self, name: &str) -> Result<Option<SealedCredential>, Error> {
        self.call(self.inner.credential(name)).await
    }
    async fn credentials(&self) -> Result<Vec<(SealedCredential, u64)>, Error> {
        self.call(self.inner.credentials()).await
    }
    async fn put_credential(&self, credential: SealedCredential) -> Result<Put, Error> {
        self.call(self.inner.put_credential(credential)).await
    }
    async fn remove_credential(&self, name: &str, force: bool) -> Result<Removed, Error> {
        self.call(self.inner.remove_credential(name, force)).await
    }
    async fn vault_keys(&self) -> Result<Vec<VaultKey>, Error> {
        self.call(self.inner.vault_keys()).await
    }
    async fn add_vault_key(&self, key: VaultKey, beside: &[String]) -> Result<bool, Error> {
        self.call(self.inner.add_vault_key(key, beside)).await
    }
    async fn retire_vault_key(&self, id: &str, at: Timestamp) -> Result<bool, Error> {
        self.call(self.inner.retire_vault_key(id, at)).await
    }
    async fn task_secrets(&self, task: TaskId) -> Result<Option<SealedSecrets>, Error> {
        self.call(self.inner.task_secrets(task)).await
    }
    async fn all_task_secrets(&self) -> Result<Vec<SealedSecrets>, Error> {
        self.call(self.inner.all_task_secrets()).await
    }
    async fn reseal_task_secrets(&self, old: SealedSecrets, new: TaskSecrets) -> Result<(), Error> {
        self.call(self.inner.reseal_task_secrets(old, new)).await
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Everything opens, and one key is left everywhere.
async fn is_whole(place: &Place, vault: &Vault, keys_in_source: Option<usize>) {
    vault.check().await.expect("the keys are right");
    for name in NAMES {
        assert_eq!(opened(vault, name).await.as_deref(), Some(name));
    }
    let live = vault.live().await.expect("keys");
    assert_eq!(live.len(), 1);
    for (record, _) in place.database.vault.credentials().await.expect("records") {
        assert_eq!(record.key_id, live[0].id);
    }
    if let Some(keys) = keys_in_source {
        let text = std::fs::read_to_string(place.key()).expect("the file");
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), keys);
    }
}

#[tokio::test]
async fn everything_is_sealed_anew_and_the_old_key_goes() {
    let place = Place::new().await;
    let vault = place.vault();
    for name in NAMES {
        put(&vault, name, name).await;
    }
    let before = std::fs::read_to_string(place.key()).expect("the file");
    let changed: Vec<_> = place.database.vault.credentials().await.expect("records");
    let done = vault.rekey().await.expect("a new key");
    assert_eq!((done.resealed, done.retired.len(), done.resumed), (3, 1, false));
    is_whole(&place, &vault, Some(1)).await;
    is_whole(&place, &place.vault(), Some(1)).await;
    assert_ne!(std::fs::read_to_string(place.key()).expect("the file"), before);
    assert_eq!(super::mode(&place.key()), 0o600);
    for ((new, _), (old, _)) in place
        .database
        .vault
        .credentials()
        .await
        .expect("records")
        .iter()
        .zip(&changed)
    {
        assert_eq!((new.changed_at, new.version), (old.changed_at, old.version + 1));
    }
    std::fs::write(place.key(), before).expect("the old key");
    let problem = place.vault().check().await.expect_err("the old key is of no use");
    assert_eq!(problem.code, Code::VaultKey);
}

#[tokio::test]
async fn wherever_it_dies_everything_still_opens_and_it_goes_on_when_run_again() {
    for late in [false, true] {
        let mut steps = 0;
        loop {
            steps += 1;
            let place = Place::new().await;
            let vault = place.vault();
            for name in NAMES {
                put(&vault, name, name).await;
            }
            let dying = Dying {
                inner: Arc::clone(&place.database.vault),
                left: AtomicU32::new(steps),
                late,
            };
            let doomed = Vault::new(Arc::new(dying), KeySource::File(place.key()));
            let ended = doomed.rekey().await;
            drop(doomed);
            let next = place.vault();
            next.check().await.expect("the next server starts");
            for name in NAMES {
                assert_eq!(opened(&next, name).await.as_deref(), Some(name), "step {steps}");
                // The server that ran all the while opens both kinds.
                assert_eq!(opened(&vault, name).await.as_deref(), Some(name), "step {steps}");
            }
            next.rekey().await.expect("it goes on");
            is_whole(&place, &next, Some(1)).await;
            is_whole(&place, &vault, Some(1)).await;
            if ended.is_ok() {
                break;
            }
        }
        assert!(steps > 10, "{steps}: it asks the database more often than that");
    }
}

#[tokio::test]
async fn a_key_file_that_was_written_and_not_used_does_no_harm() {
    let place = Place::new().await;
    let vault = place.vault();
    for name in NAMES {
        put(&vault, name, name).await;
    }
    // As after a death between the two: the database knows nothing of the new key.
    let old = std::fs::read_to_string(place.key()).expect("the file");
    let new = MasterKey::random().expect("a key");
    std::fs::write(place.key(), format!("{}\n{old}", new.text().as_str())).expect("written");
    let next = place.vault();
    next.check().await.expect("it starts");
    let done = next.rekey().await.expect("it goes on");
    assert_eq!((done.key.as_str(), done.resumed), (new.id(), true));
    is_whole(&place, &next, Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_put_and_open_all_the_while() {
    let place = Arc::new(Place::new().await);
    let first = place.vault();
    for name in NAMES {
        put(&first, name, name).await;
    }
    let work = |writer: u32| {
        let place = Arc::clone(&place);
        async move {
            let vault = place.vault();
            for number in 0..40 {
                let name = format!("w{writer}-{number}");
                put_anyhow(&vault, &name).await;
                assert_eq!(opened(&vault, &name).await.as_deref(), Some("x"));
                assert_eq!(opened(&vault, "a").await.as_deref(), Some("a"));
            }
        }
    };
    let change = async {
        for _ in 0..5 {
            place.vault().rekey().await.expect("a new key");
        }
    };
    tokio::join!(work(1), work(2), change);
    let last = place.vault();
    let done = last.rekey().await.expect("a new key");
    assert_eq!(done.resealed, 83);
    is_whole(&place, &last, Some(1)).await;
    for writer in 1..=2 {
        for number in 0..40 {
            let name = format!("w{writer}-{number}");
            assert_eq!(opened(&last, &name).await.as_deref(), Some("x"), "{name}");
        }
    }
}

/// Writes a credential as the verbs do: with whatever key is in use by then.
async fn put_anyhow(vault: &Vault, name: &str) {
    use crate::vault::ring::about;
    for _ in 0..100 {
        let contents = super::password("x");
        let ring = vault.sealing().await.expect("a key");
        let mut record = SealedCredential {
            name: name.parse().expect("a name"),
            user: None,
            holds: contents.holds(),
            public_key: None,
            key_id: ring.0[0].id().to_owned(),
            sealed: bytes::Bytes::new(),
            version: 0,
            created_at: Timestamp(1),
            changed_at: Timestamp(1),
        };
        record.sealed = ring.0[0]
            .seal(&about(&record), &contents.encode())
            .expect("it is sealed");
        match vault.store.put_credential(record).await.expect("an answer") {
            Put::Done => return,
            Put::KeyGone => {}
            Put::Changed => panic!("nobody else has this name"),
        }
    }
    panic!("{name} was never written");
}

#[tokio::test]
async fn a_variable_gives_the_new_key_before_the_old_one() {
    let place = Place::new().await;
    let (old, new) = (
        MasterKey::random().expect("a key"),
        MasterKey::random().expect("a key"),
    );
    let variable = |keys: &[&MasterKey]| KeySource::Variable {
        name: "MUSTER_KEY".into(),
        text: Some(Secret::new(
            keys.iter().map(|key| key.text().to_string() + " ").collect(),
        )),
    };
    let vault = place.with(variable(&[&old]));
    for name in NAMES {
        put(&vault, name, name).await;
    }
    let problem = vault.rekey().await.expect_err("there is no new key");
    assert_eq!(problem.code, Code::Conflict);
    let both = place.with(variable(&[&new, &old]));
    both.check().await.expect("it starts");
    let done = both.rekey().await.expect("a new key");
    assert_eq!((done.key.as_str(), done.resealed), (new.id(), 3));
    assert_eq!(both.rekey().await.expect_err("done").code, Code::Conflict);
    is_whole(&place, &place.with(variable(&[&new])), None).await;
    let problem = place.with(variable(&[&old])).check().await.expect_err("retired");
    assert!(problem.detail.contains(new.id()), "{problem}");
}

#[tokio::test]
async fn there_is_nothing_to_change_before_the_first_use() {
    let place = Place::new().await;
    let problem = place.vault().rekey().await.expect_err("no vault yet");
    assert_eq!(problem.code, Code::Conflict);
    assert!(!place.key().exists());
}
