//! The servers that share a database, and who leads among them.

use std::time::Duration;

use async_trait::async_trait;
use muster_model::{ErrorKind, ExecutorId, TaskId, Timestamp};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
};

use super::Database;
use super::entity::{executor, task, term};
use super::record::{self, is_executor};
use super::statement::{Fat, or_keep};
use super::translate::during;
use crate::error::Error;
use crate::port::Members;
use crate::types::{Beat, Leadership, Member};

/// Refuses what the tables have no room for.
fn check(member: &Member, operation: &str) -> Result<(), Error> {
    let refuse = |what: &str| Err(Error::new(ErrorKind::Invalid, operation).caused_by(what.to_owned()));
    if !is_executor(&member.id) {
        return refuse(record::EXECUTOR);
    }
    let texts = [
        (&member.home, 255),
        (&member.machine, 255),
        (&member.roles, 255),
        (&member.version, 64),
        (&member.beat.vault_key, 64),
    ];
    for (text, most) in texts {
        if text.len() > most || text.contains('\0') {
            return refuse("a server's home, machine, roles, version and key are short, without zero bytes");
        }
    }
    Ok(())
}

fn member(row: executor::Model) -> Result<Member, Error> {
    let small = |number: i64| {
        u32::try_from(number).map_err(|error| Error::new(ErrorKind::Corrupt, "list servers").caused_by(error))
    };
    Ok(Member {
        id: ExecutorId(row.id),
        home: row.home,
        machine: row.machine,
        pid: small(row.pid)?,
        roles: row.roles,
        version: row.version,
        since: Timestamp(row.since),
        lease: Duration::from_millis(u64::try_from(row.lease_ms).unwrap_or(0)),
        slots: small(row.slots)?,
        beat: Beat {
            until: Timestamp(row.lease_until),
            runs: small(row.runs)?,
            tasks: small(row.tasks)?,
            vault_key: row.vault_key,
            leaving: row.leaving != 0,
        },
        gone_at: row.gone_at.map(Timestamp),
    })
}

async fn enter(transaction: &DatabaseTransaction, member: Member) -> Result<(), Error> {
    let row = executor::ActiveModel {
        id: Set(member.id.0),
        home: Set(member.home),
        pid: Set(i64::from(member.pid)),
        lease_until: Set(member.beat.until.0),
        machine: Set(member.machine),
        roles: Set(member.roles),
        version: Set(member.version),
        since: Set(member.since.0),
        lease_ms: Set(i64::try_from(member.lease.as_millis()).unwrap_or(i64::MAX)),
        slots: Set(i64::from(member.slots)),
        runs: Set(i64::from(member.beat.runs)),
        tasks: Set(i64::from(member.beat.tasks)),
        vault_key: Set(member.beat.vault_key),
        leaving: Set(i64::from(member.beat.leaving)),
        gone_at: Set(member.gone_at.map(|at| at.0)),
    };
    executor::Entity::insert(row)
        .exec_without_returning(transaction)
        .await
        .map(drop)
        .map_err(during("enter a server"))
}

async fn renew(transaction: &DatabaseTransaction, id: &str, beat: &Beat) -> Result<bool, Error> {
    let changed = executor::Entity::update_many()
        .col_expr(executor::Column::LeaseUntil, Expr::value(beat.until.0))
        .col_expr(executor::Column::Runs, Expr::value(i64::from(beat.runs)))
        .col_expr(executor::Column::Tasks, Expr::value(i64::from(beat.tasks)))
        .col_expr(executor::Column::VaultKey, Expr::value(beat.vault_key.as_str()))
        .col_expr(executor::Column::Leaving, Expr::value(i64::from(beat.leaving)))
        .filter(executor::Column::Id.eq(id))
        .filter(executor::Column::GoneAt.is_null())
        .exec(transaction)
        .await
        .map_err(during("renew a lease"))?
        .rows_affected;
    if changed > 0 {
        return Ok(true);
    }
    // MariaDB counts no row whose values are the same.
    is_there(transaction, id).await
}

async fn is_there(transaction: &DatabaseTransaction, id: &str) -> Result<bool, Error> {
    let row = executor::Entity::find_by_id(id).one(transaction).await;
    let row = row.map_err(during("look for a server"))?;
    Ok(row.is_some_and(|row| row.gone_at.is_none()))
}

async fn bury(
    transaction: &DatabaseTransaction,
    id: &str,
    seen: Option<Timestamp>,
    at: Timestamp,
) -> Result<bool, Error> {
    let mut update = executor::Entity::update_many()
        .col_expr(executor::Column::GoneAt, Expr::value(at.0))
        // Whoever asks whether leases hold sees none.
        .col_expr(executor::Column::LeaseUntil, Expr::value(0_i64))
        .col_expr(executor::Column::Runs, Expr::value(0_i64))
        .col_expr(executor::Column::Tasks, Expr::value(0_i64))
        .filter(executor::Column::Id.eq(id))
        .filter(executor::Column::GoneAt.is_null());
    if let Some(seen) = seen {
        update = update.filter(executor::Column::LeaseUntil.eq(seen.0));
    }
    update.exec(transaction).await.map_err(during("bury a server"))?;
    Ok(!is_there(transaction, id).await?)
}

async fn lead(transaction: &DatabaseTransaction, work: &str, holder: &str, seen: i64) -> Result<bool, Error> {
    const OPERATION: &str = "take the lead";
    if seen == 0 {
        let backend = transaction.get_database_backend();
        Fat {
            head: "INSERT INTO terms (work, holder, term) VALUES",
            width: 3,
            fixed: "",
            tail: &or_keep(backend, "work"),
        }
        .execute(
            transaction,
            vec![work.into(), Option::<String>::None.into(), 0_i64.into()],
        )
        .await
        .map_err(during(OPERATION))?;
    }
    let changed = term::Entity::update_many()
        .col_expr(term::Column::Holder, Expr::value(holder))
        .col_expr(term::Column::Term, Expr::value(seen + 1))
        .filter(term::Column::Work.eq(work))
        .filter(term::Column::Term.eq(seen))
        .exec(transaction)
        .await
        .map_err(during(OPERATION))?;
    Ok(changed.rows_affected > 0)
}

#[async_trait]
impl Members for Database {
    async fn enter(&self, member: Member) -> Result<(), Error> {
        let operation = format!("enter server '{}'", member.id);
        check(&member, &operation)?;
        self.signs()
            .repeat(
                operation,
                Box::new(move |transaction| {
                    let member = member.clone();
                    Box::pin(async move { enter(transaction, member).await })
                }),
            )
            .await
    }

    async fn renew(&self, id: &ExecutorId, beat: Beat) -> Result<bool, Error> {
        let id = id.0.clone();
        self.signs()
            .repeat(
                format!("renew the lease of server '{id}'"),
                Box::new(move |transaction| {
                    let (id, beat) = (id.clone(), beat.clone());
                    Box::pin(async move { renew(transaction, &id, &beat).await })
                }),
            )
            .await
    }

    async fn members(&self) -> Result<Vec<Member>, Error> {
        executor::Entity::find()
            .order_by_asc(executor::Column::Id)
            .all(&self.readers)
            .await
            .map_err(during("list servers"))?
            .into_iter()
            .map(member)
            .collect()
    }

    async fn bury(&self, id: &ExecutorId, seen: Option<Timestamp>, at: Timestamp) -> Result<bool, Error> {
        let id = id.0.clone();
        self.signs()
            .repeat(
                format!("bury server '{id}'"),
                Box::new(move |transaction| {
                    let id = id.clone();
                    Box::pin(async move { bury(transaction, &id, seen, at).await })
                }),
            )
            .await
    }

    async fn forget_gone(&self, before: Timestamp) -> Result<(), Error> {
        self.signs()
            .repeat(
                "forget servers that are gone",
                Box::new(move |transaction| {
                    Box::pin(async move {
                        executor::Entity::delete_many()
                            .filter(executor::Column::GoneAt.lt(before.0))
                            .exec(transaction)
                            .await
                            .map(drop)
                            .map_err(during("forget servers"))
                    })
                }),
            )
            .await
    }

    async fn leadership(&self, work: &str) -> Result<Option<Leadership>, Error> {
        let row = term::Entity::find_by_id(work).one(&self.readers).await;
        let row = row.map_err(during("read who leads"))?;
        Ok(row.map(|row| Leadership {
            holder: row.holder.map(ExecutorId),
            term: row.term,
        }))
    }

    async fn lead(&self, work: &str, holder: &ExecutorId, seen: i64) -> Result<bool, Error> {
        let (work, holder) = (work.to_owned(), holder.0.clone());
        self.signs()
            .repeat(
                format!("lead '{work}'"),
                Box::new(move |transaction| {
                    let (work, holder) = (work.clone(), holder.clone());
                    Box::pin(async move { lead(transaction, &work, &holder, seen).await })
                }),
            )
            .await
    }

    async fn resign(&self, work: &str, holder: &ExecutorId, term: i64) -> Result<(), Error> {
        let (work, holder) = (work.to_owned(), holder.0.clone());
        self.signs()
            .repeat(
                format!("resign from '{work}'"),
                Box::new(move |transaction| {
                    let (work, holder) = (work.clone(), holder.clone());
                    Box::pin(async move {
                        term::Entity::update_many()
                            .col_expr(term::Column::Holder, Expr::value(Option::<String>::None))
                            .filter(term::Column::Work.eq(work))
                            .filter(term::Column::Holder.eq(holder))
                            .filter(term::Column::Term.eq(term))
                            .exec(transaction)
                            .await
                            .map(drop)
                            .map_err(during("resign"))
                    })
                }),
            )
            .await
    }

    async fn cancelled(&self) -> Result<Vec<TaskId>, Error> {
        let rows: Vec<i64> = task::Entity::find()
            .select_only()
            .column(task::Column::Id)
            .filter(task::Column::FinishedAt.is_null())
            .filter(task::Column::CancelledAt.is_not_null())
            .into_tuple()
            .all(&self.readers)
            .await
            .map_err(during("list cancelled tasks"))?;
        rows.into_iter().map(record::task_id).collect()
    }
}
