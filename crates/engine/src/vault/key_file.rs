//! The file with the vault's keys: ours alone, whole at every moment, never overwritten in place.
//!
//! A key a line, in base64; the first is the one in use, others are there while credentials are sealed anew.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use muster_model::Problem;
use muster_model::problem::Code;
use muster_runtime::clock;
use nix::fcntl::{Flock, FlockArg};
use zeroize::Zeroizing;

use super::seal::MasterKey;

/// The longest file that is read, in bytes.
const FILE_BYTES: u64 = 64 * 1024;
/// How long another process may hold the lock.
const TURN: Duration = Duration::from_secs(20);

const HEAD: &str = "\
# The key that Muster's credentials are sealed with. Without it they cannot be opened: keep a copy, and not beside
# one of the database. `muster credentials rekey` puts another key in its place.
";

/// Reads the keys; None where there is no file.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, Problem> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(path, "read", &error)),
    };
    let found = file.metadata().map_err(|error| cannot(path, "read", &error))?;
    let shown = path.display();
    let refuse = |what: String, hint: String| {
        let what = format!("the file of the vault's key, {shown}, {what}");
        Err(Problem::new(Code::VaultKey, what).hint(hint))
    };
    let us = nix::unistd::geteuid().as_raw();
    if !found.is_file() || found.len() > FILE_BYTES {
        return refuse(
            "is no file of keys".to_owned(),
            "see what it is, and put the right one in its place".to_owned(),
        );
    }
    if found.uid() != us {
        return refuse(
            format!("belongs to user {}, and you are user {us}", found.uid()),
            format!("if it is yours all the same: sudo chown {us} {shown}"),
        );
    }
    if found.mode() & 0o077 != 0 {
        return refuse(
            format!("can be read by others (mode {:04o})", found.mode() & 0o7777),
            format!("chmod 600 {shown}; where others had a look: muster credentials rekey"),
        );
    }
    // Room for all of it from the start: a buffer that grows leaves its old place behind.
    let length = usize::try_from(found.len()).unwrap_or(0);
    let mut text = Zeroizing::new(String::with_capacity(length + 64));
    file.read_to_string(&mut text)
        .map_err(|error| cannot(path, "read", &error))?;
    Ok(Some(text))
}

/// Makes the file with one key. Where another process was first, its file stays.
pub(super) fn make(path: &Path, key: &MasterKey) -> Result<(), Problem> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| cannot(folder, "made", &error))?;
    }
    let new = write_beside(path, &[key])?;
    // A link is there whole or not at all, and never in the place of a file that is there.
    let linked = std::fs::hard_link(&new, path);
    let _ = std::fs::remove_file(&new);
    match linked {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(cannot(path, "made", &error)),
    }
}

/// Puts these keys in the place of those that the file has. Only under the lock.
pub(super) fn replace(path: &Path, keys: &[&MasterKey]) -> Result<(), Problem> {
    let new = write_beside(path, keys)?;
    std::fs::rename(&new, path).map_err(|error| {
        let _ = std::fs::remove_file(&new);
        cannot(path, "replaced", &error)
    })?;
    sync_folder(path)
}

/// Writes the keys to a new file in the same folder, down to the disk.
fn write_beside(path: &Path, keys: &[&MasterKey]) -> Result<PathBuf, Problem> {
    let mut text = Zeroizing::new(String::with_capacity(HEAD.len() + keys.len() * 64));
    text.push_str(HEAD);
    for key in keys {
        text.push_str(&key.text());
        text.push('\n');
    }
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let new = beside(path, &format!("new-{}-{number}", std::process::id()));
    // What a process of this number left behind when it died.
    let _ = std::fs::remove_file(&new);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    match written {
        Ok(()) => Ok(new),
        Err(error) => Err(cannot(&new, "written", &error)),
    }
}

fn sync_folder(path: &Path) -> Result<(), Problem> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| cannot(folder, "written", &error))
}

/// Keeps other processes from changing the file while it is held.
pub(super) async fn lock(path: &Path) -> Result<Flock<File>, Problem> {
    let place = beside(path, "lock");
    let give_up = clock::monotonic() + TURN;
    loop {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&place)
            .map_err(|error| cannot(&place, "made", &error))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err(_) if clock::monotonic() < give_up => clock::sleep(Duration::from_millis(100)).await,
            Err(_) => {
                return Err(Problem::new(
                    Code::Conflict,
                    format!("another process is changing {}", path.display()),
                )
                .hint("try again when it is done"));
            }
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

fn cannot(path: &Path, what: &str, error: &std::io::Error) -> Problem {
    Problem::new(
        Code::VaultKey,
        format!("{} cannot be {what}: {error}", path.display()),
    )
    .hint("`muster config` shows where the setting 'vault_key' comes from")
}
