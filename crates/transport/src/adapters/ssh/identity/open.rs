//! Opening encrypted keys: slow on purpose (bcrypt), so it is done once for a key and a passphrase, on a
//! thread of its own, however many hosts wait for it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use muster_model::Secret as Passphrase;
use muster_runtime::clock;
use russh::keys::{PrivateKey, decode_secret_key};
use sha1::Sha1;
use tokio::sync::OnceCell;

use super::key_file::{KeyFile, Secret, Unusable};
use crate::adapters::ssh::stamp::Stamp;

/// An open key is forgotten (and wiped) when nobody has used it for so long.
const FORGET: Duration = Duration::from_secs(10 * 60);

/// A file as it was when it was read, and a digest of the passphrase: never the passphrase itself.
type Key = (PathBuf, Option<Stamp>, Vec<u8>);
type Opened = Arc<OnceCell<Result<Arc<PrivateKey>, Unusable>>>;

static OPEN: LazyLock<Mutex<HashMap<Key, (Duration, Opened)>>> = LazyLock::new(Mutex::default);

/// Returns a file's private key.
pub(super) async fn open(
    file: &Arc<KeyFile>,
    passphrase: Option<&Passphrase>,
) -> Result<Arc<PrivateKey>, Unusable> {
    match &file.secret {
        Secret::None => return Err(Unusable::PublicOnly),
        Secret::Plain(key) => return Ok(Arc::clone(key)),
        Secret::Encrypted(_) => {}
    }
    let passphrase = passphrase.ok_or(Unusable::Encrypted)?.clone();
    let key = (file.path.clone(), file.stamp, digest(passphrase.expose()));
    let cell = {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::monotonic();
        open.retain(|_, (used, _)| now.saturating_sub(*used) < FORGET);
        let (used, cell) = open.entry(key).or_insert_with(|| (now, Opened::default()));
        *used = now;
        Arc::clone(cell)
    };
    let opening = cell.get_or_init(|| async {
        let file = Arc::clone(file);
        let work = move || decrypt(&file, &passphrase);
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result.map(Arc::new),
            Err(_) => Err(Unusable::Unreadable("opening it was interrupted".to_owned())),
        }
    });
    opening.await.clone()
}

fn decrypt(file: &KeyFile, passphrase: &Passphrase) -> Result<PrivateKey, Unusable> {
    let Secret::Encrypted(text) = &file.secret else {
        return Err(Unusable::PublicOnly);
    };
    // A form that cannot be read fails like a wrong passphrase: only OpenSSH's own tells them apart.
    decode_secret_key(text, Some(passphrase.expose())).map_err(|_| {
        let known = PrivateKey::from_openssh(text.as_bytes()).is_ok()
            || text.contains("ENCRYPTED PRIVATE KEY")
            || text.contains("DEK-Info: AES-128-CBC");
        if known {
            Unusable::WrongPassphrase
        } else {
            Unusable::NotAKey
        }
    })
}

/// Returns a digest that is worth nothing outside this process.
fn digest(passphrase: &str) -> Vec<u8> {
    static SALT: LazyLock<[u8; 32]> = LazyLock::new(|| {
        let mut salt = [0; 32];
        // Without randomness the digest is still a digest; nothing is written anywhere.
        let _ = getrandom::fill(&mut salt);
        salt
    });
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&*SALT) else {
        return Vec::new();
    };
    mac.update(passphrase.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
