//! The database file before SQLite sees it: made closed to others, and looked at without being touched.
//!
//! A file that is not ours must never be written to, and opening it with SQLite may already do that (a log
//! to be replayed, a `-shm` beside it). So its head is read first, as plain bytes.
//!
//! That has a trap: when a process closes any descriptor of a file, the kernel drops every POSIX lock that
//! the process holds on it, SQLite's too. So the head is read only while this process has no connection to
//! the file; the table of claims below knows.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use muster_model::ErrorKind;

use crate::error::Error;

/// Stands in the file's head (`PRAGMA application_id`): "Must".
pub(crate) const APPLICATION_ID: i32 = 0x4d75_7374;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEAD: usize = 100;
const APPLICATION_ID_AT: usize = 68;

/// A file by device and inode.
type FileId = (u64, u64);

/// The files that this process has open with SQLite, and how many times.
static CLAIMS: LazyLock<Mutex<HashMap<FileId, usize>>> = LazyLock::new(Mutex::default);

fn claims() -> MutexGuard<'static, HashMap<FileId, usize>> {
    CLAIMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that this process has the file open. To be dropped only once every connection is closed.
#[derive(Debug)]
pub(crate) struct Claim(FileId);

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = claims();
        if let Some(count) = claims.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                claims.remove(&self.0);
            }
        }
    }
}

/// Makes the file where it is missing, else checks that it is ours. Blocks on the disk.
pub(crate) fn claim(path: &Path) -> Result<Claim, Error> {
    let place = path.display();
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| refused(path, "the folder cannot be made", error))?;
    }
    let mut claims = claims();
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused(path, "it cannot be made", error)),
    }
    let about = fs::metadata(path).map_err(|error| refused(path, "it cannot be read", error))?;
    if !about.is_file() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("open {place}: it is not a file; name a file, which is made where it is missing"),
        ));
    }
    let id = (about.dev(), about.ino());
    if !claims.contains_key(&id) {
        check_head(path)?;
    }
    *claims.entry(id).or_default() += 1;
    Ok(Claim(id))
}

/// Reads the file's head: nothing at all, or a database of ours.
fn check_head(path: &Path) -> Result<(), Error> {
    let unreadable = |error| refused(path, "it cannot be opened for reading and writing", error);
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(unreadable)?;
    let mut head = Vec::with_capacity(HEAD);
    file.take(HEAD as u64)
        .read_to_end(&mut head)
        .map_err(unreadable)?;
    if head.is_empty() {
        return Ok(());
    }
    if head.len() < HEAD || !head.starts_with(MAGIC) {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "open {}: it is not a SQLite database; name another file, or move this one away",
                path.display()
            ),
        ));
    }
    if head[APPLICATION_ID_AT..APPLICATION_ID_AT + 4] != APPLICATION_ID.to_be_bytes() {
        return Err(not_ours(path.display()));
    }
    Ok(())
}

/// Returns the error of a database that some other program made.
pub(crate) fn not_ours(place: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "open {place}: it is a SQLite database of another program, and was left as it is; name \
             another file"
        ),
    )
}

fn refused(path: &Path, what: &str, error: io::Error) -> Error {
    Error::new(kind_of(error.kind()), format!("open {}: {what}", path.display())).caused_by(error)
}

/// Translates an error of the file system.
pub(crate) fn kind_of(error: io::ErrorKind) -> ErrorKind {
    match error {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        // A folder is to be made where a file is.
        io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::IsADirectory => ErrorKind::Invalid,
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::QuotaExceeded | io::ErrorKind::StorageFull | io::ErrorKind::Interrupted => {
            ErrorKind::Unavailable
        }
        io::ErrorKind::FileTooLarge => ErrorKind::TooLarge,
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_file_and_its_folder_are_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/muster.db");
        let claim = claim(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        drop(claim);
    }

    #[test]
    fn a_file_is_looked_at_only_while_nobody_here_has_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("muster.db");
        let first = claim(&path).unwrap();
        // Were the head read again, this would be refused.
        fs::write(
            &path,
            "no database at all, and more than a hundred bytes of it ".repeat(4),
        )
        .unwrap();
        let second = claim(&path).unwrap();
        drop(first);
        let third = claim(&path).unwrap();
        drop((second, third));
        assert_eq!(claim(&path).unwrap_err().kind, ErrorKind::Corrupt);
    }

    #[test]
    fn the_file_systems_errors_have_their_kinds() {
        use io::ErrorKind as I;
        for (error, kind) in [
            (I::PermissionDenied, ErrorKind::Denied),
            (I::ReadOnlyFilesystem, ErrorKind::Denied),
            (I::NotADirectory, ErrorKind::Invalid),
            (I::NotFound, ErrorKind::NotFound),
            (I::StorageFull, ErrorKind::Unavailable),
            (I::Other, ErrorKind::Unavailable),
        ] {
            assert_eq!(kind_of(error), kind, "{error}");
        }
    }
}
