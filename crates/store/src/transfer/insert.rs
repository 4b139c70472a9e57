//! Writing rows into the target: each page a transaction that first makes sure that the target is still this copy's.

use muster_model::ErrorKind;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement, Value};

use super::mark;
use super::plan::{Table, quoted};
use super::side::Side;
use crate::adapters::sql::statement::Fat;
use crate::adapters::sql::translate::{Phase, during, translate};
use crate::adapters::sql::writer::transact;
use crate::error::Error;

/// Writes a page of rows.
pub(crate) async fn page(side: &Side, id: &str, table: &Table, rows: Vec<Vec<Value>>) -> Result<(), Error> {
    let operation = format!("copy rows of {} into {}", table.name, side.place);
    let (id, table) = (id.to_owned(), table.clone());
    let what = operation.clone();
    transact(&side.db, &operation, move |transaction| {
        Box::pin(async move {
            hold(transaction, &id, &what).await?;
            self::rows(transaction, &table, rows).await.map_err(during(&what))
        })
    })
    .await
}

/// Writes rows, as many as a statement takes at a time.
pub(crate) async fn rows<C: ConnectionTrait>(
    db: &C,
    table: &Table,
    rows: Vec<Vec<Value>>,
) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| quoted(backend, &column.name))
        .collect();
    let head = format!(
        "INSERT INTO {} ({}) VALUES",
        quoted(backend, &table.name),
        columns.join(", ")
    );
    let insert = Fat {
        head: &head,
        width: table.columns.len(),
        fixed: "",
        tail: "",
    };
    insert.execute(db, rows.into_iter().flatten().collect()).await
}

/// Fails where another copy has begun in the same target meanwhile.
async fn hold(transaction: &DatabaseTransaction, id: &str, operation: &str) -> Result<(), Error> {
    let backend = transaction.get_database_backend();
    let sql = format!("UPDATE {} SET pages = pages + 1 WHERE id = '{id}'", mark::TABLE);
    let done = transaction
        .execute_raw(Statement::from_string(backend, sql))
        .await;
    match done.map(|done| done.rows_affected()) {
        Ok(1) => Ok(()),
        Ok(_) => Err(mark::taken_over(operation)),
        // The other one has just made the mark anew.
        Err(error) => {
            let error = translate(operation, Phase::Work, error);
            Err(match error.kind {
                ErrorKind::Internal => mark::taken_over(operation).caused_by(error),
                _ => error,
            })
        }
    }
}
