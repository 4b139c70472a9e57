//! The files of `ssh_config` on the disk, read again only when they change.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::evaluate::{Problem, Root, Source};
use super::glob;
use super::statement::{self, Criterion, FILE_BYTES, Numbered, Statement, Wrong};
use crate::adapters::ssh::stamp::Stamp;

/// The most files that are remembered.
const MOST: usize = 1024;

type Parsed = Result<Arc<Vec<Numbered>>, Wrong>;

static FILES: LazyLock<Mutex<HashMap<PathBuf, (Stamp, Parsed)>>> = LazyLock::new(Mutex::default);

/// The real files.
pub(crate) struct Disk;

impl Source for Disk {
    fn statements(&self, path: &Path, root: &Root) -> Result<Option<Arc<Vec<Numbered>>>, Problem> {
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(path, &error)),
        };
        if root.private {
            let owner = metadata.uid();
            let ours = owner == 0 || owner == nix::unistd::Uid::effective().as_raw();
            if !ours || metadata.mode() & 0o022 != 0 {
                return Err(Problem(format!(
                    "{}: others can change this file: make it yours (chown) and run 'chmod go-w {0}'",
                    path.display()
                )));
            }
        }
        // A device says nothing (`-F /dev/null`), and may have no end.
        if !metadata.is_file() {
            return Ok(Some(Arc::default()));
        }
        let stamp = Stamp::of(&metadata);
        let known = lock()
            .get(path)
            .filter(|(at, _)| *at == stamp)
            .map(|(_, parsed)| parsed.clone());
        let parsed = match known {
            Some(parsed) => parsed,
            None => {
                let parsed = read(path)?;
                let mut files = lock();
                if files.len() >= MOST {
                    files.clear();
                }
                files.insert(path.to_owned(), (stamp, parsed.clone()));
                parsed
            }
        };
        parsed
            .map(Some)
            .map_err(|wrong| Problem(format!("{} line {}: {}", path.display(), wrong.line, wrong.what)))
    }

    fn files(&self, pattern: &str) -> Vec<PathBuf> {
        glob::glob(pattern)
    }
}

fn lock() -> std::sync::MutexGuard<'static, HashMap<PathBuf, (Stamp, Parsed)>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path) -> Result<Parsed, Problem> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    if bytes.len() > FILE_BYTES {
        return Err(Problem(format!(
            "{}: the file is larger than 4 MiB",
            path.display()
        )));
    }
    let parsed = statement::read(&String::from_utf8_lossy(&bytes)).map(Arc::new);
    for (line, statement) in parsed.iter().flat_map(|statements| statements.iter()) {
        let Statement::Match(criteria) = statement else {
            continue;
        };
        for (_, criterion) in criteria {
            if let Criterion::Unsupported(name) = criterion {
                tracing::warn!(file = %path.display(), line, criterion = %name,
                    "a Match block is skipped: Muster does not decide this criterion");
            }
        }
    }
    Ok(parsed)
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem(format!("{}: it cannot be read: {error}", path.display()))
}
