//! One key takes another's place.
//!
//! The order makes every step one that a process may die after: the new key is kept before anything is sealed with
//! it, the old one is retired in the database once nothing is, and is thrown away last. Whoever calls again goes on
//! where that ended. Servers that run meanwhile open old and new records; one that still seals with the old key is
//! refused by the database as soon as that is retired, and reads the keys again.

use std::sync::Arc;

use muster_model::Problem;
use muster_model::problem::Code;
use muster_model::wire::credentials::Rekeyed;
use muster_runtime::crash_point;
use muster_store::{Put, SealedCredential};

use super::key_file;
use super::ring::{Ring, TRIES, Vault, about, busy};
use super::seal::MasterKey;
use super::source::KeySource;
use crate::fault;

impl Vault {
    /// Seals every credential with a new key, and retires the others.
    pub(crate) async fn rekey(&self) -> Result<Rekeyed, Problem> {
        if self.live().await?.is_empty() {
            return Err(Problem::new(
                Code::Conflict,
                "there is no key to replace: no credential was ever kept",
            )
            .hint("`muster credentials add NAME` keeps one, under a new key"));
        }
        let lock = match &self.source {
            KeySource::File(path) => Some(key_file::lock(path).await?),
            KeySource::Variable { .. } | KeySource::Command(_) => None,
        };
        let resumed = self.new_key().await?;
        let ring = self.sealing().await?;
        crash_point!(VaultKeyWritten);
        let (resealed, retired) = self.seal_all_with_first(&ring).await?;
        crash_point!(VaultKeyRetired);
        let key = ring.0.first().map(|key| key.id().to_owned()).unwrap_or_default();
        self.throw_away_others(ring).await?;
        drop(lock);
        crash_point!(VaultKeyDropped);
        tracing::info!(key, resealed, "credentials are sealed with a new key");
        Ok(Rekeyed {
            key,
            resealed,
            retired,
            resumed,
        })
    }

    /// Puts a new key before the others, where that was not done before; tells whether it was.
    async fn new_key(&self) -> Result<bool, Problem> {
        let _turn = self.turn.lock().await;
        let ring = self.read().await?;
        let KeySource::File(path) = &self.source else {
            let known = self.keys().await?;
            let is_new = |key: &MasterKey| !known.iter().any(|known| known.id == key.id());
            let is_live = |id: &str| {
                known
                    .iter()
                    .any(|known| known.id == id && known.retired_at.is_none())
            };
            let others = known.iter().filter(|known| known.retired_at.is_none()).count();
            return match ring.0.first() {
                Some(key) if is_new(key) => Ok(false),
                Some(key) if is_live(key.id()) && others > 1 => Ok(true),
                _ => Err(self.no_new_key()),
            };
        };
        if ring.0.len() > 1 {
            return Ok(true);
        }
        let new = MasterKey::random()?;
        let old = Arc::clone(&ring);
        let path = path.clone();
        let write = move || {
            let all: Vec<&MasterKey> = std::iter::once(&new).chain(&old.0).collect();
            key_file::replace(&path, &all)
        };
        self.in_background(write).await?;
        crash_point!(VaultKeyMade);
        self.read().await?;
        Ok(false)
    }

    fn no_new_key(&self) -> Problem {
        Problem::new(
            Code::Conflict,
            format!("the source of the vault's key, {}, gives no new key", self.source),
        )
        .hint(
            "let it give a new key (`openssl rand -base64 32`), a space, and the old one; restart the server, and \
             run this again; then take the old one away",
        )
    }

    /// Seals everything with the first key and retires the others; returns how many and which.
    async fn seal_all_with_first(&self, ring: &Ring) -> Result<(u64, Vec<String>), Problem> {
        let Some(first) = ring.0.first() else {
            return Err(busy());
        };
        let (mut resealed, mut retired) = (0, Vec::new());
        // Servers that do not know of the new key yet may seal with the old one until that is retired.
        for _ in 0..TRIES * TRIES {
            let all = self.store.credentials().await;
            let all = all.map_err(|error| fault::of_store(&error))?;
            for (record, _) in all {
                if record.key_id != first.id() && self.reseal(ring, first, record).await? {
                    resealed += 1;
                    crash_point!(CredentialResealed);
                }
            }
            self.reseal_secrets(ring).await?;
            let mut left = false;
            for key in self.live().await? {
                if key.id == first.id() {
                    continue;
                }
                let done = self.store.retire_vault_key(&key.id, muster_runtime::now()).await;
                if done.map_err(|error| fault::of_store(&error))? {
                    retired.push(key.id);
                } else {
                    left = true;
                }
            }
            if !left {
                return Ok((resealed, retired));
            }
        }
        Err(busy())
    }

    /// Seals one credential anew; false where it was changed at the same moment.
    async fn reseal(
        &self,
        ring: &Ring,
        first: &MasterKey,
        record: SealedCredential,
    ) -> Result<bool, Problem> {
        let Some(plain) = ring
            .find(&record.key_id)
            .and_then(|key| key.open(&about(&record), &record.sealed))
        else {
            return Err(Problem::new(
                Code::VaultKey,
                format!(
                    "credential '{}' does not open with the key {}: nothing was thrown away",
                    record.name, record.key_id
                ),
            )
            .hint(format!(
                "remove it and run this again: muster credentials rm --force {}",
                record.name
            )));
        };
        let sealed = first.seal(&about(&record), &plain)?;
        drop(plain);
        let record = SealedCredential {
            key_id: first.id().to_owned(),
            sealed,
            ..record
        };
        match self.store.put_credential(record).await {
            Ok(Put::Done) => Ok(true),
            Ok(Put::Changed) => Ok(false),
            // Somebody has put yet another key in the place of this one.
            Ok(Put::KeyGone) => Err(busy()),
            Err(error) => Err(fault::of_store(&error)),
        }
    }

    /// Leaves the first key alone in the file and in this process.
    async fn throw_away_others(&self, ring: Arc<Ring>) -> Result<(), Problem> {
        let KeySource::File(path) = &self.source else {
            return Ok(());
        };
        let _turn = self.turn.lock().await;
        let path = path.clone();
        let write = move || match ring.0.first() {
            Some(first) => key_file::replace(&path, &[first]),
            None => Ok(()),
        };
        self.in_background(write).await?;
        self.read().await.map(drop)
    }

    async fn in_background(
        &self,
        work: impl FnOnce() -> Result<(), Problem> + Send + 'static,
    ) -> Result<(), Problem> {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| self.source.wrong("could not be written"))?
    }
}
