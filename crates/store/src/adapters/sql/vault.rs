//! Sealed credentials in the database.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use muster_model::{ErrorKind, TaskId, Timestamp};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Set, Statement,
};

use super::entity::{credential, vault_key};
use super::translate::during;
use super::{Database, task_secrets};
use crate::error::Error;
use crate::port::Vault;
use crate::types::vault::{
    Put, Removed, SEALED_BYTES, SealedCredential, SealedSecrets, TaskSecrets, VaultKey,
};

fn of_row(row: credential::Model) -> Result<SealedCredential, Error> {
    let wrong = |what: String| Error::new(ErrorKind::Corrupt, format!("read a credential: {what}"));
    Ok(SealedCredential {
        name: row
            .name
            .parse()
            .map_err(|error: muster_model::inventory::InvalidName| wrong(error.to_string()))?,
        user: row.login,
        holds: row.holds,
        public_key: row.public_key,
        key_id: row.key_id,
        sealed: row.sealed.into(),
        version: u64::try_from(row.version).map_err(|_| wrong(format!("version {}", row.version)))?,
        created_at: Timestamp(row.created_at),
        changed_at: Timestamp(row.changed_at),
    })
}

fn check(credential: &SealedCredential) -> Result<(), Error> {
    let operation = format!("put credential '{}'", credential.name);
    if credential.sealed.len() > SEALED_BYTES {
        return Err(Error::new(ErrorKind::TooLarge, operation)
            .caused_by(format!("a sealed credential has at most {SEALED_BYTES} bytes")));
    }
    let texts = [
        (credential.user.as_deref().unwrap_or_default(), 255),
        (credential.holds.as_str(), 255),
        (credential.public_key.as_deref().unwrap_or_default(), 255),
        (credential.key_id.as_str(), 64),
    ];
    if texts.iter().any(|(text, most)| text.chars().count() > *most) {
        return Err(Error::new(ErrorKind::TooLarge, operation)
            .caused_by("user, contents and public key have at most 255 characters, a key's id 64"));
    }
    Ok(())
}

/// Has changes of the vault come one after the other, so that what is checked still holds at the commit.
pub(super) async fn lock(transaction: &DatabaseTransaction) -> Result<(), Error> {
    let sql = "UPDATE revisions SET value = value + 1 WHERE name = 'vault'";
    transaction
        .execute_unprepared(sql)
        .await
        .map(drop)
        .map_err(during("count the vault's changes"))
}

async fn put(transaction: &DatabaseTransaction, new: SealedCredential) -> Result<Put, Error> {
    let operation = format!("put credential '{}'", new.name);
    lock(transaction).await?;
    let key = vault_key::Entity::find_by_id(&new.key_id)
        .one(transaction)
        .await
        .map_err(during(&operation))?;
    if key.is_none_or(|key| key.retired_at.is_some()) {
        return Ok(Put::KeyGone);
    }
    let found = credential::Entity::find_by_id(new.name.as_str())
        .one(transaction)
        .await
        .map_err(during(&operation))?;
    let before = i64::try_from(new.version).map_err(|_| {
        Error::new(ErrorKind::Invalid, &operation).caused_by(format!("version {}", new.version))
    })?;
    if found.as_ref().map_or(0, |row| row.version) != before {
        return Ok(Put::Changed);
    }
    let row = credential::ActiveModel {
        name: Set(new.name.into()),
        login: Set(new.user),
        holds: Set(new.holds),
        public_key: Set(new.public_key),
        key_id: Set(new.key_id),
        sealed: Set(new.sealed.to_vec()),
        version: Set(before + 1),
        created_at: Set(new.created_at.0),
        changed_at: Set(new.changed_at.0),
    };
    match found {
        None => credential::Entity::insert(row)
            .exec_without_returning(transaction)
            .await
            .map(drop),
        Some(_) => credential::Entity::update(row).exec(transaction).await.map(drop),
    }
    .map_err(during(&operation))?;
    Ok(Put::Done)
}

async fn remove(transaction: &DatabaseTransaction, name: &str, force: bool) -> Result<Removed, Error> {
    let operation = format!("remove credential '{name}'");
    lock(transaction).await?;
    let used = users(transaction, Some(name)).await?;
    if !force && let Some(used) = used.get(name) {
        return Ok(Removed::Used(*used));
    }
    let removed = credential::Entity::delete_by_id(name)
        .exec(transaction)
        .await
        .map_err(during(&operation))?
        .rows_affected;
    Ok(match removed {
        0 => Removed::NotThere,
        _ => Removed::Done,
    })
}

/// Returns how many hosts of the inventory name each credential, or the one that is asked for.
async fn users<C: ConnectionTrait>(db: &C, name: Option<&str>) -> Result<HashMap<String, u64>, Error> {
    let operation = "count the hosts that use a credential";
    let backend = db.get_database_backend();
    let (only, values): (&str, Vec<sea_orm::Value>) = match (name, backend) {
        (None, _) => ("IS NOT NULL", Vec::new()),
        (Some(name), sea_orm::DbBackend::Postgres) => ("= $1", vec![name.into()]),
        (Some(name), _) => ("= ?", vec![name.into()]),
    };
    let sql = format!("SELECT credential, COUNT(*) FROM hosts WHERE credential {only} GROUP BY credential");
    let rows = db
        .query_all_raw(Statement::from_sql_and_values(backend, sql, values))
        .await
        .map_err(during(operation))?;
    rows.into_iter()
        .map(|row| {
            let (name, count): (String, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            Ok((name, u64::try_from(count).unwrap_or(0)))
        })
        .collect::<Result<_, sea_orm::DbErr>>()
        .map_err(during(operation))
}

async fn add_key(
    transaction: &DatabaseTransaction,
    key: VaultKey,
    beside: &BTreeSet<String>,
) -> Result<bool, Error> {
    let operation = format!("add the vault's key '{}'", key.id);
    lock(transaction).await?;
    let live: Vec<String> = vault_key::Entity::find()
        .select_only()
        .column(vault_key::Column::Id)
        .filter(vault_key::Column::RetiredAt.is_null())
        .into_tuple()
        .all(transaction)
        .await
        .map_err(during(&operation))?;
    if live.into_iter().collect::<BTreeSet<_>>() != *beside {
        return Ok(false);
    }
    let row = vault_key::ActiveModel {
        id: Set(key.id),
        canary: Set(key.canary.to_vec()),
        created_at: Set(key.created_at.0),
        retired_at: Set(key.retired_at.map(|at| at.0)),
    };
    vault_key::Entity::insert(row)
        .exec_without_returning(transaction)
        .await
        .map_err(during(&operation))?;
    Ok(true)
}

async fn retire_key(transaction: &DatabaseTransaction, id: &str, at: Timestamp) -> Result<bool, Error> {
    let operation = format!("retire the vault's key '{id}'");
    lock(transaction).await?;
    let used = credential::Entity::find()
        .filter(credential::Column::KeyId.eq(id))
        .count(transaction)
        .await
        .map_err(during(&operation))?;
    if used > 0 || task_secrets::use_key(transaction, id).await? {
        return Ok(false);
    }
    vault_key::Entity::update_many()
        .col_expr(
            vault_key::Column::RetiredAt,
            sea_orm::sea_query::Expr::value(at.0),
        )
        .filter(vault_key::Column::Id.eq(id))
        .filter(vault_key::Column::RetiredAt.is_null())
        .exec(transaction)
        .await
        .map_err(during(&operation))?;
    let found = vault_key::Entity::find_by_id(id)
        .one(transaction)
        .await
        .map_err(during(&operation))?;
    Ok(found.is_some())
}

#[async_trait]
impl Vault for Database {
    async fn credential(&self, name: &str) -> Result<Option<SealedCredential>, Error> {
        credential::Entity::find_by_id(name)
            .one(&self.readers)
            .await
            .map_err(during("read a credential"))?
            .map(of_row)
            .transpose()
    }

    async fn credentials(&self) -> Result<Vec<(SealedCredential, u64)>, Error> {
        let used = users(&self.readers, None).await?;
        credential::Entity::find()
            .order_by_asc(credential::Column::Name)
            .all(&self.readers)
            .await
            .map_err(during("list credentials"))?
            .into_iter()
            .map(|row| {
                let used = used.get(&row.name).copied().unwrap_or(0);
                Ok((of_row(row)?, used))
            })
            .collect()
    }

    async fn put_credential(&self, credential: SealedCredential) -> Result<Put, Error> {
        check(&credential)?;
        self.writer
            .repeat(
                format!("put credential '{}'", credential.name),
                Box::new(move |transaction| Box::pin(put(transaction, credential.clone()))),
            )
            .await
    }

    async fn remove_credential(&self, name: &str, force: bool) -> Result<Removed, Error> {
        let name = name.to_owned();
        self.writer
            .repeat(
                "remove a credential",
                Box::new(move |transaction| {
                    let name = name.clone();
                    Box::pin(async move { remove(transaction, &name, force).await })
                }),
            )
            .await
    }

    async fn vault_keys(&self) -> Result<Vec<VaultKey>, Error> {
        let rows = vault_key::Entity::find()
            .order_by_asc(vault_key::Column::CreatedAt)
            .order_by_asc(vault_key::Column::Id)
            .all(&self.readers)
            .await
            .map_err(during("read the vault's keys"))?;
        Ok(rows
            .into_iter()
            .map(|row| VaultKey {
                id: row.id,
                canary: row.canary.into(),
                created_at: Timestamp(row.created_at),
                retired_at: row.retired_at.map(Timestamp),
            })
            .collect())
    }

    async fn add_vault_key(&self, key: VaultKey, beside: &[String]) -> Result<bool, Error> {
        let operation = format!("add the vault's key '{}'", key.id);
        if key.id.is_empty() || key.id.len() > 64 || key.canary.len() > SEALED_BYTES {
            return Err(Error::new(ErrorKind::Invalid, operation)
                .caused_by("a key's id has 1 to 64 bytes, and its canary is small"));
        }
        let beside: BTreeSet<String> = beside.iter().cloned().collect();
        self.writer
            .repeat(
                operation,
                Box::new(move |transaction| {
                    let (key, beside) = (key.clone(), beside.clone());
                    Box::pin(async move { add_key(transaction, key, &beside).await })
                }),
            )
            .await
    }

    async fn retire_vault_key(&self, id: &str, at: Timestamp) -> Result<bool, Error> {
        let id = id.to_owned();
        self.writer
            .repeat(
                "retire a key of the vault",
                Box::new(move |transaction| {
                    let id = id.clone();
                    Box::pin(async move { retire_key(transaction, &id, at).await })
                }),
            )
            .await
    }

    async fn task_secrets(&self, task: TaskId) -> Result<Option<SealedSecrets>, Error> {
        Ok(self.find_secrets(Some(task)).await?.pop())
    }

    async fn all_task_secrets(&self) -> Result<Vec<SealedSecrets>, Error> {
        self.find_secrets(None).await
    }

    async fn reseal_task_secrets(&self, old: SealedSecrets, new: TaskSecrets) -> Result<(), Error> {
        if let Err(why) = task_secrets::check(&new) {
            return Err(Error::new(ErrorKind::Invalid, "seal the secrets of a task anew").caused_by(why));
        }
        self.reseal_secrets(old, new).await
    }
}
