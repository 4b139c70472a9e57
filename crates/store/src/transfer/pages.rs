//! The rows of a table, page by page in the order of its key, each page of a size that fits into memory.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use super::plan::{Table, quoted};
use super::row;

/// The most rows of a page.
const MOST_ROWS: usize = 2000;
/// A page takes no further row once it has so many bytes.
const MOST_BYTES: i64 = 8 * 1024 * 1024;
/// What a row counts for beside its long values.
const ROW_BYTES: i64 = 512;

/// A walk through a table.
pub(crate) struct Pages<'t> {
    table: &'t Table,
    backend: DbBackend,
    /// The key of the last row.
    after: Option<Vec<Value>>,
}

impl<'t> Pages<'t> {
    pub(crate) fn of(table: &'t Table, backend: DbBackend) -> Self {
        Self {
            table,
            backend,
            after: None,
        }
    }

    /// Returns the next page; an empty one at the end.
    pub(crate) async fn next<C: ConnectionTrait>(&mut self, db: &C) -> Result<Vec<Vec<Value>>, DbErr> {
        let rows = self.fitting(db).await?;
        if rows == 0 {
            return Ok(Vec::new());
        }
        let columns: Vec<String> = self
            .table
            .columns
            .iter()
            .map(|column| quoted(self.backend, &column.name))
            .collect();
        let rows = db.query_all_raw(self.select(&columns.join(", "), rows)).await?;
        let page: Vec<Vec<Value>> = rows
            .iter()
            .map(|row| row::read(self.table, row))
            .collect::<Result<_, _>>()?;
        if let Some(last) = page.last() {
            let key = self.table.key.iter().map(|place| last[*place].clone());
            self.after = Some(key.collect());
        }
        Ok(page)
    }

    /// Returns how many rows the next page has: where values may be long, they are measured first.
    async fn fitting<C: ConnectionTrait>(&self, db: &C) -> Result<usize, DbErr> {
        let lengths: Vec<String> = self
            .table
            .columns
            .iter()
            .filter(|column| column.long)
            .map(|column| {
                let name = quoted(self.backend, &column.name);
                match self.backend {
                    // Of a text this counts letters, of up to four bytes each, and reads less than the bytes would.
                    DbBackend::Sqlite => format!("COALESCE(LENGTH({name}), 0)"),
                    _ => format!("COALESCE(OCTET_LENGTH({name}), 0)"),
                }
            })
            .collect();
        if lengths.is_empty() {
            return Ok(MOST_ROWS);
        }
        let number = match self.backend {
            DbBackend::MySql => "SIGNED",
            _ => "BIGINT",
        };
        let size = format!("CAST({} AS {number})", lengths.join(" + "));
        let mut bytes: i64 = 0;
        let mut fitting = 0;
        for row in db.query_all_raw(self.select(&size, MOST_ROWS)).await? {
            bytes = bytes
                .saturating_add(row.try_get_by_index::<i64>(0)?)
                .saturating_add(ROW_BYTES);
            if fitting > 0 && bytes > MOST_BYTES {
                break;
            }
            fitting += 1;
        }
        Ok(fitting)
    }

    fn select(&self, what: &str, rows: usize) -> Statement {
        let key: Vec<String> = self
            .table
            .key
            .iter()
            .map(|place| quoted(self.backend, &self.table.columns[*place].name))
            .collect();
        let (behind, values) = match &self.after {
            None => (String::new(), Vec::new()),
            Some(after) => self.behind(&key, after),
        };
        let sql = format!(
            "SELECT {what} FROM {}{behind} ORDER BY {} LIMIT {rows}",
            quoted(self.backend, &self.table.name),
            key.join(", ")
        );
        Statement::from_sql_and_values(self.backend, sql, values)
    }

    /// Returns the condition for rows behind a key, in the form for which the engine walks its index.
    fn behind(&self, key: &[String], after: &[Value]) -> (String, Vec<Value>) {
        match self.backend {
            DbBackend::MySql => {
                let mut ways = Vec::new();
                let mut values = Vec::new();
                for last in 0..key.len() {
                    let equal = key[..last].iter().map(|column| format!("{column} = ?"));
                    let parts: Vec<String> = equal.chain([format!("{} > ?", key[last])]).collect();
                    ways.push(format!("({})", parts.join(" AND ")));
                    values.extend_from_slice(&after[..=last]);
                }
                (format!(" WHERE {}", ways.join(" OR ")), values)
            }
            backend => {
                let mark = |place: usize| match backend {
                    DbBackend::Postgres => format!("${}", place + 1),
                    _ => "?".to_owned(),
                };
                let marks: Vec<String> = (0..key.len()).map(mark).collect();
                let sql = format!(" WHERE ({}) > ({})", key.join(", "), marks.join(", "));
                (sql, after.to_vec())
            }
        }
    }
}
