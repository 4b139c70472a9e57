//! Logs in files: `<folder>/<task>/<index>-<attempt>.log`, appended to with one write each.
//!
//! What was written survives the death of the process: it is in the kernel's hands. It is not forced onto
//! the disk, so a power cut may take the end of a log; the run's state, which is forced, then says so by
//! its byte counts.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use muster_model::output::{FRAME_BODY, FRAME_HEAD};
use muster_model::{ErrorKind, TaskId};

use super::{LogKey, Place, equal, frames};
use crate::adapters::sqlite::kind_of;
use crate::error::Error;

/// Open files are kept in shelves, each with its lock: an append holds up those of its own shelf alone.
const SHELVES: usize = 16;
/// Open files on a shelf; the one that was not used for longest makes room.
const ON_A_SHELF: usize = 8;

/// A folder of logs.
pub(crate) struct Folder {
    root: PathBuf,
    shelves: [Mutex<Vec<(LogKey, File)>>; SHELVES],
    hasher: RandomState,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            shelves: Default::default(),
            hasher: RandomState::new(),
        }
    }

    fn path(&self, key: LogKey) -> PathBuf {
        place(&self.root, key.run.task, key.run.index, key.attempt)
    }

    fn shelf(&self, key: LogKey) -> MutexGuard<'_, Vec<(LogKey, File)>> {
        let place = self.hasher.hash_one(key) as usize % SHELVES;
        self.shelves[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the log's open file, the last on the shelf, opened where it is not there.
fn take_down<'a>(shelf: &'a mut Vec<(LogKey, File)>, key: LogKey, path: &Path) -> io::Result<&'a mut File> {
    let entry = match shelf.iter().position(|(there, _)| *there == key) {
        Some(place) => shelf.remove(place),
        None => {
            if shelf.len() >= ON_A_SHELF {
                shelf.remove(0);
            }
            (key, open(path)?)
        }
    };
    Ok(&mut shelf.push_mut(entry).1)
}

fn open(path: &Path) -> io::Result<File> {
    let open = || {
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            open()
        }
        opened => opened,
    }
}

impl Place for Folder {
    fn append(&self, key: LogKey, at: u64, frames: &[u8]) -> Result<u64, Error> {
        let failed =
            |error: io::Error| Error::new(kind_of(error.kind()), format!("append to {key}")).caused_by(error);
        let path = self.path(key);
        let mut shelf = self.shelf(key);
        let file = take_down(&mut shelf, key, &path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let end = about.len();
        if about.nlink() > 1 {
            // Others have these bytes too.
            let closed = Error::new(ErrorKind::Conflict, format!("append to {key}, which has ended"));
            return Err(closed);
        }
        if end != at && !(end > at && drop_torn_end(file, at).map_err(failed)?) {
            return Err(key.not_the_end(at, end));
        }
        if let Err(error) = file.write_all(frames) {
            // A disk that is full may have taken a part: a log ends with a whole frame.
            file.set_len(at).map_err(failed)?;
            return Err(failed(error));
        }
        Ok(at + frames.len() as u64)
    }

    fn read(&self, key: LogKey, from: u64, most: usize) -> Result<Option<Bytes>, Error> {
        let failed =
            |error: io::Error| Error::new(kind_of(error.kind()), format!("read {key}")).caused_by(error);
        let file = match File::open(self.path(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let left = file.metadata().map_err(failed)?.len().saturating_sub(from);
        let read = |room: usize| {
            let room = usize::try_from(left).map_or(room, |left| left.min(room));
            let mut log = BytesMut::zeroed(room);
            let read = read_at_most(&file, &mut log, from).map_err(failed)?;
            log.truncate(read);
            match frames::within(&log, most) {
                Some(length) => {
                    log.truncate(length);
                    Ok(log.freeze())
                }
                None => Err(
                    Error::new(ErrorKind::Corrupt, format!("read {key} at byte {from}"))
                        .caused_by("no frame begins there, or the file is damaged"),
                ),
            }
        };
        let log = read(most)?;
        if log.is_empty() && left > most as u64 {
            // The first frame is longer than that, whatever its length.
            return read(FRAME_HEAD + FRAME_BODY).map(Some);
        }
        Ok(Some(log))
    }

    fn discard(&self, key: LogKey) -> Result<(), Error> {
        let mut shelf = self.shelf(key);
        shelf.retain(|(there, _)| *there != key);
        match fs::remove_file(self.path(key)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::new(kind_of(error.kind()), format!("discard {key}")).caused_by(error)),
        }
    }

    fn share(&self, key: LogKey) -> Result<(), Error> {
        let mut shelf = self.shelf(key);
        shelf.retain(|(there, _)| *there != key);
        equal::share(&self.root, &self.path(key))
            .map_err(|error| Error::new(kind_of(error.kind()), format!("share {key}")).caused_by(error))
    }

    fn remove_unshared(&self) -> Result<u64, Error> {
        equal::remove_unshared(&self.root)
            .map_err(|error| Error::new(kind_of(error.kind()), "remove shared output").caused_by(error))
    }

    fn discard_task(&self, task: TaskId) -> Result<(), Error> {
        for shelf in &self.shelves {
            let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            shelf.retain(|(there, _)| there.run.task != task);
        }
        match fs::remove_dir_all(self.root.join(task.to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let operation = format!("discard the output of task {task}");
                Err(Error::new(kind_of(error.kind()), operation).caused_by(error))
            }
            _ => Ok(()),
        }
    }
}

/// Returns where the log of an attempt lies under the folder of logs.
pub(crate) fn place(
    root: &Path,
    task: impl std::fmt::Display,
    index: impl std::fmt::Display,
    attempt: impl std::fmt::Display,
) -> PathBuf {
    root.join(task.to_string()).join(format!("{index}-{attempt}.log"))
}

/// Fills `room` from a place in a file; returns how much there was.
pub(crate) fn read_at_most(file: &File, room: &mut [u8], from: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < room.len() {
        match file.read_at(&mut room[read..], from + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Cuts the log at `at` where whole frames end there and no whole frame follows: what a process that died
/// in the middle of an append left. Tells whether it did. Walks the whole log, which is rare.
fn drop_torn_end(file: &File, at: u64) -> io::Result<bool> {
    let mut room = vec![0; 4 * (FRAME_HEAD + FRAME_BODY)];
    let mut done = 0;
    loop {
        let read = read_at_most(file, &mut room, done)?;
        match frames::whole(&room[..read]) {
            // Damage, or a head that was torn: nothing that may be cut without a human.
            None => return Ok(false),
            Some(0) => break,
            Some(whole) => done += whole as u64,
        }
    }
    if done != at {
        return Ok(false);
    }
    file.set_len(at)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use muster_model::output::encode;
    use muster_model::{RunKey, Stream, TaskId};

    use super::*;

    fn key(index: u32) -> LogKey {
        LogKey {
            run: RunKey {
                task: TaskId(7),
                index,
            },
            attempt: 1,
        }
    }

    fn frame(body: &[u8]) -> Bytes {
        let mut log = BytesMut::new();
        encode(&mut log, Stream::Stderr, body);
        log.freeze()
    }

    #[test]
    fn an_append_that_a_crash_tore_is_cut_off_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let first = frame(b"whole");
        let end = Folder::new(folder.path().into())
            .append(key(0), 0, &first)
            .unwrap();
        let path = folder.path().join("7/0-1.log");
        let mut log = fs::read(&path).unwrap();
        log.extend_from_slice(&frame(b"torn off here")[..9]);
        fs::write(&path, &log).unwrap();

        let logs = Folder::new(folder.path().into());
        let read = logs.read(key(0), 0, 1000).unwrap().unwrap();
        assert_eq!(read, first, "a reader never sees a torn frame");
        let refused = logs.append(key(0), 3, &first).unwrap_err();
        assert_eq!(
            refused.kind,
            ErrorKind::Conflict,
            "only at the end of a whole frame"
        );
        logs.append(key(0), end, &frame(b"next")).unwrap();
        let read = logs.read(key(0), end, 1000).unwrap().unwrap();
        assert_eq!(read, frame(b"next"));
    }

    #[test]
    fn a_damaged_log_is_said_to_be_corrupt_and_never_cut() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Folder::new(folder.path().into());
        let end = logs.append(key(0), 0, &frame(b"whole")).unwrap();
        let path = folder.path().join("7/0-1.log");
        let mut log = fs::read(&path).unwrap();
        log.extend_from_slice(b"scribble over it");
        fs::write(&path, &log).unwrap();
        assert_eq!(logs.read(key(0), end, 100).unwrap_err().kind, ErrorKind::Corrupt);
        assert_eq!(
            logs.append(key(0), end, &frame(b"x")).unwrap_err().kind,
            ErrorKind::Conflict
        );
        assert_eq!(fs::read(&path).unwrap(), log);
    }

    #[test]
    fn many_logs_are_written_with_few_open_files() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Folder::new(folder.path().into());
        for round in 0..2 {
            for index in 0..500 {
                let at = round * frame(b"line").len() as u64;
                logs.append(key(index), at, &frame(b"line")).unwrap();
            }
        }
        let open: usize = logs.shelves.iter().map(|shelf| shelf.lock().unwrap().len()).sum();
        assert!(open <= SHELVES * ON_A_SHELF, "{open} files are open");
        let read = logs.read(key(499), 0, 1000).unwrap().unwrap();
        assert_eq!(read.len(), 2 * frame(b"line").len());
    }
}
