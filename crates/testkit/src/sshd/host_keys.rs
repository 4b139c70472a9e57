//! The host keys of the tests' servers: found once for a user and then copied, because an RSA key takes long.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Builder, permit};
use crate::error::{Error, Result};
use crate::keys::{self, For, KeyKind};
use crate::private;

/// Returns where a server has its key of this kind.
pub(super) fn path(dir: &Path, kind: KeyKind) -> PathBuf {
    dir.join(format!("host_{}", kind.name()))
}

/// Puts the keys (and the certificate) that the settings ask for into the server's folder.
pub(super) fn install(builder: &Builder, dir: &Path) -> Result<()> {
    for kind in &builder.host_key_types {
        let path = path(dir, *kind);
        if builder.fresh_host_keys {
            keys::generate_at(&path, *kind, None)?;
            continue;
        }
        let shared = shared(*kind)?;
        fs::copy(keys::public(&shared), keys::public(&path)).map_err(Error::io(&path))?;
        fs::copy(&shared, &path).map_err(Error::io(&path))?;
        permit(&path, 0o600)?;
    }
    if let Some((ca, principals)) = &builder.host_ca {
        let names: Vec<&str> = principals.iter().map(String::as_str).collect();
        keys::sign(ca, &path(dir, KeyKind::Ed25519), For::Hosts, &names, None)?;
    }
    Ok(())
}

/// Puts another pair in the place of a key.
pub(super) fn replace(dir: &Path, kind: KeyKind, key: &Path) -> Result<()> {
    let path = path(dir, kind);
    fs::copy(keys::public(key), keys::public(&path)).map_err(Error::io(&path))?;
    fs::copy(key, &path).map_err(Error::io(&path))?;
    permit(&path, 0o600)
}

/// Returns the shared key of this kind, generated where it is not there yet.
fn shared(kind: KeyKind) -> Result<PathBuf> {
    let pair = private::kept(kind.name(), |fresh| {
        keys::generate_at(&fresh.join("key"), kind, None)
    })?;
    Ok(pair.join("key"))
}
