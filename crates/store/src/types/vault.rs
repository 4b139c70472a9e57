//! The plain types of sealed credentials. What is sealed is noise here: the store never sees a secret.

use bytes::Bytes;
use muster_model::inventory::CredentialName;
use muster_model::{TaskId, Timestamp};

/// The most bytes that a sealed credential or a canary has.
pub const SEALED_BYTES: usize = 1024 * 1024;

/// A credential, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedCredential {
    /// Its name.
    pub name: CredentialName,
    /// The user to log in as.
    pub user: Option<String>,
    /// What is in it: names and commas.
    pub holds: String,
    /// The public half of its key, for people.
    pub public_key: Option<String>,
    /// The id of the key that it is sealed with.
    pub key_id: String,
    /// The secrets, sealed.
    pub sealed: Bytes,
    /// Grows with each write. It is the store's: what is put has the one that it replaces.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its content was last changed: sealing it again with another key is no change.
    pub changed_at: Timestamp,
}

/// The answer to a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is written.
    Done,
    /// Another version is there, or none, or one where there should be none: nothing was written.
    Changed,
    /// The key that it is sealed with is retired or not known: nothing was written.
    KeyGone,
}

/// The answer to a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Done,
    /// There was none.
    NotThere,
    /// So many hosts of the inventory name it: it stays.
    Used(u64),
}

/// A key of the vault: not the key itself, but how it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultKey {
    /// Its id.
    pub id: String,
    /// Something known, sealed with it: who opens that has the right key.
    pub canary: Bytes,
    /// When it was first used.
    pub created_at: Timestamp,
    /// Since when nothing is sealed with it.
    pub retired_at: Option<Timestamp>,
}

/// Secrets that are given with a task, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSecrets {
    /// The id of the key that they are sealed with; it must be in use.
    pub key_id: String,
    /// The secrets.
    pub sealed: Bytes,
}

/// The sealed secrets of a task, with what they are bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecrets {
    /// The task.
    pub task: TaskId,
    /// The name of the request that made it.
    pub request_id: String,
    /// Who asked for it.
    pub owner: String,
    /// When.
    pub created_at: Timestamp,
    /// The id of the key that they are sealed with.
    pub key_id: String,
    /// The secrets.
    pub sealed: Bytes,
}
