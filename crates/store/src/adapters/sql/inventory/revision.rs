//! The counters of the inventory. Whoever changes it counts first, which locks the row: changes come one after the
//! other, and who has seen a number has seen all that it stands for.

use muster_model::ErrorKind;
use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement};

use super::super::translate::during;
use crate::error::Error;
use crate::types::Revision;

const OPERATION: &str = "count the inventory's changes";

/// What else a change is about, beside the inventory as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) removed: bool,
    pub(super) groups: bool,
}

pub(super) async fn read<C: ConnectionTrait>(db: &C) -> Result<Revision, Error> {
    let sql = "SELECT name, value FROM revisions WHERE name IN ('inventory', 'removed', 'groups')";
    let rows = db
        .query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await
        .map_err(during(OPERATION))?;
    let mut revision = Revision::default();
    for row in rows {
        let (name, value): (String, i64) = row.try_get_many_by_index().map_err(during(OPERATION))?;
        match name.as_str() {
            "inventory" => revision.now = value,
            "removed" => revision.removed = value,
            _ => revision.groups = value,
        }
    }
    if revision.now == 0 {
        return Err(Error::new(ErrorKind::Corrupt, OPERATION).caused_by("the counter is missing"));
    }
    Ok(revision)
}

/// Counts one change; where `seen` is given and is not what it was before, that is a `Conflict`.
pub(super) async fn count(
    transaction: &DatabaseTransaction,
    touched: Touched,
    seen: Option<Revision>,
) -> Result<Revision, Error> {
    set(
        transaction,
        "UPDATE revisions SET value = value + 1 WHERE name = 'inventory'".into(),
    )
    .await?;
    let mut revision = read(transaction).await?;
    if seen.is_some_and(|seen| seen.now + 1 != revision.now) {
        return Err(Error::new(ErrorKind::Conflict, "change the inventory")
            .caused_by("it was changed by somebody else meanwhile"));
    }
    for (is_it, name, value) in [
        (touched.removed, "removed", &mut revision.removed),
        (touched.groups, "groups", &mut revision.groups),
    ] {
        if is_it {
            *value = revision.now;
            set(
                transaction,
                format!(
                    "UPDATE revisions SET value = {} WHERE name = '{name}'",
                    revision.now
                ),
            )
            .await?;
        }
    }
    Ok(revision)
}

async fn set(transaction: &DatabaseTransaction, sql: String) -> Result<(), Error> {
    transaction
        .execute_raw(Statement::from_string(transaction.get_database_backend(), sql))
        .await
        .map_err(during(OPERATION))?;
    Ok(())
}
