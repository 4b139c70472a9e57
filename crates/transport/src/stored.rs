//! Credentials that are kept sealed: what a login gets instead of secrets, and the check of keys that are to be kept.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use muster_model::Secret;

pub use crate::adapters::ssh::prepare_key;

/// Opens a sealed credential.
pub trait Unseal: Send + Sync {
    /// Returns the secrets. Called for each login, just before it; they are dropped with it.
    ///
    /// # Errors
    ///
    /// Why it cannot be opened, for people.
    fn unseal(&self) -> Result<Unsealed, String>;
}

/// A credential that is opened only while somebody logs in with it. Two are the same where their marks are.
#[derive(Clone)]
pub struct Stored {
    /// Its name, for messages.
    pub name: String,
    /// Another for each content: connections that were made with another content are not shared.
    pub mark: String,
    /// Opens it.
    pub seal: Arc<dyn Unseal>,
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.mark) == (&other.name, &other.mark)
    }
}

impl Eq for Stored {}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.mark).hash(state);
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({})", self.name)
    }
}

/// The secrets of a credential, for one login.
#[derive(Default)]
pub struct Unsealed {
    /// A private key in OpenSSH's own form, not encrypted.
    pub key: Option<Secret>,
    /// Its certificate.
    pub certificate: Option<Secret>,
    /// For keys in files.
    pub passphrase: Option<Secret>,
    /// For password and keyboard-interactive.
    pub password: Option<Secret>,
}

/// A private key that was looked at.
pub struct Prepared {
    /// The key in OpenSSH's own form, not encrypted.
    pub key: Secret,
    /// Its algorithm and the fingerprint of its public half.
    pub public: String,
}
