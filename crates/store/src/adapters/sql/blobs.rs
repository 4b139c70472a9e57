//! Equal outputs once.
//!
//! An output that was seen a moment ago, in the same group or in an earlier one, becomes a blob that rows point at by
//! its hash; the row of the first one is moved there too. An output that nobody has seen stays in its row: ten thousand
//! different outputs cost no second table, and ten thousand equal ones cost one blob.
//!
//! Who points at a blob has locked its row before, so that nobody removes it in that moment (see
//! [`super::retention`]). What hosts print decides the hash, so it is one that nobody finds a second text for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use muster_model::{ErrorKind, RunKey, TaskId};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, Statement, Value};
use sha2::{Digest, Sha256};

use super::record;
use super::statement::{Fat, marked, or_keep, or_update};
use super::translate::during;
use crate::error::Error;

/// The characters of a hash: SHA-256 in hexadecimal.
pub(crate) const HASH: u32 = 64;
/// A smaller output stays in its row: pointing at it would take more than it does.
const LEAST: usize = 128;
/// So many outputs are remembered twice over.
const REMEMBERED: usize = 4096;

type Hash = [u8; 32];

/// What was seen of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Once: it is in the row of this run's attempt.
    Alone(RunKey, u32),
    /// It is a blob.
    Shared,
}

/// The outputs that were seen lately. What it says is a guess that every use of it checks: a transaction may have been
/// rolled back, a row removed, and others write too.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(Arc<Mutex<Memory>>);

/// Two generations: what is not seen again within one is forgotten with it.
#[derive(Debug, Default)]
struct Memory {
    young: HashMap<Hash, Seen>,
    old: HashMap<Hash, Seen>,
}

impl Memory {
    fn find(&self, hash: &Hash) -> Option<Seen> {
        self.young.get(hash).or_else(|| self.old.get(hash)).copied()
    }

    fn note(&mut self, hash: Hash, seen: Seen) {
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, seen);
    }
}

/// An output that is to be written.
pub(crate) type Output = (RunKey, u32, Bytes);

/// Where outputs go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sorted {
    /// Into their rows.
    alone: Vec<Output>,
    /// Into a blob of this hash.
    shared: Vec<(RunKey, u32, Hash)>,
    /// The blobs, each once, by their hash.
    blobs: Vec<(Hash, Bytes)>,
    /// Rows of earlier outputs that become blobs.
    moved: Vec<(RunKey, u32, Hash)>,
    /// What each task has of its own now, in bytes.
    pub(crate) kept: Vec<(TaskId, u64)>,
}

impl Recent {
    /// Sorts outputs into those that stand alone and those that are equal to others.
    pub(crate) fn sort(&self, outputs: Vec<Output>) -> Sorted {
        let mut hashed: Vec<(Option<Hash>, Output)> = Vec::with_capacity(outputs.len());
        let mut counts: HashMap<Hash, u32> = HashMap::new();
        for output in outputs {
            let hash = (output.2.len() >= LEAST).then(|| Hash::from(Sha256::digest(&output.2)));
            if let Some(hash) = hash {
                *counts.entry(hash).or_default() += 1;
            }
            hashed.push((hash, output));
        }
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted = Sorted::default();
        for (hash, (run, attempt, frames)) in hashed {
            let Some(hash) = hash else {
                sorted.kept.push((run.task, frames.len() as u64));
                sorted.alone.push((run, attempt, frames));
                continue;
            };
            let seen = memory.find(&hash);
            if seen.is_none() && counts.get(&hash) == Some(&1) {
                memory.note(hash, Seen::Alone(run, attempt));
                sorted.kept.push((run.task, frames.len() as u64));
                sorted.alone.push((run, attempt, frames));
                continue;
            }
            match seen {
                Some(Seen::Alone(first, of)) => sorted.moved.push((first, of, hash)),
                Some(Seen::Shared) => {}
                None => sorted.kept.push((run.task, frames.len() as u64)),
            }
            // Those of one group that come to a blob of an earlier one bring it along once: it may have been removed.
            if counts.remove(&hash).is_some() {
                sorted.blobs.push((hash, frames));
            }
            memory.note(hash, Seen::Shared);
            sorted.shared.push((run, attempt, hash));
        }
        // Whoever locks several blobs does so in this order.
        sorted.blobs.sort_unstable_by_key(|(hash, _)| *hash);
        sorted
    }
}

fn text(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes outputs that were sorted.
pub(crate) async fn write(
    transaction: &DatabaseTransaction,
    sorted: Sorted,
    operation: &str,
) -> Result<(), Error> {
    let backend = transaction.get_database_backend();
    let mut contents: HashMap<Hash, Bytes> = HashMap::new();
    let mut values = Vec::with_capacity(sorted.blobs.len() * 3);
    for (hash, frames) in sorted.blobs {
        values.extend([
            text(&hash).into(),
            record::bytes_counted(frames.len() as u64).into(),
            Value::from(frames.to_vec()),
        ]);
        contents.insert(hash, frames);
    }
    // On a server, a blob that is there is written over with its own size, which holds its row to the commit. SQLite
    // has one writer, and would write the frames again.
    let tail = match backend {
        DbBackend::Sqlite => or_keep(backend, "hash"),
        _ => or_update(backend, "hash", &["bytes"]),
    };
    Fat {
        head: "INSERT INTO output_blobs (hash, bytes, frames) VALUES",
        width: 3,
        fixed: "",
        tail: &tail,
    }
    .execute(transaction, values)
    .await
    .map_err(during(operation))?;

    let mut values = Vec::with_capacity((sorted.alone.len() + sorted.shared.len()) * 5);
    let alone = sorted.alone.into_iter();
    let alone = alone.map(|(run, attempt, frames)| (run, attempt, Vec::from(frames), None));
    let shared = sorted.shared.iter();
    let shared = shared.map(|(run, attempt, hash)| (*run, *attempt, Vec::new(), Some(text(hash))));
    for (run, attempt, frames, blob) in alone.chain(shared) {
        let Some(task) = record::row_id(run.task) else {
            continue;
        };
        values.extend([
            task.into(),
            i64::from(run.index).into(),
            i64::from(attempt).into(),
            Value::from(frames),
            blob.into(),
        ]);
    }
    Fat {
        head: "INSERT INTO outputs (task_id, idx, attempt, frames, shared) VALUES",
        width: 5,
        fixed: "",
        tail: &or_update(backend, "task_id, idx, attempt", &["frames", "shared"]),
    }
    .execute(transaction, values)
    .await
    .map_err(during(operation))?;
    for (run, attempt, hash) in sorted.moved {
        if let Some(frames) = contents.get(&hash) {
            move_to_blob(transaction, run, attempt, &hash, frames, operation).await?;
        }
    }
    Ok(())
}

/// Has the row of an earlier output point at the blob, where it still holds just that.
async fn move_to_blob(
    transaction: &DatabaseTransaction,
    run: RunKey,
    attempt: u32,
    hash: &Hash,
    frames: &Bytes,
    operation: &str,
) -> Result<(), Error> {
    let backend = transaction.get_database_backend();
    let sql = marked(
        backend,
        "UPDATE outputs SET frames = ?, shared = ? \
         WHERE task_id = ? AND idx = ? AND attempt = ? AND shared IS NULL AND frames = ?",
    );
    let values = [
        Value::from(Vec::<u8>::new()),
        text(hash).into(),
        record::row_id(run.task).into(),
        i64::from(run.index).into(),
        i64::from(attempt).into(),
        Value::from(frames.to_vec()),
    ];
    transaction
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await
        .map_err(during(operation))?;
    Ok(())
}

/// Returns the log that is kept with a run's attempt.
pub(crate) async fn log(db: &DatabaseConnection, key: RunKey, attempt: u32) -> Result<Option<Bytes>, Error> {
    let operation = format!("read the output of run {key}");
    let Some(task) = record::row_id(key.task) else {
        return Ok(None);
    };
    let backend = db.get_database_backend();
    let sql = marked(
        backend,
        "SELECT o.frames, o.shared, b.frames FROM outputs o LEFT JOIN output_blobs b ON b.hash = o.shared \
         WHERE o.task_id = ? AND o.idx = ? AND o.attempt = ?",
    );
    let values = [
        task.into(),
        i64::from(key.index).into(),
        i64::from(attempt).into(),
    ];
    let row = db
        .query_one_raw(Statement::from_sql_and_values(backend, sql, values))
        .await
        .map_err(during(&operation))?;
    let Some(row) = row else { return Ok(None) };
    let (frames, blob, shared): (Vec<u8>, Option<String>, Option<Vec<u8>>) =
        row.try_get_many_by_index().map_err(during(&operation))?;
    match (blob, shared) {
        (None, _) => Ok(Some(frames.into())),
        (Some(_), Some(shared)) => Ok(Some(shared.into())),
        (Some(blob), None) => Err(missing(&operation, &blob)),
    }
}

/// Tells whether a log is kept with a run's attempt.
pub(crate) async fn has_log(db: &DatabaseConnection, key: RunKey, attempt: u32) -> Result<bool, Error> {
    let Some(task) = record::row_id(key.task) else {
        return Ok(false);
    };
    let backend = db.get_database_backend();
    let sql = marked(
        backend,
        "SELECT 1 FROM outputs WHERE task_id = ? AND idx = ? AND attempt = ?",
    );
    let values = [
        task.into(),
        i64::from(key.index).into(),
        i64::from(attempt).into(),
    ];
    let row = db
        .query_one_raw(Statement::from_sql_and_values(backend, sql, values))
        .await
        .map_err(during(&format!("look for the output of run {key}")))?;
    Ok(row.is_some())
}

/// Returns the logs that are kept with the last attempts of a task's runs; equal ones share their bytes.
pub(crate) async fn logs(
    db: &DatabaseConnection,
    id: TaskId,
    from: u32,
    to: u32,
) -> Result<Vec<(u32, Bytes)>, Error> {
    let operation = format!("read the output of task {id}");
    let Some(task) = record::row_id(id) else {
        return Ok(Vec::new());
    };
    let backend = db.get_database_backend();
    let sql = marked(
        backend,
        "SELECT o.idx, o.frames, o.shared FROM runs r JOIN outputs o \
         ON o.task_id = r.task_id AND o.idx = r.idx AND o.attempt = r.attempt \
         WHERE r.task_id = ? AND r.idx >= ? AND r.idx < ? ORDER BY r.idx",
    );
    let values = [task.into(), i64::from(from).into(), i64::from(to).into()];
    let rows = db
        .query_all_raw(Statement::from_sql_and_values(backend, sql, values))
        .await
        .map_err(during(&operation))?;
    let mut found: Vec<(u32, Vec<u8>, Option<String>)> = Vec::with_capacity(rows.len());
    let mut wanted: HashMap<String, Bytes> = HashMap::new();
    for row in rows {
        let (idx, frames, blob): (i64, Vec<u8>, Option<String>) =
            row.try_get_many_by_index().map_err(during(&operation))?;
        if let Some(blob) = &blob
            && !wanted.contains_key(blob)
        {
            wanted.insert(blob.clone(), Bytes::new());
        }
        found.push((record::run_key(task, idx)?.index, frames, blob));
    }
    let names: Vec<Value> = wanted.keys().map(|hash| hash.as_str().into()).collect();
    let blobs = Fat {
        head: "SELECT hash, frames FROM output_blobs WHERE hash IN (",
        width: 1,
        fixed: "",
        tail: ")",
    };
    for row in blobs.query(db, names).await.map_err(during(&operation))? {
        let (hash, frames): (String, Vec<u8>) = row.try_get_many_by_index().map_err(during(&operation))?;
        wanted.insert(hash, frames.into());
    }
    found
        .into_iter()
        .map(|(index, frames, blob)| match blob {
            None => Ok((index, Bytes::from(frames))),
            Some(blob) => match wanted.get(&blob) {
                Some(shared) if !shared.is_empty() => Ok((index, shared.clone())),
                _ => Err(missing(&operation, &blob)),
            },
        })
        .collect()
}

fn missing(operation: &str, blob: &str) -> Error {
    Error::new(ErrorKind::Corrupt, operation).caused_by(format!("the shared output {blob} is not there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> RunKey {
        RunKey {
            task: TaskId(1),
            index,
        }
    }

    fn output(index: u32, text: &str) -> Output {
        (key(index), 1, Bytes::from(text.repeat(LEAST)))
    }

    fn shape(sorted: &Sorted) -> (usize, usize, usize, usize) {
        let Sorted {
            alone,
            shared,
            blobs,
            moved,
            ..
        } = sorted;
        (alone.len(), shared.len(), blobs.len(), moved.len())
    }

    #[test]
    fn equal_ones_of_a_group_are_one_blob_and_others_stay_alone() {
        let recent = Recent::default();
        let sorted = recent.sort(vec![
            output(0, "a"),
            output(1, "b"),
            output(2, "a"),
            output(3, "a"),
        ]);
        assert_eq!(shape(&sorted), (1, 3, 1, 0));
        let kept: u64 = sorted.kept.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(kept, 2 * LEAST as u64, "a blob counts once");
    }

    #[test]
    fn one_that_was_seen_before_moves_the_first_one_too() {
        let recent = Recent::default();
        assert_eq!(shape(&recent.sort(vec![output(0, "a")])), (1, 0, 0, 0));
        let second = recent.sort(vec![output(1, "a")]);
        assert_eq!(shape(&second), (0, 1, 1, 1));
        assert_eq!(second.moved[0].0, key(0));
        assert!(second.kept.is_empty());
        let third = recent.sort(vec![output(2, "a"), output(3, "a")]);
        assert_eq!(shape(&third), (0, 2, 1, 0));
    }

    #[test]
    fn small_ones_are_never_shared() {
        let recent = Recent::default();
        let small = |index| (key(index), 1, Bytes::from("x".repeat(LEAST - 1)));
        assert_eq!(shape(&recent.sort(vec![small(0), small(1)])), (2, 0, 0, 0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let recent = Recent::default();
        for number in 0..3 * REMEMBERED as u32 {
            recent.sort(vec![output(number, &number.to_string())]);
        }
        let memory = recent.0.lock().unwrap();
        assert!(memory.young.len() + memory.old.len() <= 2 * REMEMBERED);
        drop(memory);
        assert_eq!(
            shape(&recent.sort(vec![output(0, "0")])),
            (1, 0, 0, 0),
            "long forgotten"
        );
    }
}
