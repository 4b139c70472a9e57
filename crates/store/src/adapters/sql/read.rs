//! Reading tasks, runs and executors.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use muster_model::{
    ErrorKind, ExecutorId, RunKey, RunRecord, RunState, TaskId, TaskRecord, TaskState, Timestamp,
};
use sea_orm::sea_query::{Expr, ExprTrait, Func};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement,
};

use super::entity::{attempt, executor, input, run, task};
use super::record::{self, row_id};
use super::translate::during;
use crate::error::Error;
use crate::types::{ExecutorRecord, OpenRun, RunFilter, TaskFilter, TaskInput};

/// Open runs, in the very words of the partial index (see the first migration).
pub(crate) const OPEN: &str = "state IN ('queued', 'started')";
/// Started runs, likewise.
pub(crate) const STARTED: &str = "state = 'started'";

pub(crate) async fn task(db: &DatabaseConnection, id: TaskId) -> Result<Option<TaskRecord>, Error> {
    let Some(row) = row_id(id) else {
        return Ok(None);
    };
    task::Entity::find_by_id(row)
        .filter(task::Column::RemovingSince.is_null())
        .one(db)
        .await
        .map_err(during(&format!("read task {id}")))?
        .map(record::task)
        .transpose()
}

pub(crate) async fn input(db: &DatabaseConnection, id: TaskId) -> Result<TaskInput, Error> {
    let operation = format!("read the input of task {id}");
    let missing = || Error::new(ErrorKind::NotFound, operation.clone());
    let row = row_id(id).ok_or_else(missing)?;
    let found = input::Entity::find_by_id(row)
        .one(db)
        .await
        .map_err(during(&operation))?;
    match found {
        Some(found) => Ok(TaskInput {
            script: found.script.map(Bytes::from),
            stdin: found.stdin.map(Bytes::from),
        }),
        None => match created_at(db, row, &operation).await? {
            Some(_) => Ok(TaskInput::default()),
            None => Err(missing()),
        },
    }
}

async fn created_at(db: &DatabaseConnection, row: i64, operation: &str) -> Result<Option<i64>, Error> {
    task::Entity::find_by_id(row)
        .select_only()
        .column(task::Column::CreatedAt)
        .into_tuple()
        .one(db)
        .await
        .map_err(during(operation))
}

pub(crate) async fn tasks(db: &DatabaseConnection, filter: TaskFilter) -> Result<Vec<TaskRecord>, Error> {
    let mut query = task::Entity::find().filter(task::Column::RemovingSince.is_null());
    query = match filter.state {
        Some(TaskState::Running) => query.filter(task::Column::FinishedAt.is_null()),
        Some(TaskState::Done) => query.filter(task::Column::FinishedAt.is_not_null()),
        None => query,
    };
    if let Some(state) = filter.with_run_state {
        query = query.filter(counted(state).gt(0));
    }
    if let Some(since) = filter.since {
        query = query.filter(task::Column::CreatedAt.gte(since.0));
    }
    if let Some(owner) = filter.owner {
        query = query.filter(task::Column::Owner.eq(record::text(&owner)));
    }
    if let Some(text) = filter.text.filter(|text| !text.is_empty()) {
        // Not LIKE: the text is no pattern, and may be of any length.
        let position = match db.get_database_backend() {
            DbBackend::Postgres => "strpos",
            _ => "instr",
        };
        query = query.filter(
            Expr::expr(
                Func::cust(position)
                    .arg(Expr::col(task::Column::Search))
                    .arg(Expr::value(record::text(&text.to_lowercase()))),
            )
            .gt(0),
        );
    }
    if let Some(before) = filter.before {
        query = query.filter(task::Column::Id.lt(i64::try_from(before.0).unwrap_or(i64::MAX)));
    }
    let limit = match filter.limit {
        0 => 100,
        1..=1000 => filter.limit,
        _ => 1000,
    };
    query
        .order_by_desc(task::Column::Id)
        .limit(u64::from(limit))
        .all(db)
        .await
        .map_err(during("list tasks"))?
        .into_iter()
        .map(record::task)
        .collect()
}

fn counted(state: RunState) -> task::Column {
    match state {
        RunState::Queued => task::Column::RunsQueued,
        RunState::Started => task::Column::RunsStarted,
        RunState::Succeeded => task::Column::RunsSucceeded,
        RunState::Failed => task::Column::RunsFailed,
        RunState::TimedOut => task::Column::RunsTimedOut,
        RunState::Unreachable => task::Column::RunsUnreachable,
        RunState::Cancelled => task::Column::RunsCancelled,
        RunState::Expired => task::Column::RunsExpired,
        RunState::Lost => task::Column::RunsLost,
        RunState::Skipped => task::Column::RunsSkipped,
    }
}

pub(crate) async fn runs(
    db: &DatabaseConnection,
    id: TaskId,
    filter: RunFilter,
) -> Result<Vec<RunRecord>, Error> {
    let operation = format!("read runs of task {id}");
    let Some(row) = row_id(id) else {
        return Ok(Vec::new());
    };
    let limit = match filter.limit {
        0 => 1000,
        1..=10_000 => filter.limit,
        _ => 10_000,
    };
    let mut query = run::Entity::find()
        .filter(run::Column::TaskId.eq(row))
        .filter(run::Column::Idx.gte(i64::from(filter.from)));
    if !filter.states.is_empty() {
        query = query.filter(run::Column::State.is_in(filter.states.iter().map(|state| state.as_str())));
    }
    let rows = query
        .order_by_asc(run::Column::Idx)
        .limit(u64::from(limit))
        .all(db)
        .await
        .map_err(during(&operation))?;
    records(db, row, rows, &operation).await
}

pub(crate) async fn run(db: &DatabaseConnection, key: RunKey) -> Result<Option<RunRecord>, Error> {
    let operation = format!("read run {key}");
    let Some(row) = row_id(key.task) else {
        return Ok(None);
    };
    let found = run::Entity::find_by_id((row, i64::from(key.index)))
        .one(db)
        .await
        .map_err(during(&operation))?;
    let rows = found.into_iter().collect();
    Ok(records(db, row, rows, &operation).await?.pop())
}

/// Completes rows of one task with what stands elsewhere: when it was submitted, and earlier attempts.
async fn records(
    db: &DatabaseConnection,
    task: i64,
    rows: Vec<run::Model>,
    operation: &str,
) -> Result<Vec<RunRecord>, Error> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(Vec::new());
    };
    let mut history: HashMap<i64, Vec<attempt::Model>> = HashMap::new();
    if rows.iter().any(|row| row.attempt > 1) {
        let earlier = attempt::Entity::find()
            .filter(attempt::Column::TaskId.eq(task))
            .filter(attempt::Column::Idx.between(first.idx, last.idx))
            .order_by_asc(attempt::Column::Idx)
            .order_by_asc(attempt::Column::Attempt)
            .all(db)
            .await
            .map_err(during(operation))?;
        for row in earlier {
            history.entry(row.idx).or_default().push(row);
        }
    }
    let queued_at = created_at(db, task, operation)
        .await?
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, operation).caused_by("runs without their task"))?;
    rows.into_iter()
        .map(|row| {
            let mut earlier = history.remove(&row.idx).unwrap_or_default();
            // The history was read after the run, and may know more by then.
            earlier.retain(|past| past.attempt < row.attempt);
            record::run(row, queued_at, earlier)
        })
        .collect()
}

pub(crate) async fn open_tasks(db: &DatabaseConnection) -> Result<Vec<(TaskId, ExecutorId)>, Error> {
    let rows: Vec<(i64, String)> = task::Entity::find()
        .select_only()
        .columns([task::Column::Id, task::Column::Dispatcher])
        .filter(task::Column::FinishedAt.is_null())
        .order_by_asc(task::Column::Id)
        .into_tuple()
        .all(db)
        .await
        .map_err(during("list open tasks"))?;
    rows.into_iter()
        .map(|(id, dispatcher)| Ok((record::task_id(id)?, ExecutorId(dispatcher))))
        .collect()
}

pub(crate) async fn open_runs(
    db: &DatabaseConnection,
    id: TaskId,
    from: u32,
    limit: u32,
) -> Result<Vec<OpenRun>, Error> {
    let operation = format!("read open runs of task {id}");
    let Some(row) = row_id(id) else {
        return Ok(Vec::new());
    };
    let rows: Vec<(i64, i64, String, i64, Option<String>)> = run::Entity::find()
        .select_only()
        .columns([
            run::Column::TaskId,
            run::Column::Idx,
            run::Column::State,
            run::Column::Attempt,
            run::Column::Executor,
        ])
        .filter(run::Column::TaskId.eq(row))
        .filter(run::Column::Idx.gte(i64::from(from)))
        .filter(Expr::cust(OPEN))
        .order_by_asc(run::Column::Idx)
        .limit(u64::from(limit))
        .into_tuple()
        .all(db)
        .await
        .map_err(during(&operation))?;
    rows.into_iter()
        .map(|(task, idx, state, attempt, executor)| {
            Ok(OpenRun {
                key: record::run_key(task, idx)?,
                state: record::run_state(&state)?,
                attempt: record::attempt_number(attempt)?,
                executor: executor.map(ExecutorId),
            })
        })
        .collect()
}

/// Executors that gave a sign of life, and those that own started runs without one: their lease ended long
/// ago.
pub(crate) async fn executors(db: &DatabaseConnection) -> Result<Vec<ExecutorRecord>, Error> {
    const OPERATION: &str = "list executors";
    let owners: Vec<String> = run::Entity::find()
        .select_only()
        .column(run::Column::Executor)
        .distinct()
        .filter(Expr::cust(STARTED))
        .filter(run::Column::Executor.is_not_null())
        .into_tuple()
        .all(db)
        .await
        .map_err(during(OPERATION))?;
    let mut found: BTreeMap<String, ExecutorRecord> = BTreeMap::new();
    for id in owners {
        let silent = ExecutorRecord {
            id: ExecutorId(id.clone()),
            home: String::new(),
            pid: 0,
            until: Timestamp(0),
        };
        found.insert(id, silent);
    }
    let rows = executor::Entity::find()
        .filter(executor::Column::GoneAt.is_null())
        .all(db)
        .await
        .map_err(during(OPERATION))?;
    for row in rows {
        let alive = ExecutorRecord {
            id: ExecutorId(row.id.clone()),
            home: row.home,
            pid: u32::try_from(row.pid)
                .map_err(|error| Error::new(ErrorKind::Corrupt, OPERATION).caused_by(error))?,
            until: Timestamp(row.lease_until),
        };
        found.insert(row.id, alive);
    }
    Ok(found.into_values().collect())
}

/// Returns the engine's name, its version and the settings that durability rests on, for `ping`.
pub(crate) async fn engine<C: ConnectionTrait>(db: &C) -> Result<String, Error> {
    if db.get_database_backend() != DbBackend::Sqlite {
        return setting(db, "SELECT version()").await;
    }
    let version = setting(db, "SELECT sqlite_version()").await?;
    let journal = setting(db, "PRAGMA journal_mode").await?;
    let synchronous = setting(
        db,
        "SELECT CASE synchronous WHEN 0 THEN 'off' WHEN 1 THEN 'normal' WHEN 2 THEN 'full' ELSE 'extra' END \
         FROM pragma_synchronous",
    )
    .await?;
    Ok(format!(
        "SQLite {version}, journal {journal}, synchronous {synchronous}"
    ))
}

/// Returns the time that a database server has; None of a file, which has none.
pub(crate) async fn clock<C: ConnectionTrait>(db: &C) -> Result<Option<Timestamp>, Error> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        DbBackend::MySql => "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)",
        _ => return Ok(None),
    };
    let row = db
        .query_one_raw(Statement::from_string(backend, sql))
        .await
        .map_err(during("clock"))?
        .ok_or_else(|| Error::new(ErrorKind::Internal, "clock"))?;
    let micros: i64 = row.try_get_by_index(0).map_err(during("clock"))?;
    Ok(Some(Timestamp(micros)))
}

async fn setting<C: ConnectionTrait>(db: &C, sql: &str) -> Result<String, Error> {
    db.query_one_raw(Statement::from_string(db.get_database_backend(), sql))
        .await
        .map_err(during("ping"))?
        .ok_or_else(|| Error::new(ErrorKind::Internal, "ping"))?
        .try_get_by_index(0)
        .map_err(during("ping"))
}
