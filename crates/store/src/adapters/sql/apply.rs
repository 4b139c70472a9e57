//! Applying a group of changes inside a transaction: read what they are about, decide, write.

use std::collections::BTreeSet;

use bytes::Bytes;
use muster_model::run::Change;
use muster_model::{ErrorKind, ExecutorId, Outcome, RunKey, RunState, TaskId, Timestamp, Transition};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement, Value};

use super::blobs::{self, Recent};
use super::group::{Group, Run, Tally};
use super::record::{self, bytes_counted};
use super::statement::{Fat, for_update, or_keep, or_update, runs_by_key};
use super::task_secrets;
use super::translate::during;
use crate::error::Error;
use muster_model::run::Applied;

const OPERATION: &str = "apply";

/// The most characters of a signal's name, which comes from a host.
const SIGNAL: usize = 64;

/// The columns of a run that a decision needs.
const READ: &str = "r.task_id, r.idx, r.state, r.attempt, r.started_at, r.executor";

/// The columns of a run that every change writes.
const OPENING: [&str; 4] = ["state", "attempt", "started_at", "executor"];
/// The columns of a run that its end writes.
const ENDING: [&str; 12] = [
    "state",
    "attempt",
    "started_at",
    "executor",
    "finished_at",
    "exit_code",
    "exit_signal",
    "error",
    "reason",
    "stdout_bytes",
    "stderr_bytes",
    "truncated",
];

/// Returns the output that a change carries to be kept with the run.
pub(crate) fn inline(transition: &Transition) -> Option<&Bytes> {
    match &transition.change {
        Change::Settle { output, .. } => output.as_ref(),
        _ => None,
    }
}

/// Refuses a change that could not be written, before it comes into a group with others' changes.
pub(crate) fn check(transition: &Transition) -> Result<(), Error> {
    let refuse = |kind, what: &str| {
        Err(Error::new(kind, format!("apply a change to run {}", transition.run)).caused_by(what.to_owned()))
    };
    match &transition.change {
        Change::Start { executor } if !record::is_executor(executor) => {
            refuse(ErrorKind::Invalid, record::EXECUTOR)
        }
        Change::Settle {
            output: Some(frames), ..
        } if frames.len() > muster_model::limits::INLINE_OUTPUT_BYTES => {
            refuse(ErrorKind::TooLarge, "output over 64 KiB goes to the output port")
        }
        _ => Ok(()),
    }
}

/// Applies `changes` in their order.
///
/// Whoever changes a run holds the row of its task until the commit, and takes the rows of several tasks in the
/// order of their numbers. So of two processes one waits for the other, and what it reads then is what it changes.
pub(crate) async fn group(
    transaction: &DatabaseTransaction,
    changes: &[Transition],
    recent: &Recent,
) -> Result<Vec<Applied>, Error> {
    let keys: BTreeSet<RunKey> = changes.iter().map(|change| change.run).collect();
    let mut group = Group::default();
    lock_tasks(transaction, &keys, &mut group).await?;
    read_runs(transaction, &keys, &mut group).await?;
    let applied = changes.iter().map(|change| group.apply(change.clone())).collect();
    write_runs(transaction, &group).await?;
    write_past(transaction, &group).await?;
    write_outputs(transaction, &mut group, recent).await?;
    write_tasks(transaction, &group).await?;
    wipe_secrets(transaction, &group).await?;
    Ok(applied)
}

async fn read_runs(
    transaction: &DatabaseTransaction,
    keys: &BTreeSet<RunKey>,
    group: &mut Group,
) -> Result<(), Error> {
    let backend = transaction.get_database_backend();
    let (head, tail) = runs_by_key(backend, READ);
    let mut values = Vec::with_capacity(keys.len() * 2);
    for key in keys {
        if let Some(task) = record::row_id(key.task) {
            values.push(task.into());
            values.push(i64::from(key.index).into());
        }
    }
    let rows = Fat {
        head: &head,
        width: 2,
        fixed: "",
        tail: &tail,
    }
    .query(transaction, values)
    .await
    .map_err(during(OPERATION))?;
    for row in rows {
        let (task, idx, state, attempt, started_at, executor): (
            i64,
            i64,
            String,
            i64,
            Option<i64>,
            Option<String>,
        ) = row.try_get_many_by_index().map_err(during(OPERATION))?;
        group.runs.insert(
            record::run_key(task, idx)?,
            Run {
                state: record::run_state(&state)?,
                attempt: record::attempt_number(attempt)?,
                started_at: started_at.map(Timestamp),
                executor: executor.map(ExecutorId),
                end: None,
                changed: false,
            },
        );
    }
    Ok(())
}

async fn lock_tasks(
    transaction: &DatabaseTransaction,
    keys: &BTreeSet<RunKey>,
    group: &mut Group,
) -> Result<(), Error> {
    let ids: BTreeSet<TaskId> = keys.iter().map(|key| key.task).collect();
    let values = ids
        .iter()
        .filter_map(|id| record::row_id(*id))
        .map(Value::from)
        .collect();
    let rows = Fat {
        head: "SELECT id, runs_queued, runs_started, sealed FROM tasks WHERE id IN (",
        width: 1,
        fixed: "",
        tail: &format!(") ORDER BY id {}", for_update(transaction.get_database_backend())),
    }
    .query(transaction, values)
    .await
    .map_err(during(OPERATION))?;
    for row in rows {
        let (id, queued, started, sealed): (i64, i64, i64, i64) =
            row.try_get_many_by_index().map_err(during(OPERATION))?;
        group.tasks.insert(
            record::task_id(id)?,
            Tally {
                open: queued + started,
                sealed: sealed != 0,
                ..Tally::default()
            },
        );
    }
    Ok(())
}

/// Writes the runs that changed; an open run has no end to write.
async fn write_runs(transaction: &DatabaseTransaction, group: &Group) -> Result<(), Error> {
    let (mut open, mut ended) = (Vec::new(), Vec::new());
    for (key, run) in group.runs.iter().filter(|(_, run)| run.changed) {
        let Some(task) = record::row_id(key.task) else {
            continue;
        };
        let values = if run.end.is_none() { &mut open } else { &mut ended };
        values.extend([
            task.into(),
            i64::from(key.index).into(),
            run.state.as_str().into(),
            i64::from(run.attempt).into(),
            run.started_at.map(|at| at.0).into(),
            run.executor.as_ref().map(|executor| executor.0.clone()).into(),
        ]);
        if let Some((outcome, at)) = &run.end {
            values.extend(end_values(outcome, *at)?);
        }
    }
    write_columns(transaction, &OPENING, open).await?;
    write_columns(transaction, &ENDING, ended).await
}

/// Returns the values of an ended run behind those of every run.
fn end_values(outcome: &Outcome, at: Timestamp) -> Result<[Value; ENDING.len() - OPENING.len()], Error> {
    Ok([
        at.0.into(),
        outcome.exit_code.map(i64::from).into(),
        outcome
            .signal
            .as_deref()
            .map(|signal| record::short_text(signal, SIGNAL))
            .into(),
        outcome.error.as_deref().map(record::text).into(),
        outcome.reason.map(record::name_of).transpose()?.into(),
        bytes_counted(outcome.stdout_bytes).into(),
        bytes_counted(outcome.stderr_bytes).into(),
        outcome.truncated.into(),
    ])
}

/// Writes columns of many runs, as inserts that always find their row: the one way to give many rows each
/// their own values in one statement that all engines know. What belongs to the submit is filled in with
/// nothing and never written.
async fn write_columns(
    transaction: &DatabaseTransaction,
    columns: &[&str],
    values: Vec<Value>,
) -> Result<(), Error> {
    Fat {
        head: &format!(
            "INSERT INTO runs (task_id, idx, {}, host, reach) VALUES",
            columns.join(", ")
        ),
        width: 2 + columns.len(),
        fixed: ",'',''",
        tail: &or_update(transaction.get_database_backend(), "task_id, idx", columns),
    }
    .execute(transaction, values)
    .await
    .map_err(during(OPERATION))
}

async fn write_past(transaction: &DatabaseTransaction, group: &Group) -> Result<(), Error> {
    let mut values = Vec::with_capacity(group.past.len() * 7);
    for past in &group.past {
        let Some(task) = record::row_id(past.run.task) else {
            continue;
        };
        values.extend([
            task.into(),
            i64::from(past.run.index).into(),
            i64::from(past.attempt).into(),
            past.outcome.state.as_str().into(),
            past.outcome.exit_code.map(i64::from).into(),
            past.outcome.error.as_deref().map(record::text).into(),
            past.at.0.into(),
        ]);
    }
    Fat {
        head: "INSERT INTO run_attempts (task_id, idx, attempt, state, exit_code, error, finished_at) VALUES",
        width: 7,
        fixed: "",
        // The attempt's number stays at its most after four thousand million attempts.
        tail: &or_keep(transaction.get_database_backend(), "attempt"),
    }
    .execute(transaction, values)
    .await
    .map_err(during(OPERATION))
}

/// Writes outputs, equal ones once, and counts what each task has of its own.
async fn write_outputs(
    transaction: &DatabaseTransaction,
    group: &mut Group,
    recent: &Recent,
) -> Result<(), Error> {
    let mut sorted = recent.sort(std::mem::take(&mut group.outputs));
    for (task, bytes) in std::mem::take(&mut sorted.kept) {
        group.tasks.entry(task).or_default().kept += bytes_counted(bytes);
    }
    blobs::write(transaction, sorted, OPERATION).await
}

/// Writes the counts of each task. A group is about few tasks, so each has a statement of its own.
async fn write_tasks(transaction: &DatabaseTransaction, group: &Group) -> Result<(), Error> {
    let backend = transaction.get_database_backend();
    let sql = counting(backend);
    for (id, tally) in &group.tasks {
        let Some(id) = record::row_id(*id) else {
            continue;
        };
        if tally.gains == [0; RunState::ALL.len()] && tally.finished_at.is_none() {
            continue;
        }
        let mut values: Vec<Value> = tally.gains.iter().map(|gain| Value::from(*gain)).collect();
        values.push(tally.kept.into());
        values.push(tally.finished_at.map(|at| at.0).into());
        values.push(id.into());
        transaction
            .execute_raw(Statement::from_sql_and_values(backend, &sql, values))
            .await
            .map_err(during(OPERATION))?;
    }
    Ok(())
}

/// Wipes the secrets that were given with tasks that are done now.
async fn wipe_secrets(transaction: &DatabaseTransaction, group: &Group) -> Result<(), Error> {
    let done = |tally: &Tally| tally.sealed && tally.finished_at.is_some();
    let done = group.tasks.iter().filter(|(_, tally)| done(tally));
    let done: Vec<i64> = done.filter_map(|(id, _)| record::row_id(*id)).collect();
    match done.is_empty() {
        true => Ok(()),
        false => task_secrets::wipe(transaction, &done).await,
    }
}

fn counting(backend: DbBackend) -> String {
    let mark = |place: usize| match backend {
        DbBackend::Postgres => format!("${place}"),
        _ => "?".to_owned(),
    };
    let mut sql = "UPDATE tasks SET ".to_owned();
    for (place, state) in RunState::ALL.into_iter().enumerate() {
        let name = state.as_str();
        sql.push_str(&format!("runs_{name} = runs_{name} + {}, ", mark(place + 1)));
    }
    let places = RunState::ALL.len();
    sql.push_str(&format!(
        "kept_bytes = kept_bytes + {}, finished_at = {} WHERE id = {}",
        mark(places + 1),
        mark(places + 2),
        mark(places + 3)
    ));
    sql
}

#[cfg(test)]
mod tests {
    use sea_orm::DatabaseConnection;

    use super::*;
    use crate::adapters::sql::read;

    async fn plan(db: &DatabaseConnection, sql: &str) -> String {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let rows = db
            .query_all_raw(Statement::from_string(DbBackend::Sqlite, sql))
            .await
            .unwrap();
        rows.iter()
            .map(|row| row.try_get::<String>("", "detail").unwrap() + "\n")
            .collect()
    }

    #[tokio::test]
    async fn no_frequent_statement_walks_a_whole_table() {
        let tasks = muster_runtime::Tasks::new();
        let database = crate::adapters::sqlite::open_memory(&tasks).await.unwrap();
        let (head, tail) = runs_by_key(DbBackend::Sqlite, READ);
        let by_key = Fat {
            head: &head,
            width: 2,
            fixed: "",
            tail: &tail,
        };
        let open = format!(
            "SELECT idx FROM runs WHERE task_id = ? AND idx >= ? AND {} ORDER BY idx",
            read::OPEN
        );
        let started = format!(
            "SELECT DISTINCT executor FROM runs WHERE {} AND executor IS NOT NULL",
            read::STARTED
        );
        let statements = [
            by_key.text(DbBackend::Sqlite, 1),
            by_key.text(DbBackend::Sqlite, 64),
            "SELECT id FROM tasks WHERE id IN ( (?),(?) )".to_owned(),
            open,
            started,
            "SELECT id FROM tasks WHERE finished_at IS NULL ORDER BY id".to_owned(),
            "SELECT id FROM tasks WHERE request_id = ?".to_owned(),
        ];
        for sql in statements {
            let plan = plan(&database.readers, &sql).await;
            for table in ["runs", "tasks", "r"] {
                assert!(
                    !plan.lines().any(|line| line.trim() == format!("SCAN {table}")),
                    "{sql}\n{plan}"
                );
            }
            assert!(plan.contains("SEARCH"), "{sql}\n{plan}");
        }
    }
}
