//! Removing what is not kept any longer, step by step.
//!
//! The first step is a mark on the task's row, set only where nobody holds the task; from then on nobody reads what
//! goes away. The last step is the row itself, or what is written on it, so that what a death has interrupted is found
//! again.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use muster_model::{TaskId, Timestamp};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement, Value};

use super::Database;
use super::record::{self, row_id};
use super::statement::{Fat, for_update, marked};
use super::translate::during;
use super::writer::Repeatable;
use crate::error::Error;
use crate::port::Retention;
use crate::types::retention::{Due, FRESH, Limits, Part};

/// Runs whose rows go in one transaction: short enough that nobody waits for it.
const STEP: i64 = 2_000;
/// Blobs that are looked at together.
const BLOBS: i64 = 500;

/// Output that is not kept with its run.
#[async_trait]
pub(crate) trait Logs: Send + Sync + 'static {
    /// Deletes every log of a task, whose runs have indexes below `runs`. Idempotent.
    async fn discard_task(&self, task: TaskId, runs: u32) -> Result<(), Error>;

    /// Deletes what was shared and is no attempt's log any more; returns how many logs that were.
    async fn remove_unshared(&self) -> Result<u64, Error>;
}

/// What is kept in one database.
pub(crate) struct Keeper {
    database: Arc<Database>,
    logs: Arc<dyn Logs>,
}

impl Keeper {
    pub(crate) fn new(database: Arc<Database>, logs: Arc<dyn Logs>) -> Self {
        Self { database, logs }
    }

    /// Runs one statement in a transaction of its own; returns how many rows it changed.
    async fn change(&self, operation: &str, sql: &'static str, values: Vec<Value>) -> Result<u64, Error> {
        let name = operation.to_owned();
        let work: Repeatable<u64> = Box::new(move |transaction| {
            let (values, name) = (values.clone(), name.clone());
            Box::pin(async move {
                let backend = transaction.get_database_backend();
                let statement = Statement::from_sql_and_values(backend, marked(backend, sql), values);
                let done = transaction.execute_raw(statement).await.map_err(during(&name))?;
                Ok(done.rows_affected())
            })
        });
        self.database.writer.repeat(operation, work).await
    }

    /// Deletes the rows of a task's runs in one table, step by step.
    async fn delete_rows(
        &self,
        operation: &str,
        sql: &'static str,
        task: i64,
        runs: u32,
    ) -> Result<(), Error> {
        let mut from = 0;
        while from < i64::from(runs) {
            let to = from + STEP;
            self.change(operation, sql, vec![task.into(), from.into(), to.into()])
                .await?;
            from = to;
        }
        Ok(())
    }

    async fn remove_output(&self, due: &Due, task: i64, operation: &str) -> Result<(), Error> {
        self.logs.discard_task(due.task, due.runs).await?;
        self.delete_rows(operation, OUTPUTS, task, due.runs).await
    }

    async fn query(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, DbErr> {
        let db = &self.database.readers;
        let backend = db.get_database_backend();
        db.query_all_raw(Statement::from_sql_and_values(
            backend,
            marked(backend, sql),
            values,
        ))
        .await
    }

    /// Appends what a query finds; its columns are those of [`DUE`].
    async fn find(
        &self,
        found: &mut Vec<Due>,
        part: Part,
        and: &str,
        values: Vec<Value>,
        most: u32,
    ) -> Result<(), Error> {
        const OPERATION: &str = "look for what is kept too long";
        let room = i64::from(most).saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
        if room <= 0 {
            return Ok(());
        }
        let sql = format!("{DUE} {and} ORDER BY finished_at, id LIMIT {room}");
        for row in self.query(&sql, values).await.map_err(during(OPERATION))? {
            let (id, finished_at, runs, bytes): (i64, Option<i64>, i64, i64) =
                row.try_get_many_by_index().map_err(during(OPERATION))?;
            let task = record::task_id(id)?;
            if found.iter().all(|due| due.task != task) {
                found.push(Due {
                    task,
                    part,
                    finished_at: Timestamp(finished_at.unwrap_or_default()),
                    runs: u32::try_from(runs).unwrap_or(u32::MAX),
                    bytes: u64::try_from(bytes).unwrap_or_default(),
                });
            }
        }
        Ok(())
    }

    /// Returns how many bytes of output are kept.
    async fn kept(&self) -> Result<u64, Error> {
        const OPERATION: &str = "sum up what output takes";
        let sum = match self.database.readers.get_database_backend() {
            DbBackend::Postgres => "SELECT CAST(SUM(kept_bytes) AS BIGINT) FROM tasks",
            DbBackend::MySql => "SELECT CAST(SUM(kept_bytes) AS SIGNED) FROM tasks",
            _ => "SELECT SUM(kept_bytes) FROM tasks",
        };
        let rows = self.query(sum, Vec::new()).await.map_err(during(OPERATION))?;
        let sum: Option<i64> = match rows.first() {
            Some(row) => row.try_get_by_index(0).map_err(during(OPERATION))?,
            None => None,
        };
        Ok(sum.and_then(|sum| u64::try_from(sum).ok()).unwrap_or_default())
    }

    /// Appends the oldest output that is more than `limit`, what was found already left out.
    async fn find_surplus(
        &self,
        found: &mut Vec<Due>,
        limit: u64,
        fresh: Timestamp,
        now: Timestamp,
        most: u32,
    ) -> Result<(), Error> {
        let gone: u64 = found.iter().map(|due| due.bytes).sum();
        let mut kept = self.kept().await?.saturating_sub(gone);
        if kept <= limit {
            return Ok(());
        }
        let before = found.len();
        let values = vec![fresh.0.into(), now.0.into()];
        self.find(found, Part::Output, SURPLUS, values, most).await?;
        let mut until = before;
        while kept > limit && until < found.len() {
            kept = kept.saturating_sub(found[until].bytes);
            until += 1;
        }
        found.truncate(until);
        Ok(())
    }
}

const DUE: &str = "SELECT id, finished_at, runs_total, kept_bytes FROM tasks WHERE";
const TOO_OLD: &str = "removing_since IS NULL AND finished_at < ? AND (held_until IS NULL OR held_until < ?)";
const OUTPUT_TOO_OLD: &str = "removing_since IS NULL AND kept_bytes > 0 AND finished_at < ? \
     AND (held_until IS NULL OR held_until < ?)";
const SURPLUS: &str = OUTPUT_TOO_OLD;
const TASK_BEGUN: &str = "removing_since IS NOT NULL";
const OUTPUT_BEGUN: &str = "outputs_removed_at IS NOT NULL AND kept_bytes > 0 AND removing_since IS NULL";

const MARK_TASK: &str = "UPDATE tasks SET removing_since = COALESCE(removing_since, ?) WHERE id = ? \
     AND finished_at < ? AND (removing_since IS NOT NULL OR held_until IS NULL OR held_until < ?)";
const MARK_OUTPUT: &str = "UPDATE tasks SET outputs_removed_at = COALESCE(outputs_removed_at, ?) WHERE id = ? \
     AND finished_at < ? AND removing_since IS NULL \
     AND (outputs_removed_at IS NOT NULL OR held_until IS NULL OR held_until < ?)";
const HOLD: &str = "UPDATE tasks SET held_until = CASE WHEN held_until > ? THEN held_until ELSE ? END \
     WHERE id = ? AND removing_since IS NULL";

const OUTPUTS: &str = "DELETE FROM outputs WHERE task_id = ? AND idx >= ? AND idx < ?";
const ATTEMPTS: &str = "DELETE FROM run_attempts WHERE task_id = ? AND idx >= ? AND idx < ?";
const RUNS: &str = "DELETE FROM runs WHERE task_id = ? AND idx >= ? AND idx < ?";
const INPUT: &str = "DELETE FROM task_inputs WHERE task_id = ?";
const TASK: &str = "DELETE FROM tasks WHERE id = ? AND removing_since IS NOT NULL";
const NOTHING_KEPT: &str = "UPDATE tasks SET kept_bytes = 0 WHERE id = ?";

#[async_trait]
impl Retention for Keeper {
    async fn hold(&self, task: TaskId, until: Timestamp) -> Result<bool, Error> {
        let Some(row) = row_id(task) else { return Ok(false) };
        let values = vec![until.0.into(), until.0.into(), row.into()];
        let held = self.change(&format!("hold task {task}"), HOLD, values).await?;
        Ok(held > 0)
    }

    async fn due(&self, limits: Limits, now: Timestamp, most: u32) -> Result<Vec<Due>, Error> {
        let fresh = now.before(FRESH);
        let mut found = Vec::new();
        self.find(&mut found, Part::Task, TASK_BEGUN, Vec::new(), most)
            .await?;
        self.find(&mut found, Part::Output, OUTPUT_BEGUN, Vec::new(), most)
            .await?;
        for (part, and, before) in [
            (Part::Task, TOO_OLD, limits.tasks_before),
            (Part::Output, OUTPUT_TOO_OLD, limits.outputs_before),
        ] {
            if let Some(before) = before {
                let values = vec![before.min(fresh).0.into(), now.0.into()];
                self.find(&mut found, part, and, values, most).await?;
            }
        }
        if let Some(limit) = limits.outputs_bytes {
            self.find_surplus(&mut found, limit, fresh, now, most).await?;
        }
        Ok(found)
    }

    async fn remove(&self, due: &Due, now: Timestamp) -> Result<bool, Error> {
        let Some(row) = row_id(due.task) else {
            return Ok(false);
        };
        let values = vec![now.0.into(), row.into(), now.before(FRESH).0.into(), now.0.into()];
        match due.part {
            Part::Output => {
                let operation = format!("remove the output of task {}", due.task);
                if self.change(&operation, MARK_OUTPUT, values).await? == 0 {
                    return Ok(false);
                }
                self.remove_output(due, row, &operation).await?;
                self.change(&operation, NOTHING_KEPT, vec![row.into()]).await?;
            }
            Part::Task => {
                let operation = format!("remove task {}", due.task);
                if self.change(&operation, MARK_TASK, values).await? == 0 {
                    return Ok(false);
                }
                self.remove_output(due, row, &operation).await?;
                self.delete_rows(&operation, ATTEMPTS, row, due.runs).await?;
                self.delete_rows(&operation, RUNS, row, due.runs).await?;
                self.change(&operation, INPUT, vec![row.into()]).await?;
                self.change(&operation, TASK, vec![row.into()]).await?;
            }
        }
        Ok(true)
    }

    async fn remove_unshared(&self) -> Result<u64, Error> {
        const OPERATION: &str = "remove shared output";
        let (mut removed, mut behind) = (self.logs.remove_unshared().await?, String::new());
        loop {
            let sql = format!(
                "SELECT hash FROM output_blobs b WHERE hash > ? AND NOT EXISTS \
                 (SELECT 1 FROM outputs o WHERE o.shared = b.hash) ORDER BY hash LIMIT {BLOBS}"
            );
            let rows = self
                .query(&sql, vec![behind.as_str().into()])
                .await
                .map_err(during(OPERATION))?;
            let hashes: Vec<String> = rows
                .iter()
                .map(|row| row.try_get_by_index(0))
                .collect::<Result<_, _>>()
                .map_err(during(OPERATION))?;
            let Some(last) = hashes.last() else {
                return Ok(removed);
            };
            behind.clone_from(last);
            let work: Repeatable<u64> = Box::new(move |transaction| {
                let hashes = hashes.clone();
                Box::pin(async move { unshared(transaction, hashes).await })
            });
            removed += self.database.writer.repeat(OPERATION, work).await?;
        }
    }
}

/// Removes those blobs that nobody points at. Their rows are held first: who points at one from now on waits, and
/// finds it gone and writes it anew; who did so before is seen by the second statement.
fn unshared(transaction: &DatabaseTransaction, hashes: Vec<String>) -> BoxFuture<'_, Result<u64, Error>> {
    const OPERATION: &str = "remove shared output";
    Box::pin(async move {
        let backend = transaction.get_database_backend();
        let values: Vec<Value> = hashes.iter().map(|hash| hash.as_str().into()).collect();
        if backend != DbBackend::Sqlite {
            Fat {
                head: "SELECT hash FROM output_blobs WHERE hash IN (",
                width: 1,
                fixed: "",
                tail: &format!(") ORDER BY hash {}", for_update(backend)),
            }
            .query(transaction, values.clone())
            .await
            .map_err(during(OPERATION))?;
        }
        let mut removed = 0;
        // One by one: few go at a time, and their number is wanted.
        let sql = marked(
            backend,
            "DELETE FROM output_blobs WHERE hash = ? AND NOT EXISTS \
             (SELECT 1 FROM outputs o WHERE o.shared = output_blobs.hash)",
        );
        for hash in values {
            let statement = Statement::from_sql_and_values(backend, &sql, [hash]);
            let done = transaction
                .execute_raw(statement)
                .await
                .map_err(during(OPERATION))?;
            removed += done.rows_affected();
        }
        Ok(removed)
    })
}
