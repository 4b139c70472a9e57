//! Keys that come from memory: those of stored credentials.

use std::sync::Arc;

use muster_model::Secret as Passphrase;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Certificate, HashAlg, PrivateKey, decode_secret_key};

use super::key_file::is_encrypted;
use super::stack::scrubbed;
use crate::stored::Prepared;

/// Checks a private key that is to be kept, and its certificate; the key comes back decrypted, in OpenSSH's own form.
/// Slow for encrypted keys, on purpose of theirs: not on a thread that serves others.
///
/// # Errors
///
/// What is wrong, for people; nothing of the key is shown.
pub fn prepare_key(
    text: &Passphrase,
    passphrase: Option<&Passphrase>,
    certificate: Option<&str>,
) -> Result<Prepared, String> {
    scrubbed(|| prepare(text.expose(), passphrase, certificate))
}

fn prepare(
    text: &str,
    passphrase: Option<&Passphrase>,
    certificate: Option<&str>,
) -> Result<Prepared, String> {
    let encrypted = is_encrypted(text);
    let key = match (encrypted, passphrase) {
        (true, None) => Err("the key is encrypted, and its passphrase is not given".to_owned()),
        (false, Some(_)) => Err("the key is not encrypted, and a passphrase is given for it".to_owned()),
        (true, Some(passphrase)) => {
            decrypted(text, passphrase).ok_or_else(|| "the passphrase does not open the key".to_owned())
        }
        (false, None) => plain(text).ok_or_else(|| {
            "it is not a private key that can be read: OpenSSH's own form and PEM are".to_owned()
        }),
    }?;
    if let Some(certificate) = certificate {
        let certificate = Certificate::from_openssh(certificate.trim())
            .map_err(|_| "it is not a certificate of OpenSSH's form".to_owned())?;
        if certificate.public_key() != key.public_key().key_data() {
            return Err("the certificate is of another key".to_owned());
        }
    }
    let public = format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256));
    let text = key
        .to_openssh(LineEnding::LF)
        .map_err(|_| "the key cannot be written in OpenSSH's own form".to_owned())?;
    Ok(Prepared {
        key: Passphrase::new(text.as_str().to_owned()),
        public,
    })
}

fn decrypted(text: &str, passphrase: &Passphrase) -> Option<PrivateKey> {
    // OpenSSH's own form is read without a copy that is not wiped; the other reader leaves some.
    match PrivateKey::from_openssh(text.as_bytes()) {
        Ok(key) => key.decrypt(passphrase.expose()).ok(),
        Err(_) => decode_secret_key(text, Some(passphrase.expose())).ok(),
    }
}

/// Reads a key that is not encrypted.
pub(super) fn open(text: &str) -> Option<Arc<PrivateKey>> {
    scrubbed(|| plain(text).map(Arc::new))
}

fn plain(text: &str) -> Option<PrivateKey> {
    match PrivateKey::from_openssh(text.as_bytes()) {
        Ok(key) => (!key.is_encrypted()).then_some(key),
        Err(_) => decode_secret_key(text, None).ok(),
    }
}
