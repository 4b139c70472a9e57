//! Writing a task with all its runs.

use muster_model::inventory::CredentialName;
use muster_model::{ErrorKind, ExecutorId, TaskId, TaskRecord, limits};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ActiveValue::NotSet, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, Set,
    Value,
};

use super::entity::{input, task};
use super::statement::Fat;
use super::translate::during;
use super::{record, task_secrets};
use crate::error::Error;
use crate::types::{NewTask, Submitted};

const OPERATION: &str = "submit";
/// What a statement holds besides script and standard input.
const ROOM_BESIDE_INPUT: usize = 64 * 1024;

/// Refuses what the tables have no room for. `largest` is the most that the server takes in one statement.
pub(crate) fn check(task: &NewTask, largest: Option<usize>) -> Result<(), Error> {
    let refuse = |kind, what: String| Err(Error::new(kind, format!("{OPERATION} a task")).caused_by(what));
    let texts = [
        ("request id", &task.request_id),
        ("owner", &task.owner),
        ("dispatcher", &task.dispatcher.0),
    ];
    for (name, text) in texts {
        if text.is_empty() || text.len() > 255 || text.contains('\0') {
            return refuse(
                ErrorKind::Invalid,
                format!("the {name} has 1 to 255 bytes, none of them zero"),
            );
        }
    }
    let input = [&task.input.script, &task.input.stdin].into_iter().flatten();
    let input: usize = input.map(bytes::Bytes::len).sum();
    if let Some(largest) = largest.filter(|largest| input + ROOM_BESIDE_INPUT > *largest) {
        return refuse(
            ErrorKind::TooLarge,
            format!(
                "script and standard input have {input} bytes, and the database server takes {largest} in one \
                 statement: its setting max_allowed_packet has to be larger"
            ),
        );
    }
    if let Some(Err(why)) = task.secrets.as_ref().map(task_secrets::check) {
        return refuse(ErrorKind::Invalid, why.to_owned());
    }
    if task.hosts.is_empty() {
        return refuse(ErrorKind::Invalid, "a task has at least one host".into());
    }
    if task.hosts.len() as u64 > limits::HOSTS_PER_TASK {
        return refuse(
            ErrorKind::TooLarge,
            format!("a task has at most {} hosts", limits::HOSTS_PER_TASK),
        );
    }
    for (host, endpoint) in &task.hosts {
        let texts = [
            Some(host),
            Some(&endpoint.host),
            endpoint.address.as_ref(),
            endpoint.user.as_ref(),
        ];
        let is_wrong = |text: &String| text.len() > limits::HOST_NAME_BYTES || text.contains('\0');
        if host.is_empty() || texts.into_iter().flatten().any(is_wrong) {
            let shown: String = host.chars().take(80).collect();
            return refuse(
                ErrorKind::Invalid,
                format!(
                    "the host '{shown}': its name, address and user have at most {} bytes, none of them zero",
                    limits::HOST_NAME_BYTES
                ),
            );
        }
    }
    Ok(())
}

/// Writes the task, or finds the one that the same request made before.
pub(crate) async fn submit(transaction: &DatabaseTransaction, new: &NewTask) -> Result<Submitted, Error> {
    let before = task::Entity::find()
        .filter(task::Column::RequestId.eq(new.request_id.as_str()))
        .one(transaction)
        .await
        .map_err(during(OPERATION))?;
    if let Some(row) = before {
        return record::task(row).map(Submitted::Before);
    }
    let record = write_task(transaction, new).await?;
    let id = record::row_id(record.id)
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("{OPERATION}: a number for the task")))?;
    write_input(transaction, id, new).await?;
    write_runs(transaction, id, new).await?;
    // Last: it locks what every submit with a password locks.
    if let Some(secrets) = &new.secrets {
        task_secrets::write(transaction, id, secrets).await?;
    }
    Ok(Submitted::Now(record))
}

async fn write_task(transaction: &DatabaseTransaction, new: &NewTask) -> Result<TaskRecord, Error> {
    let total = new.hosts.len() as u32;
    let mut record = TaskRecord {
        id: TaskId(0),
        kind: new.kind.clone(),
        options: new.options.clone(),
        owner: new.owner.clone(),
        retry_of: new.retry_of,
        created_at: new.created_at,
        finished_at: None,
        cancelled_at: None,
        outputs_removed_at: None,
        counts: muster_model::Counts {
            total,
            queued: total,
            ..Default::default()
        },
    };
    let row = task::ActiveModel {
        id: NotSet,
        request_id: Set(new.request_id.clone()),
        spec: Set(record::to_json("a task", &record.kind)?),
        options: Set(record::to_json("a task's options", &record.options)?),
        search: Set(record::text(&record.title().to_lowercase())),
        owner: Set(record.owner.clone()),
        dispatcher: Set(new.dispatcher.0.clone()),
        sealed: Set(i64::from(new.secrets.is_some())),
        retry_of: Set(record.retry_of.and_then(record::row_id)),
        created_at: Set(record.created_at.0),
        finished_at: Set(None),
        cancelled_at: Set(None),
        runs_total: Set(i64::from(total)),
        runs_queued: Set(i64::from(total)),
        ..Default::default()
    };
    let written = row.insert(transaction).await.map_err(during(OPERATION))?;
    record.id = record::task_id(written.id)?;
    Ok(record)
}

async fn write_input(transaction: &DatabaseTransaction, id: i64, new: &NewTask) -> Result<(), Error> {
    if new.input.script.is_none() && new.input.stdin.is_none() {
        return Ok(());
    }
    let row = input::ActiveModel {
        task_id: Set(id),
        script: Set(new.input.script.as_ref().map(|bytes| bytes.to_vec())),
        stdin: Set(new.input.stdin.as_ref().map(|bytes| bytes.to_vec())),
    };
    input::Entity::insert(row)
        .exec_without_returning(transaction)
        .await
        .map_err(during(OPERATION))?;
    Ok(())
}

/// Rows of a piece: what is held in memory beside the task itself.
const PIECE: usize = 8192;

async fn write_runs(transaction: &DatabaseTransaction, id: i64, new: &NewTask) -> Result<(), Error> {
    let insert = Fat {
        head: "INSERT INTO runs (task_id, idx, host, reach, target, address, login, port, credential) VALUES",
        width: 9,
        fixed: "",
        tail: "",
    };
    let mut hosts = (0_i64..).zip(&new.hosts);
    loop {
        let mut values: Vec<Value> = Vec::with_capacity(PIECE * insert.width);
        for (index, (host, endpoint)) in hosts.by_ref().take(PIECE) {
            let target = (endpoint.host != *host).then(|| endpoint.host.clone());
            values.extend([
                id.into(),
                index.into(),
                host.as_str().into(),
                record::name_of(endpoint.reach)?.into(),
                target.into(),
                endpoint.address.clone().into(),
                endpoint.user.clone().into(),
                endpoint.port.map(i64::from).into(),
                endpoint.credential.as_ref().map(CredentialName::as_str).into(),
            ]);
        }
        if values.is_empty() {
            return Ok(());
        }
        insert
            .execute(transaction, values)
            .await
            .map_err(during(OPERATION))?;
    }
}

/// Notes that somebody wants the task cancelled; false where that changes nothing.
pub(crate) async fn request_cancel(
    transaction: &DatabaseTransaction,
    id: TaskId,
    at: i64,
) -> Result<bool, Error> {
    let operation = format!("cancel task {id}");
    let missing = || Error::new(ErrorKind::NotFound, operation.clone());
    let row = record::row_id(id).ok_or_else(missing)?;
    let changed = task::Entity::update_many()
        .col_expr(task::Column::CancelledAt, Expr::value(at))
        .filter(task::Column::Id.eq(row))
        .filter(task::Column::FinishedAt.is_null())
        .filter(task::Column::CancelledAt.is_null())
        .exec(transaction)
        .await
        .map_err(during(&operation))?
        .rows_affected;
    if changed == 0
        && task::Entity::find_by_id(row)
            .one(transaction)
            .await
            .map_err(during(&operation))?
            .is_none()
    {
        return Err(missing());
    }
    Ok(changed > 0)
}

/// Gives a task that is not done to another dispatcher; false where it is not `from`'s.
pub(crate) async fn adopt(
    transaction: &DatabaseTransaction,
    id: TaskId,
    from: &ExecutorId,
    to: &ExecutorId,
) -> Result<bool, Error> {
    let operation = format!("adopt task {id}");
    let Some(row) = record::row_id(id) else {
        return Ok(false);
    };
    let changed = task::Entity::update_many()
        .col_expr(task::Column::Dispatcher, Expr::value(to.0.as_str()))
        .filter(task::Column::Id.eq(row))
        .filter(task::Column::Dispatcher.eq(from.0.as_str()))
        .filter(task::Column::FinishedAt.is_null())
        .exec(transaction)
        .await
        .map_err(during(&operation))?;
    Ok(changed.rows_affected > 0)
}
