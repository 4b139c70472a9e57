//! Rows as values: the same ones from every engine.

use sea_orm::{DbErr, QueryResult, Value};

use super::plan::{Kind, Table};

/// Reads a row whose columns stand in the order of the table's.
pub(crate) fn read(table: &Table, row: &QueryResult) -> Result<Vec<Value>, DbErr> {
    let value = |(place, kind)| {
        Ok(match kind {
            Kind::Number => Value::BigInt(row.try_get_by_index(place)?),
            Kind::Text => Value::String(row.try_get_by_index(place)?),
            Kind::Bytes => Value::Bytes(row.try_get_by_index(place)?),
            Kind::Flag => Value::Bool(row.try_get_by_index(place)?),
        })
    };
    let kinds = table.columns.iter().map(|column| column.kind);
    kinds.enumerate().map(value).collect()
}
