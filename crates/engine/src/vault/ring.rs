//! The keys that this process has, and what it opens and seals with them.
//!
//! Which keys are in use stands in the database, beside something known that each has sealed (its canary); the keys
//! themselves stand elsewhere. A process with another key than the database's is told so before it opens anything.

use std::sync::{Arc, PoisonError, RwLock};

use muster_model::problem::Code;
use muster_model::wire::Secrets;
use muster_model::{ErrorKind, Problem, TaskId};
use muster_store::{SealedCredential, VaultKey};
use muster_transport::{Stored, Unseal, Unsealed};

use super::contents::Contents;
use super::key_file;
use super::seal::{About, MasterKey};
use super::source::KeySource;
use crate::fault;
use crate::together::Together;

/// How often something is tried anew that another process changed at the same moment.
pub(super) const TRIES: usize = 8;

/// Keys, the one in use first. Never empty.
pub(crate) struct Ring(pub(super) Vec<MasterKey>);

impl Ring {
    pub(super) fn find(&self, id: &str) -> Option<&MasterKey> {
        self.0.iter().find(|key| key.id() == id)
    }
}

/// The vault.
pub(crate) struct Vault {
    pub(super) store: Arc<dyn muster_store::Vault>,
    pub(crate) source: KeySource,
    ring: RwLock<Option<Arc<Ring>>>,
    /// Held by whoever reads the keys or changes them.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Every run of a task asks for its credential, and where its secrets came to this process sealed, for those.
    credentials: Together<String, Result<Option<Arc<Handle>>, Problem>>,
    pub(super) task_secrets: Together<TaskId, Result<Secrets, Problem>>,
}

/// A credential that can be opened.
pub(crate) struct Handle {
    pub(crate) record: SealedCredential,
    ring: Arc<Ring>,
}

impl Handle {
    /// Opens the credential.
    pub(crate) fn open(&self) -> Result<Contents, Problem> {
        open(&self.ring, &self.record)
    }

    /// Returns it as the transport takes it.
    pub(crate) fn stored(self: &Arc<Self>) -> Stored {
        let record = &self.record;
        Stored {
            name: record.name.to_string(),
            mark: format!("{}.{}", record.created_at.0, record.changed_at.0),
            seal: Arc::clone(self) as Arc<dyn Unseal>,
        }
    }
}

impl Unseal for Handle {
    fn unseal(&self) -> Result<Unsealed, String> {
        let contents = self.open().map_err(|problem| problem.detail)?;
        Ok(Unsealed {
            key: contents.key,
            certificate: contents.certificate,
            passphrase: contents.passphrase,
            password: contents.password,
        })
    }
}

/// Returns what is authenticated with a credential.
pub(super) fn about(record: &SealedCredential) -> About<'_> {
    About {
        what: "credential",
        name: record.name.as_str(),
        user: record.user.as_deref(),
        holds: &record.holds,
        public_key: record.public_key.as_deref(),
    }
}

fn open(ring: &Ring, record: &SealedCredential) -> Result<Contents, Problem> {
    let key = ring
        .find(&record.key_id)
        .ok_or_else(|| sealed_with_another(record))?;
    key.open(&about(record), &record.sealed)
        .and_then(|plain| Contents::decode(&plain))
        .ok_or_else(|| {
            Problem::new(
                Code::InvalidDatabase,
                format!(
                    "credential '{}' does not open with its key: what the database has of it was changed",
                    record.name
                ),
            )
            .hint(format!(
                "put it there anew: muster credentials add {}",
                record.name
            ))
        })
}

fn sealed_with_another(record: &SealedCredential) -> Problem {
    Problem::new(
        Code::VaultKey,
        format!(
            "credential '{}' is sealed with the key {}, which this server does not have",
            record.name, record.key_id
        ),
    )
    .hint("restart the server with that key, or put the credential there anew")
}

impl Vault {
    pub(crate) fn new(store: Arc<dyn muster_store::Vault>, source: KeySource) -> Self {
        Self {
            store,
            source,
            ring: RwLock::default(),
            turn: tokio::sync::Mutex::default(),
            credentials: Together::default(),
            task_secrets: Together::default(),
        }
    }

    /// Makes sure that this process has every key that is in use. Where none ever was, the source is left alone.
    pub(crate) async fn check(&self) -> Result<(), Problem> {
        let live = self.live().await?;
        if live.is_empty() {
            return Ok(());
        }
        self.load().await?;
        Ok(())
    }

    /// The same for a vault that may have been opened long ago; only a file is read again.
    pub(super) async fn examine(&self) -> Result<Vec<VaultKey>, Problem> {
        let live = self.live().await?;
        if !live.is_empty() {
            match self.source {
                KeySource::File(_) => drop(self.load().await?),
                KeySource::Variable { .. } | KeySource::Command(_) => {
                    self.compare(&self.ring().await?.0, &live)?;
                }
            }
        }
        Ok(live)
    }

    /// Returns the keys that are not retired, according to the database.
    pub(super) async fn live(&self) -> Result<Vec<VaultKey>, Problem> {
        let mut keys = self.keys().await?;
        keys.retain(|key| key.retired_at.is_none());
        Ok(keys)
    }

    pub(super) async fn keys(&self) -> Result<Vec<VaultKey>, Problem> {
        let keys = self.store.vault_keys().await;
        keys.map_err(|error| fault::of_store(&error))
    }

    /// Returns the keys of this process, read where they are not known yet.
    pub(crate) async fn ring(&self) -> Result<Arc<Ring>, Problem> {
        if let Some(ring) = self.known() {
            return Ok(ring);
        }
        self.load().await
    }

    pub(super) fn known(&self) -> Option<Arc<Ring>> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, keys: Vec<MasterKey>) -> Arc<Ring> {
        let ring = Arc::new(Ring(keys));
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&ring));
        ring
    }

    /// Reads the keys again: another process may have changed them.
    pub(crate) async fn reload(&self) -> Result<Arc<Ring>, Problem> {
        self.load().await
    }

    /// Reads the keys from their source.
    async fn load(&self) -> Result<Arc<Ring>, Problem> {
        let _turn = self.turn.lock().await;
        self.read().await
    }

    /// Reads the keys from their source and compares them with the database. Only in one's turn.
    pub(super) async fn read(&self) -> Result<Arc<Ring>, Problem> {
        let mut keys = self.source.load().await?;
        let live = self.live().await?;
        if keys.is_empty() && live.is_empty() {
            keys = self.first_key().await?;
        }
        self.compare(&keys, &live)?;
        Ok(self.set(keys))
    }

    /// Makes the first key of a vault, where the source lets us.
    async fn first_key(&self) -> Result<Vec<MasterKey>, Problem> {
        let KeySource::File(path) = &self.source else {
            return Err(self.missing("gives no key"));
        };
        let (path, key) = (path.clone(), MasterKey::random()?);
        let made = tokio::task::spawn_blocking(move || key_file::make(&path, &key)).await;
        made.map_err(|_| self.source.wrong("could not be made"))??;
        tracing::info!(source = %self.source, "a key for credentials was made: keep a copy of it");
        // Another process may have been first.
        self.source.load().await
    }

    fn compare(&self, keys: &[MasterKey], live: &[VaultKey]) -> Result<(), Problem> {
        if keys.is_empty() {
            let what = match &self.source {
                KeySource::File(_) => "is not there",
                KeySource::Variable { .. } => "is not set",
                KeySource::Command(_) => "prints no key",
            };
            return Err(self.missing(what));
        }
        for wanted in live {
            let Some(key) = keys.iter().find(|key| key.id() == wanted.id) else {
                let has: Vec<&str> = keys.iter().map(MasterKey::id).collect();
                return Err(self.missing(&format!(
                    "has another key ({}) than the credentials are sealed with ({})",
                    has.join(", "),
                    wanted.id
                )));
            };
            if !key.knows(&wanted.canary) {
                return Err(Problem::new(
                    Code::InvalidDatabase,
                    format!(
                        "what the database has of the vault's key {} was changed",
                        wanted.id
                    ),
                )
                .hint("restore the database from a copy"));
            }
        }
        Ok(())
    }

    fn missing(&self, what: &str) -> Problem {
        Problem::new(
            Code::VaultKey,
            format!(
                "credentials cannot be opened: the source of their key, {}, {what}",
                self.source
            ),
        )
        .hint(
            "put the key back, or name the place where it is by the setting 'vault_key'; \
             docs/reference/errors/vault-key.md says what to do where it is lost",
        )
    }

    /// Returns the keys to seal with: the first is one that the database knows to be in use.
    pub(super) async fn sealing(&self) -> Result<Arc<Ring>, Problem> {
        let mut ring = self.ring().await?;
        for _ in 0..TRIES {
            let Some(key) = ring.0.first() else { break };
            let known = self.keys().await?;
            match known.iter().find(|known| known.id == key.id()) {
                Some(known) if known.retired_at.is_none() => return Ok(ring),
                Some(_) => {
                    ring = self.newer().await?;
                    continue;
                }
                None => {}
            }
            let live: Vec<VaultKey> = known
                .into_iter()
                .filter(|known| known.retired_at.is_none())
                .collect();
            self.compare(&ring.0, &live)?;
            let new = VaultKey {
                id: key.id().to_owned(),
                canary: key.canary()?,
                created_at: muster_runtime::now(),
                retired_at: None,
            };
            let beside: Vec<String> = live.into_iter().map(|live| live.id).collect();
            match self.store.add_vault_key(new, &beside).await {
                Ok(true) => return Ok(ring),
                // Another process was first: with the same key or with another one.
                Ok(false) => {}
                Err(error) if error.kind == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(fault::of_store(&error)),
            }
        }
        Err(busy())
    }

    /// Reads the keys again where another process may have put a new one there.
    async fn newer(&self) -> Result<Arc<Ring>, Problem> {
        let old = self.ring().await?;
        let new = match &self.source {
            KeySource::File(_) => self.load().await?,
            // They are asked once, when the process starts.
            KeySource::Variable { .. } | KeySource::Command(_) => Arc::clone(&old),
        };
        let first = |ring: &Ring| ring.0.first().map(|key| key.id().to_owned());
        if first(&new) == first(&old) {
            return Err(Problem::new(
                Code::VaultKey,
                format!(
                    "the key that this server seals with ({}) is retired: another one took its place",
                    first(&old).unwrap_or_default()
                ),
            )
            .hint("restart the server, so that it reads the setting 'vault_key' again"));
        }
        Ok(new)
    }

    /// Returns a credential that can be opened; None where there is none of this name.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Arc<Handle>>, Problem> {
        self.credentials
            .ask(&name.to_owned(), self.read_credential(name))
            .await
    }

    async fn read_credential(&self, name: &str) -> Result<Option<Arc<Handle>>, Problem> {
        let mut last = None;
        for _ in 0..TRIES {
            let found = self.store.credential(name).await;
            let Some(record) = found.map_err(|error| fault::of_store(&error))? else {
                return Ok(None);
            };
            let mut ring = self.ring().await?;
            if ring.find(&record.key_id).is_none() && matches!(self.source, KeySource::File(_)) {
                ring = self.load().await?;
            }
            if ring.find(&record.key_id).is_some() {
                return Ok(Some(Arc::new(Handle { record, ring })));
            }
            // It may have been sealed anew since it was read, and its old key thrown away.
            last = Some(sealed_with_another(&record));
        }
        Err(last.unwrap_or_else(busy))
    }
}

/// Others change the same thing again and again.
pub(super) fn busy() -> Problem {
    Problem::new(
        Code::Conflict,
        "credentials are being changed by others at this moment",
    )
    .hint("try again")
}
