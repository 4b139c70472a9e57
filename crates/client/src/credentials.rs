//! What may be asked of credentials. No answer has a secret in it.

use hyper::Method;
use muster_model::Problem;
use muster_model::inventory::CredentialName;
use muster_model::wire::credentials::{CredentialView, PutCredential, Rekeyed};

use crate::Client;
use crate::request::{Query, encode};
use crate::send::{Again, Call};

impl Client {
    /// Returns all credentials: what they hold, never the secrets.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn credentials(&self) -> Result<Vec<CredentialView>, Problem> {
        self.json(Call::get("/credentials")).await
    }

    /// Returns one credential.
    ///
    /// # Errors
    ///
    /// `unknown-credential`.
    pub async fn credential(&self, name: &CredentialName) -> Result<CredentialView, Problem> {
        self.json(Call::get(format!("/credentials/{}", encode(name.as_str()))))
            .await
    }

    /// Has a credential kept.
    ///
    /// # Errors
    ///
    /// `invalid-request`, `already-exists`, `unknown-credential`, `vault-key`; nothing was changed then.
    pub async fn put_credential(
        &self,
        name: &CredentialName,
        put: &PutCredential,
    ) -> Result<CredentialView, Problem> {
        let path = format!("/credentials/{}", encode(name.as_str()));
        self.json(Call::new(Method::PUT, path, Again::No).json(put)?)
            .await
    }

    /// Removes a credential; one that hosts use only with `force`.
    ///
    /// # Errors
    ///
    /// `unknown-credential`; `conflict` naming how many hosts use it.
    pub async fn remove_credential(&self, name: &CredentialName, force: bool) -> Result<(), Problem> {
        let mut query = Query::default();
        query.add("force", force.then_some(true));
        let path = format!("/credentials/{}{}", encode(name.as_str()), query.0);
        self.done(Call::new(Method::DELETE, path, Again::No)).await
    }

    /// Has every credential sealed with a new key of the vault.
    ///
    /// # Errors
    ///
    /// `conflict` where there is no new key; `vault-key`.
    pub async fn rekey(&self) -> Result<Rekeyed, Problem> {
        self.json(Call::new(Method::POST, "/credentials/rekey", Again::No))
            .await
    }
}
