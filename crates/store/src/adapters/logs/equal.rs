//! Equal logs in files, kept once: each is a hard link to the same file, and `equal/<hash>` is one more.
//!
//! The file system counts who has it. What is written stays as it is: a log that has ended is never appended to. Where
//! links cannot be had (a file system without them, too many of one file), a log keeps its own copy.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use sha2::{Digest, Sha256};

/// The folder of the shared names; no task has that for a number.
pub(crate) const FOLDER: &str = "equal";

/// Puts a log into one with those that are equal, where it is there.
pub(super) fn share(root: &Path, log: &Path) -> io::Result<()> {
    let hash = match hash(log) {
        Ok(hash) => hash,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let folder = root.join(FOLDER);
    let shared = folder.join(hash);
    let mut linked = fs::hard_link(log, &shared);
    if is(&linked, io::ErrorKind::NotFound) {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        linked = fs::hard_link(log, &shared);
    }
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => take(log, &shared),
        Err(error) if is_no_link(error.kind()) => Ok(()),
        linked => linked,
    }
}

/// Has `log` be the file that is shared.
fn take(log: &Path, shared: &Path) -> io::Result<()> {
    let (own, there) = (fs::metadata(log)?, fs::metadata(shared)?);
    if (own.dev(), own.ino()) == (there.dev(), there.ino()) {
        return Ok(());
    }
    let new = log.with_extension("equal");
    // One that was left behind by a death.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A power cut may have taken the end of what is shared: then this is the one to be shared from now on.
    let (whole, name) = match there.len() == own.len() {
        true => (shared, log),
        false => (log, shared),
    };
    match fs::hard_link(whole, &new) {
        Ok(()) => fs::rename(&new, name),
        // So many have it that the file system takes no more: the next ones share this one.
        Err(error) if error.kind() == io::ErrorKind::TooManyLinks => {
            fs::hard_link(log, &new)?;
            fs::rename(&new, shared)
        }
        // It has just gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_no_link(error.kind()) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is(result: &io::Result<()>, kind: io::ErrorKind) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == kind)
}

fn is_no_link(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::CrossesDevices
    )
}

fn hash(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 256 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Deletes the shared names of files that are no log's any more.
pub(super) fn remove_unshared(root: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(root.join(FOLDER)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        // Who takes it in this very moment has its own link to it.
        if entry.metadata()?.nlink() == 1 {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) -> std::path::PathBuf {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn links(path: &Path) -> u64 {
        fs::metadata(path).unwrap().nlink()
    }

    #[test]
    fn equal_logs_are_one_file_and_each_may_go() {
        let root = tempfile::tempdir().unwrap();
        let logs: Vec<_> = (0..5)
            .map(|number| write(root.path(), &format!("7/{number}-1.log"), "the same"))
            .collect();
        let other = write(root.path(), "7/9-1.log", "not that");
        for log in logs.iter().chain([&other]) {
            share(root.path(), log).unwrap();
            share(root.path(), log).unwrap();
        }
        assert_eq!(links(&logs[0]), 6);
        assert_eq!(links(&other), 2);
        assert_eq!(remove_unshared(root.path()).unwrap(), 0);
        for log in &logs[1..] {
            fs::remove_file(log).unwrap();
        }
        assert_eq!(fs::read_to_string(&logs[0]).unwrap(), "the same");
        assert_eq!(remove_unshared(root.path()).unwrap(), 0);
        fs::remove_file(&logs[0]).unwrap();
        assert_eq!(remove_unshared(root.path()).unwrap(), 1);
    }

    #[test]
    fn what_a_power_cut_has_shortened_is_taken_by_nobody() {
        let root = tempfile::tempdir().unwrap();
        let first = write(root.path(), "7/0-1.log", "the whole of it");
        share(root.path(), &first).unwrap();
        File::options()
            .write(true)
            .open(&first)
            .unwrap()
            .set_len(3)
            .unwrap();
        let second = write(root.path(), "7/1-1.log", "the whole of it");
        let third = write(root.path(), "7/2-1.log", "the whole of it");
        share(root.path(), &second).unwrap();
        share(root.path(), &third).unwrap();
        assert_eq!(fs::read_to_string(&third).unwrap(), "the whole of it");
        assert_eq!(links(&third), 3);
    }

    #[test]
    fn a_log_that_is_not_there_is_no_error() {
        let root = tempfile::tempdir().unwrap();
        share(root.path(), &root.path().join("7/0-1.log")).unwrap();
        assert_eq!(remove_unshared(root.path()).unwrap(), 0);
    }
}
