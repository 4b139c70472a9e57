//! Logs in the database, in pieces: where several servers share it, none of them has a disk that the others see.
//!
//! The pieces of a log follow each other without a gap, and no two begin at the same byte. An append is one
//! statement: it finds the piece that ends where it is to begin, holds it, and writes the next one. Of two that
//! append at the same place, the key lets one through.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use muster_model::{ErrorKind, RunKey, TaskId};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, Value};
use tokio::sync::Semaphore;

use super::{LogKey, MOST_READ, frames};
use crate::adapters::server::AT_ONCE;
use crate::adapters::sql::Database;
use crate::adapters::sql::retention::Logs as TaskLogs;
use crate::adapters::sql::statement::marked;
use crate::adapters::sql::translate::{Phase, lost_to_another, translate};
use crate::error::Error;
use crate::port::Outputs;

/// The output port.
pub(crate) struct Chunks {
    database: Arc<Database>,
    appenders: DatabaseConnection,
    /// Appends wait here for their turn, in their order, and not for a connection: that wait has an end.
    turns: Semaphore,
}

/// How often an append that lost against another transaction is done again.
const TRIES: u32 = 5;

impl Chunks {
    pub(crate) fn new(database: Arc<Database>, appenders: DatabaseConnection) -> Self {
        Self {
            database,
            appenders,
            turns: Semaphore::new(AT_ONCE as usize),
        }
    }

    /// Runs a statement that changes something, and commits by itself; returns how many rows that were.
    async fn change(&self, operation: &str, sql: &str, values: Vec<Value>) -> Result<u64, Error> {
        let _turn = self.turns.acquire().await;
        let mut tries = 1;
        loop {
            let backend = self.appenders.get_database_backend();
            let statement = Statement::from_sql_and_values(backend, sql, values.clone());
            let error = match self.appenders.execute_raw(statement).await {
                Ok(done) => return Ok(done.rows_affected()),
                // It is its own commit: where its answer is lost, it may have happened.
                Err(error @ DbErr::ConnectionAcquire(_)) => translate(operation, Phase::Work, error),
                Err(error) => translate(operation, Phase::Commit, error),
            };
            if !lost_to_another(&error) || tries == TRIES {
                return Err(error);
            }
            tries += 1;
        }
    }

    /// Returns where the log ends, for the text of an error.
    async fn end(&self, key: LogKey) -> Result<u64, Error> {
        let backend = self.database.readers.get_database_backend();
        let sql = marked(
            backend,
            "SELECT MAX(ends) FROM output_chunks WHERE task_id = ? AND idx = ? AND attempt = ?",
        );
        let row = self
            .database
            .readers
            .query_one_raw(Statement::from_sql_and_values(backend, sql, key_values(key)))
            .await;
        let end: Option<i64> = match row {
            Ok(Some(row)) => row.try_get_by_index(0),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        }
        .map_err(|error| translate(format!("read {key}"), Phase::Work, error))?;
        Ok(end.and_then(|end| u64::try_from(end).ok()).unwrap_or(0))
    }

    /// Returns the pieces of the log from the one in which `from` lies, as far as `most` bytes go, and where the
    /// first of them begins.
    async fn pieces(&self, key: LogKey, from: u64, most: usize) -> Result<Option<(u64, Bytes)>, Error> {
        let failed = |error| translate(format!("read {key}"), Phase::Work, error);
        let Ok(from_row) = i64::try_from(from) else {
            return Ok(Some((from, Bytes::new())));
        };
        let until = from_row.saturating_add(i64::try_from(most).unwrap_or(i64::MAX));
        let backend = self.database.readers.get_database_backend();
        let sql = marked(backend, READ);
        let mut values = key_values(key);
        values.push(from_row.into());
        values.extend(key_values(key));
        values.extend([from_row.into(), until.max(from_row.saturating_add(1)).into()]);
        let rows = self
            .database
            .readers
            .query_all_raw(Statement::from_sql_and_values(backend, sql, values))
            .await
            .map_err(failed)?;
        let mut first = None;
        let mut log = BytesMut::new();
        for row in rows {
            let (begins, frames): (i64, Vec<u8>) = row.try_get_many_by_index().map_err(failed)?;
            first.get_or_insert(u64::try_from(begins).unwrap_or(0));
            log.extend_from_slice(&frames);
        }
        Ok(first.map(|first| (first, log.freeze())))
    }
}

/// The pieces from the one in which a byte lies up to, but not with, those that begin behind another byte.
const READ: &str = "SELECT begins, frames FROM output_chunks \
     WHERE task_id = ? AND idx = ? AND attempt = ? \
     AND begins >= COALESCE((SELECT MAX(c.begins) FROM output_chunks c WHERE c.begins <= ? \
     AND c.task_id = ? AND c.idx = ? AND c.attempt = ?), ?) \
     AND begins < ? ORDER BY begins";

fn key_values(key: LogKey) -> Vec<Value> {
    vec![
        // A number that no task can have finds nothing.
        i64::try_from(key.run.task.0).unwrap_or(0).into(),
        i64::from(key.run.index).into(),
        i64::from(key.attempt).into(),
    ]
}

/// Returns the statement that writes a piece, and whether it is the log's first.
fn append_sql(backend: DbBackend, first: bool) -> String {
    const INTO: &str = "INSERT INTO output_chunks (task_id, idx, attempt, begins, ends, frames)";
    if first {
        return marked(backend, &format!("{INTO} VALUES (?, ?, ?, ?, ?, ?)"));
    }
    // What stands in a list of a select has no type of its own for PostgreSQL.
    let list = match backend {
        DbBackend::Postgres => "?::bigint, ?::bigint, ?::bigint, ?::bigint, ?::bigint, ?::bytea",
        _ => "?, ?, ?, ?, ?, ?",
    };
    let last = "SELECT ends FROM output_chunks WHERE task_id = ? AND idx = ? AND attempt = ? \
                ORDER BY begins DESC LIMIT 1 FOR UPDATE";
    marked(
        backend,
        &format!("{INTO} SELECT {list} FROM ({last}) l WHERE l.ends = ?"),
    )
}

#[async_trait]
impl Outputs for Chunks {
    async fn append(&self, run: RunKey, attempt: u32, at: u64, frames: Bytes) -> Result<u64, Error> {
        let key = LogKey { run, attempt };
        key.check(&frames)?;
        let operation = format!("append to {key}");
        let end = at.checked_add(frames.len() as u64);
        let places = (
            i64::try_from(at).ok(),
            end.and_then(|end| i64::try_from(end).ok()),
        );
        let (Some(begins), Some(ends)) = places else {
            return Err(key.not_the_end(at, self.end(key).await?));
        };
        if frames.is_empty() {
            return match self.end(key).await? {
                end if end == at => Ok(at),
                end => Err(key.not_the_end(at, end)),
            };
        }
        let mut values = key_values(key);
        values.extend([begins.into(), ends.into(), Value::from(Vec::from(frames))]);
        if begins > 0 {
            values.extend(key_values(key));
            values.push(begins.into());
        }
        let sql = append_sql(self.appenders.get_database_backend(), begins == 0);
        match self.change(&operation, &sql, values).await {
            Ok(1) => Ok(ends as u64),
            Ok(_) => Err(key.not_the_end(at, self.end(key).await?)),
            Err(error) if error.kind == ErrorKind::AlreadyExists => {
                Err(key.not_the_end(at, self.end(key).await?))
            }
            Err(error) => Err(error),
        }
    }

    async fn read(&self, run: RunKey, attempt: u32, from: u64, most: usize) -> Result<Bytes, Error> {
        let key = LogKey { run, attempt };
        let most = most.min(MOST_READ);
        let corrupt = || Error::new(ErrorKind::Corrupt, format!("read {key} at byte {from}"));
        if let Some((begins, log)) = self.pieces(key, from, most).await? {
            return frames::from(&log, from - begins, most).ok_or_else(corrupt);
        }
        match self.database.inline_log(run, attempt).await? {
            Some(log) => frames::from(&log, from, most).ok_or_else(corrupt),
            None => Ok(Bytes::new()),
        }
    }

    async fn read_inline(&self, task: TaskId, from: u32, to: u32) -> Result<Vec<(u32, Bytes)>, Error> {
        self.database.inline_logs(task, from, to).await
    }

    async fn finish(&self, run: RunKey, attempt: u32) -> Result<(), Error> {
        // Equal logs that are too large to be kept with their runs lie here each by itself.
        match self.database.has_inline_log(run, attempt).await? {
            true => self.discard_pieces(LogKey { run, attempt }).await,
            false => Ok(()),
        }
    }

    async fn discard(&self, run: RunKey, attempt: u32) -> Result<(), Error> {
        self.discard_pieces(LogKey { run, attempt }).await?;
        self.database.discard_inline(run, attempt).await
    }
}

impl Chunks {
    async fn discard_pieces(&self, key: LogKey) -> Result<(), Error> {
        let sql = marked(
            self.appenders.get_database_backend(),
            "DELETE FROM output_chunks WHERE task_id = ? AND idx = ? AND attempt = ?",
        );
        // An append that was at work may have written one more piece while the first ones went away.
        while self
            .change(&format!("discard {key}"), &sql, key_values(key))
            .await?
            > 0
        {}
        Ok(())
    }
}

/// Runs whose logs go in one statement: a log may have 64 MiB.
const STEP: i64 = 100;

#[async_trait]
impl TaskLogs for Chunks {
    async fn discard_task(&self, task: TaskId, runs: u32) -> Result<(), Error> {
        let Ok(row) = i64::try_from(task.0) else {
            return Ok(());
        };
        let sql = marked(
            self.appenders.get_database_backend(),
            "DELETE FROM output_chunks WHERE task_id = ? AND idx >= ? AND idx < ?",
        );
        let mut from = 0;
        while from < i64::from(runs) {
            let values = vec![row.into(), from.into(), (from + STEP).into()];
            self.change(&format!("discard the output of task {task}"), &sql, values)
                .await?;
            from += STEP;
        }
        Ok(())
    }

    async fn remove_unshared(&self) -> Result<u64, Error> {
        Ok(0)
    }
}
