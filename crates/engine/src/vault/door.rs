//! The engine's door: what the server may ask of credentials.

use muster_model::Problem;
use muster_model::inventory::CredentialName;
use muster_model::wire::credentials::{CredentialView, PutCredential, Rekeyed};

use crate::engine::Engine;

impl Engine {
    /// Returns all credentials: what they hold, never the secrets.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn credentials(&self) -> Result<Vec<CredentialView>, Problem> {
        self.core.credentials().await
    }

    /// Returns one credential.
    ///
    /// # Errors
    ///
    /// `unknown-credential`.
    pub async fn credential(&self, name: &CredentialName) -> Result<CredentialView, Problem> {
        self.core.credential(name).await
    }

    /// Seals a credential and writes it.
    ///
    /// # Errors
    ///
    /// `invalid-request` naming what cannot be kept, `already-exists`, `unknown-credential`, `vault-key`; nothing was
    /// changed then.
    pub async fn put_credential(
        &self,
        name: &CredentialName,
        put: PutCredential,
    ) -> Result<CredentialView, Problem> {
        self.core.put_credential(name, put).await
    }

    /// Removes a credential; one that hosts use only with `force`.
    ///
    /// # Errors
    ///
    /// `unknown-credential`; `conflict` naming how many hosts use it.
    pub async fn remove_credential(&self, name: &CredentialName, force: bool) -> Result<(), Problem> {
        self.core.remove_credential(name, force).await
    }

    /// Seals every credential with a new key. Ended half-way, it goes on where it is called again.
    ///
    /// # Errors
    ///
    /// `conflict` where there is no new key, or no vault yet; `vault-key`.
    pub async fn rekey(&self) -> Result<Rekeyed, Problem> {
        self.core.rekey().await
    }
}
