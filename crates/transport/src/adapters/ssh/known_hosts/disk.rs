//! `known_hosts` files on the disk, read again only when they change.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use tokio::sync::Mutex;

use super::index::KnownHosts;
use crate::adapters::ssh::stamp::Stamp;

/// The longest file that is read, in bytes.
const FILE_BYTES: u64 = 256 * 1024 * 1024;

/// The most files that are remembered.
const MOST: usize = 256;

type Remembered<T> = LazyLock<Mutex<HashMap<PathBuf, (Stamp, Arc<T>)>>>;

static FILES: Remembered<KnownHosts> = LazyLock::new(Mutex::default);
static REVOKED: Remembered<Vec<Vec<u8>>> = LazyLock::new(Mutex::default);

/// Returns the files that there are, in order; one that does not exist knows nobody.
///
/// # Errors
///
/// What cannot be read, for people.
pub(crate) async fn load(paths: &[PathBuf]) -> Result<Vec<Arc<KnownHosts>>, String> {
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        files.extend(remembered(&FILES, path, |path, text| Ok(KnownHosts::read(path, text))).await?);
    }
    Ok(files)
}

/// Returns the keys of a `RevokedHostKeys` file: public keys, one a line.
///
/// # Errors
///
/// What cannot be read, for people. A file that is missing is an error, as in OpenSSH: nobody can know
/// which keys it revokes.
pub(crate) async fn load_revoked(path: &Path) -> Result<Arc<Vec<Vec<u8>>>, String> {
    let keys = remembered(&REVOKED, path, |path, text| {
        if text.starts_with("SSHKRL") {
            return Err(format!(
                "{}: binary key revocation lists are not supported: list public keys, one a line",
                path.display()
            ));
        }
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| revoked_key(path, line)).collect()
    });
    keys.await?
        .ok_or_else(|| format!("{} (RevokedHostKeys): there is no such file", path.display()))
}

fn revoked_key(path: &Path, line: &str) -> Result<Vec<u8>, String> {
    let key = russh::keys::PublicKey::from_openssh(line).and_then(|key| key.to_bytes());
    key.map_err(|_| format!("{} (RevokedHostKeys): a line holds no public key", path.display()))
}

/// Returns what a file says, as remembered where it has not changed. Only one at a time reads: 500 logins
/// that begin together read a file once.
async fn remembered<T: Send + Sync + 'static>(
    files: &'static Remembered<T>,
    path: &Path,
    read: fn(&Path, &str) -> Result<T, String>,
) -> Result<Option<Arc<T>>, String> {
    let mut files = files.lock().await;
    // A look at a file costs microseconds, a thread for it more: reading alone goes to one.
    match std::fs::metadata(path) {
        Ok(metadata) => {
            if let Some((at, value)) = files.get(path)
                && *at == Stamp::of(&metadata)
            {
                return Ok(Some(Arc::clone(value)));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) => {}
    }
    let path = path.to_owned();
    let work = move || -> Result<Option<(PathBuf, Stamp, Arc<T>)>, String> {
        let unreadable = |error: io::Error| format!("{}: it cannot be read: {error}", path.display());
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let stamp = Stamp::of(&metadata);
        if metadata.len() > FILE_BYTES {
            return Err(format!("{}: the file is larger than 256 MiB", path.display()));
        }
        // Devices and pipes may have no end; /dev/null is a way to say that nobody is known.
        let bytes = if metadata.is_file() {
            std::fs::read(&path).map_err(unreadable)?
        } else {
            Vec::new()
        };
        let value = read(&path, &String::from_utf8_lossy(&bytes))?;
        Ok(Some((path, stamp, Arc::new(value))))
    };
    let read = tokio::task::spawn_blocking(work).await;
    match read.map_err(|_| "reading a file was interrupted".to_owned())?? {
        Some((path, stamp, value)) => {
            if files.len() >= MOST {
                files.clear();
            }
            files.insert(path, (stamp, Arc::clone(&value)));
            Ok(Some(value))
        }
        None => Ok(None),
    }
}
