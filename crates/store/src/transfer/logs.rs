//! Output logs: read from pieces in tables and from files, written as the one or the other, and summed up by what is
//! in them, however it is cut.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use muster_model::ErrorKind;
use muster_model::output::{FRAME_BODY, FRAME_HEAD};
use sea_orm::{ConnectionTrait, DbBackend, Value};
use sha2::{Digest, Sha256};

use super::insert;
use super::pages::Pages;
use super::plan::Table;
use super::side::Side;
use super::sum::Sum;
use crate::adapters::logs::{disk, frames};
use crate::adapters::sql::translate::during;
use crate::adapters::sqlite::kind_of;
use crate::error::Error;

/// Whole frames of a file are read so many bytes at a time.
const AT_A_TIME: usize = 4 * (FRAME_HEAD + FRAME_BODY);
/// Pieces that travel together have at most so many bytes, the last one apart.
const TOGETHER: usize = 4 * 1024 * 1024;

/// Task, index, attempt.
type Key = (i64, i64, i64);

/// A part of a log that begins and ends with whole frames.
pub(crate) struct Piece {
    key: Key,
    at: u64,
    frames: Vec<u8>,
}

/// A walk through all logs of a database, each from its beginning to its end.
pub(crate) struct Reader<'t> {
    backend: DbBackend,
    pieces: Option<Pages<'t>>,
    files: Option<Files>,
}

impl<'t> Reader<'t> {
    /// Returns a walk through the logs of tasks up to `newest`.
    pub(crate) fn of(side: &Side, table: &'t Table, newest: i64) -> Self {
        let backend = side.db.get_database_backend();
        Self {
            backend,
            pieces: Some(Pages::of(table, backend)),
            files: side.folder.clone().map(|root| Files {
                root,
                newest,
                tasks: None,
                logs: VecDeque::new(),
                open: None,
            }),
        }
    }

    /// Returns the next pieces; none at the end.
    pub(crate) async fn next<C: ConnectionTrait>(&mut self, db: &C) -> Result<Vec<Piece>, Error> {
        debug_assert_eq!(db.get_database_backend(), self.backend);
        if let Some(pages) = &mut self.pieces {
            let rows = pages.next(db).await.map_err(during("read output"))?;
            if !rows.is_empty() {
                return rows.into_iter().map(piece).collect();
            }
            self.pieces = None;
        }
        let Some(mut files) = self.files.take() else {
            return Ok(Vec::new());
        };
        let step = tokio::task::spawn_blocking(move || files.next().map(|pieces| (files, pieces)));
        let (files, pieces) = step
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, "read output").caused_by(error))??;
        self.files = Some(files);
        Ok(pieces)
    }
}

fn piece(row: Vec<Value>) -> Result<Piece, Error> {
    let row: Result<[Value; 6], _> = row.try_into();
    match row {
        Ok(
            [
                Value::BigInt(Some(task)),
                Value::BigInt(Some(index)),
                Value::BigInt(Some(attempt)),
                Value::BigInt(Some(begins)),
                Value::BigInt(Some(_)),
                Value::Bytes(Some(frames)),
            ],
        ) => Ok(Piece {
            key: (task, index, attempt),
            at: u64::try_from(begins).unwrap_or(0),
            frames,
        }),
        _ => Err(Error::new(ErrorKind::Corrupt, "read output")),
    }
}

/// A walk through a folder of logs. Methods block on the disk.
struct Files {
    root: PathBuf,
    newest: i64,
    /// Tasks that are still to be walked through; None: not looked for yet.
    tasks: Option<VecDeque<i64>>,
    logs: VecDeque<Key>,
    open: Option<(Key, File, u64)>,
}

impl Files {
    fn next(&mut self) -> Result<Vec<Piece>, Error> {
        let mut pieces = Vec::new();
        let mut bytes = 0;
        while bytes < TOGETHER {
            let Some((key, file, at)) = self.current()? else {
                break;
            };
            let mut frames = vec![0; AT_A_TIME];
            let operation = || format!("read {}", path(&self.root, key).display());
            let read = disk::read_at_most(&file, &mut frames, at)
                .map_err(|error| Error::new(kind_of(error.kind()), operation()).caused_by(error))?;
            let Some(whole) = frames::whole(&frames[..read]) else {
                let damaged = Error::new(ErrorKind::Corrupt, format!("{} at byte {at}", operation()));
                return Err(damaged.caused_by("the file is damaged; mend it or move it away"));
            };
            // What is left behind whole frames is the beginning of an append: no reader sees it.
            frames.truncate(whole);
            if whole > 0 {
                self.open = Some((key, file, at + whole as u64));
                bytes += whole;
                pieces.push(Piece { key, at, frames });
            }
        }
        Ok(pieces)
    }

    /// Returns the log that is being read, or the next one.
    fn current(&mut self) -> Result<Option<(Key, File, u64)>, Error> {
        if let Some(open) = self.open.take() {
            return Ok(Some(open));
        }
        loop {
            if let Some(key) = self.logs.pop_front() {
                let path = path(&self.root, key);
                match File::open(&path) {
                    Ok(file) => return Ok(Some((key, file, 0))),
                    // Discarded since the folder was read.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(unreadable(&path, error)),
                }
            }
            if self.tasks.is_none() {
                let tasks = names(&self.root, |name| name.parse().ok())?;
                self.tasks = Some(tasks.into_iter().filter(|task| *task <= self.newest).collect());
            }
            let Some(task) = self.tasks.as_mut().and_then(VecDeque::pop_front) else {
                return Ok(None);
            };
            let of_name = |name: &str| {
                let (index, attempt) = name.strip_suffix(".log")?.split_once('-')?;
                Some((task, index.parse().ok()?, attempt.parse().ok()?))
            };
            self.logs = names(&self.root.join(task.to_string()), of_name)?.into();
        }
    }
}

/// Returns what the names in a folder say, in order.
fn names<T: Ord>(folder: &Path, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        found.extend(entry.file_name().to_str().and_then(&read));
    }
    found.sort_unstable();
    Ok(found)
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::new(kind_of(error.kind()), format!("read {}", path.display())).caused_by(error)
}

fn path(root: &Path, (task, index, attempt): Key) -> PathBuf {
    disk::place(root, task, index, attempt)
}

/// Writes logs into a target, where its logs lie.
pub(crate) struct Writer<'s> {
    side: &'s Side,
    id: &'s str,
    table: &'s Table,
    /// The log that is being written.
    open: Option<(Key, File)>,
}

impl<'s> Writer<'s> {
    pub(crate) fn into(side: &'s Side, id: &'s str, table: &'s Table) -> Self {
        Self {
            side,
            id,
            table,
            open: None,
        }
    }

    /// Writes pieces behind those that were written before.
    pub(crate) async fn write(&mut self, pieces: Vec<Piece>) -> Result<(), Error> {
        let Some(root) = self.side.folder.clone() else {
            let rows = pieces.into_iter().map(row).collect();
            return insert::page(self.side, self.id, self.table, rows).await;
        };
        // Nothing but the check that the target is still this copy's.
        insert::page(self.side, self.id, self.table, Vec::new()).await?;
        let mut open = self.open.take();
        let operation = format!("write output into {}", root.display());
        let written = tokio::task::spawn_blocking(move || {
            for piece in pieces {
                append(&root, &mut open, &piece)?;
            }
            Ok(open)
        });
        self.open = done(&operation, written.await)?;
        Ok(())
    }

    /// Forces what was written last onto the disk.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        let (open, folder) = (self.open.take(), self.side.folder.clone());
        let forced = tokio::task::spawn_blocking(move || {
            close(open)?;
            match folder {
                Some(folder) if folder.exists() => File::open(folder)?.sync_all(),
                _ => Ok(()),
            }
        });
        done("write output", forced.await)
    }
}

fn done<T>(operation: &str, result: Result<io::Result<T>, tokio::task::JoinError>) -> Result<T, Error> {
    match result {
        Ok(result) => result.map_err(|error| Error::new(kind_of(error.kind()), operation).caused_by(error)),
        Err(error) => Err(Error::new(ErrorKind::Internal, operation).caused_by(error)),
    }
}

fn row(piece: Piece) -> Vec<Value> {
    let begins = i64::try_from(piece.at).unwrap_or(i64::MAX);
    let length = i64::try_from(piece.frames.len()).unwrap_or(i64::MAX);
    let (task, index, attempt) = piece.key;
    vec![
        task.into(),
        index.into(),
        attempt.into(),
        begins.into(),
        begins.saturating_add(length).into(),
        piece.frames.into(),
    ]
}

fn append(root: &Path, open: &mut Option<(Key, File)>, piece: &Piece) -> io::Result<()> {
    let file = match open {
        Some((key, file)) if *key == piece.key => file,
        _ => {
            close(open.take())?;
            let path = path(root, piece.key);
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            let file = OpenOptions::new()
                .append(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            &mut open.insert((piece.key, file)).1
        }
    };
    file.write_all(&piece.frames)
}

/// Forces a log onto the disk, so that the mark goes after it.
fn close(open: Option<(Key, File)>) -> io::Result<()> {
    match open {
        Some((_, file)) => file.sync_all(),
        None => Ok(()),
    }
}

/// The logs of a database, counted and summed up.
#[derive(Default)]
pub(crate) struct LogSum {
    sum: Sum,
    open: Option<(Key, u64, Sha256)>,
}

impl LogSum {
    /// Adds the next piece.
    pub(crate) fn add(&mut self, piece: &Piece) -> Result<(), Error> {
        if self.open.as_ref().is_none_or(|(key, _, _)| *key != piece.key) {
            self.close();
            self.open = Some((piece.key, 0, Sha256::new()));
        }
        if let Some((_, length, hash)) = &mut self.open {
            if *length != piece.at {
                let (task, index, attempt) = piece.key;
                let what =
                    format!("read the output of run {task}/{index}, attempt {attempt}, at byte {length}");
                return Err(Error::new(ErrorKind::Corrupt, what).caused_by("a piece of it is missing"));
            }
            *length += piece.frames.len() as u64;
            hash.update(&piece.frames);
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some(((task, index, attempt), length, hash)) = self.open.take() {
            let content: [u8; 32] = hash.finalize().into();
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            let row: [Value; 5] = [
                task.into(),
                index.into(),
                attempt.into(),
                length.into(),
                content.to_vec().into(),
            ];
            self.sum.add("output", &row);
        }
    }

    /// Returns the logs up to here, whole ones.
    pub(crate) fn finish(mut self) -> Sum {
        self.close();
        self.sum
    }
}
