//! The port of sealed credentials.

use async_trait::async_trait;
use muster_model::{TaskId, Timestamp};

use crate::error::Error;
use crate::types::vault::{Put, Removed, SealedCredential, SealedSecrets, TaskSecrets, VaultKey};

/// Credentials, sealed by who calls: nothing here can be read without a key that the database does not have.
///
/// Every method that changes something is durable when it returns `Ok`, and does all or nothing where its future is
/// dropped. Changes come one after the other: what a method checks still holds when it writes.
#[async_trait]
pub trait Vault: Send + Sync + 'static {
    /// Returns a credential.
    async fn credential(&self, name: &str) -> Result<Option<SealedCredential>, Error>;

    /// Returns all credentials, by name, each with the number of hosts of the inventory that name it.
    async fn credentials(&self) -> Result<Vec<(SealedCredential, u64)>, Error>;

    /// Writes a credential by compare-and-set on its version: 0 where there must be none. The one that is written has
    /// the next version.
    async fn put_credential(&self, credential: SealedCredential) -> Result<Put, Error>;

    /// Removes a credential; one that hosts name only with `force`.
    async fn remove_credential(&self, name: &str, force: bool) -> Result<Removed, Error>;

    /// Returns the keys that were ever used, oldest first.
    async fn vault_keys(&self) -> Result<Vec<VaultKey>, Error>;

    /// Adds a key, where the keys that are not retired are those of `beside` and no others; tells whether it did.
    async fn add_vault_key(&self, key: VaultKey, beside: &[String]) -> Result<bool, Error>;

    /// Retires a key, where no credential and no task's secrets are sealed with it; tells whether it is retired now.
    async fn retire_vault_key(&self, id: &str, at: Timestamp) -> Result<bool, Error>;

    /// Returns the secrets that were given with a task; None where there are none, or it is done.
    async fn task_secrets(&self, task: TaskId) -> Result<Option<SealedSecrets>, Error>;

    /// Returns the secrets of all tasks.
    async fn all_task_secrets(&self) -> Result<Vec<SealedSecrets>, Error>;

    /// Puts the secrets of a task, sealed anew, in the place of `old`, where those are there still.
    async fn reseal_task_secrets(&self, old: SealedSecrets, new: TaskSecrets) -> Result<(), Error>;
}
