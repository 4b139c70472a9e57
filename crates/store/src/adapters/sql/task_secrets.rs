//! Sealed secrets of tasks: written with the task, wiped with its end.

use bytes::Bytes;
use muster_model::{ErrorKind, TaskId, Timestamp};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect, Set,
};

use super::Database;
use super::entity::{task, task_secret, vault_key};
use super::record;
use super::translate::during;
use crate::error::Error;
use crate::types::vault::{SEALED_BYTES, SealedSecrets, TaskSecrets};

/// Refuses what is no sealed secret.
pub(super) fn check(secrets: &TaskSecrets) -> Result<(), &'static str> {
    let fits = (1..=64).contains(&secrets.key_id.len()) && secrets.sealed.len() <= SEALED_BYTES;
    match fits {
        true => Ok(()),
        false => Err("sealed secrets have at most 1 MiB, and a key with an id of 1 to 64 bytes"),
    }
}

/// Writes the secrets of a task that is being written.
pub(super) async fn write(
    transaction: &DatabaseTransaction,
    task: i64,
    secrets: &TaskSecrets,
) -> Result<(), Error> {
    const OPERATION: &str = "keep the secrets of a task";
    // The key is not retired meanwhile: that holds the same row.
    super::vault::lock(transaction).await?;
    let key = vault_key::Entity::find_by_id(&secrets.key_id)
        .one(transaction)
        .await
        .map_err(during(OPERATION))?;
    if key.is_none_or(|key| key.retired_at.is_some()) {
        return Err(Error::new(ErrorKind::Conflict, OPERATION)
            .caused_by("the key that they are sealed with was replaced at this moment: try again"));
    }
    let row = task_secret::ActiveModel {
        task_id: Set(task),
        key_id: Set(secrets.key_id.clone()),
        sealed: Set(secrets.sealed.to_vec()),
    };
    task_secret::Entity::insert(row)
        .exec_without_returning(transaction)
        .await
        .map(drop)
        .map_err(during(OPERATION))
}

/// Wipes the secrets of tasks that are done.
pub(super) async fn wipe(transaction: &DatabaseTransaction, tasks: &[i64]) -> Result<(), Error> {
    task_secret::Entity::delete_many()
        .filter(task_secret::Column::TaskId.is_in(tasks.iter().copied()))
        .exec(transaction)
        .await
        .map(drop)
        .map_err(during("wipe the secrets of a task"))
}

async fn reseal(
    transaction: &DatabaseTransaction,
    old: &SealedSecrets,
    new: &TaskSecrets,
) -> Result<(), Error> {
    const OPERATION: &str = "seal the secrets of a task anew";
    super::vault::lock(transaction).await?;
    let Some(row) = record::row_id(old.task) else {
        return Ok(());
    };
    task_secret::Entity::update_many()
        .col_expr(task_secret::Column::KeyId, Expr::value(new.key_id.as_str()))
        .col_expr(task_secret::Column::Sealed, Expr::value(new.sealed.to_vec()))
        .filter(task_secret::Column::TaskId.eq(row))
        .filter(task_secret::Column::KeyId.eq(old.key_id.as_str()))
        .exec(transaction)
        .await
        .map(drop)
        .map_err(during(OPERATION))
}

impl Database {
    pub(super) async fn find_secrets(&self, only: Option<TaskId>) -> Result<Vec<SealedSecrets>, Error> {
        const OPERATION: &str = "read the secrets of a task";
        let mut find = task_secret::Entity::find();
        if let Some(only) = only {
            let Some(row) = record::row_id(only) else {
                return Ok(Vec::new());
            };
            find = find.filter(task_secret::Column::TaskId.eq(row));
        }
        let mut found = Vec::new();
        for row in find.all(&self.readers).await.map_err(during(OPERATION))? {
            let of: Option<(String, String, i64)> = task::Entity::find_by_id(row.task_id)
                .select_only()
                .columns([
                    task::Column::RequestId,
                    task::Column::Owner,
                    task::Column::CreatedAt,
                ])
                .into_tuple()
                .one(&self.readers)
                .await
                .map_err(during(OPERATION))?;
            let Some((request_id, owner, created_at)) = of else {
                continue;
            };
            found.push(SealedSecrets {
                task: record::task_id(row.task_id)?,
                request_id,
                owner,
                created_at: Timestamp(created_at),
                key_id: row.key_id,
                sealed: Bytes::from(row.sealed),
            });
        }
        Ok(found)
    }

    pub(super) async fn reseal_secrets(&self, old: SealedSecrets, new: TaskSecrets) -> Result<(), Error> {
        self.writer
            .repeat(
                format!("seal the secrets of task {} anew", old.task),
                Box::new(move |transaction| {
                    let (old, new) = (old.clone(), new.clone());
                    Box::pin(async move { reseal(transaction, &old, &new).await })
                }),
            )
            .await
    }
}

/// Tells whether secrets of a task are sealed with a key.
pub(super) async fn use_key<C: ConnectionTrait>(db: &C, key: &str) -> Result<bool, Error> {
    let found = task_secret::Entity::find()
        .filter(task_secret::Column::KeyId.eq(key))
        .one(db)
        .await;
    Ok(found.map_err(during("look who uses a key"))?.is_some())
}
