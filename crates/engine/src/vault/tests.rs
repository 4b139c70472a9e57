//! The vault: its format, its keys, and what is left when a change of keys ends half-way.

mod format;
mod keys;
mod rekey;

use std::path::Path;
use std::sync::Arc;

use muster_model::Secret;
use muster_runtime::Tasks;
use muster_store::{Opened, SealedCredential};
use tempfile::TempDir;

use super::KeySource;
use super::contents::Contents;
use super::ring::{Vault, about};

/// A database and a place for a key.
struct Place {
    folder: TempDir,
    database: Opened,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = muster_store::open("sqlite::memory:", &Tasks::new())
            .await
            .expect("a database");
        Self { folder, database }
    }

    fn key(&self) -> std::path::PathBuf {
        self.folder.path().join("state/vault.key")
    }

    /// A server's vault on this database.
    fn vault(&self) -> Vault {
        self.with(KeySource::File(self.key()))
    }

    fn with(&self, source: KeySource) -> Vault {
        Vault::new(Arc::clone(&self.database.vault), source)
    }
}

fn password(text: &str) -> Contents {
    Contents {
        password: Some(Secret::new(text.to_owned())),
        ..Contents::default()
    }
}

/// Seals and writes a credential as the verbs do.
async fn put(vault: &Vault, name: &str, text: &str) {
    let contents = password(text);
    let ring = vault.sealing().await.expect("a key");
    let mut record = SealedCredential {
        name: name.parse().expect("a name"),
        user: Some("deploy".into()),
        holds: contents.holds(),
        public_key: None,
        key_id: ring.0[0].id().to_owned(),
        sealed: bytes::Bytes::new(),
        version: 0,
        created_at: muster_runtime::now(),
        changed_at: muster_runtime::now(),
    };
    record.sealed = ring.0[0]
        .seal(&about(&record), &contents.encode())
        .expect("it is sealed");
    let put = vault.store.put_credential(record).await.expect("an answer");
    assert_eq!(put, muster_store::Put::Done);
}

async fn opened(vault: &Vault, name: &str) -> Option<String> {
    let handle = vault.find(name).await.expect("an answer")?;
    let contents = handle.open().expect("it opens");
    contents.password.map(|secret| secret.expose().to_owned())
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}
