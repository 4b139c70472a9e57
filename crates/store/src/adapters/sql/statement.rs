//! Fat statements: one statement for many rows, written once for three engines.
//!
//! Every statement costs a hand-over to the driver, so rows travel by the hundred. They are cut into
//! powers of two: a handful of texts serves every number of rows, and each is prepared once and cached.

use std::fmt::Write;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

/// The most rows in one statement. The widest row has two dozen columns: under every engine's limit of
/// parameters (32,766 with SQLite, 65,535 with the servers).
const MOST_ROWS: usize = 512;
/// A statement takes no further row once it has so many bytes: a row has some 100 KiB at most where rows are many,
/// and `max_allowed_packet` of MariaDB is 16 MiB where nobody has set it.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// A statement with a list of rows in its middle.
pub(crate) struct Fat<'a> {
    /// What stands before the rows.
    pub(crate) head: &'a str,
    /// How many values make a row.
    pub(crate) width: usize,
    /// What stands at the end of each row, after its values: `,''` for one more column.
    pub(crate) fixed: &'a str,
    /// What stands after the rows.
    pub(crate) tail: &'a str,
}

impl Fat<'_> {
    /// Runs the statement for all rows of `values`.
    pub(crate) async fn execute<C: ConnectionTrait>(&self, db: &C, values: Vec<Value>) -> Result<(), DbErr> {
        for (sql, piece) in self.pieces(db.get_database_backend(), values) {
            db.execute_raw(Statement::from_sql_and_values(
                db.get_database_backend(),
                sql,
                piece,
            ))
            .await?;
        }
        Ok(())
    }

    /// Runs the statement for all rows of `values` and returns what it answers, in no order.
    pub(crate) async fn query<C: ConnectionTrait>(
        &self,
        db: &C,
        values: Vec<Value>,
    ) -> Result<Vec<QueryResult>, DbErr> {
        let mut answers = Vec::new();
        for (sql, piece) in self.pieces(db.get_database_backend(), values) {
            answers.extend(
                db.query_all_raw(Statement::from_sql_and_values(
                    db.get_database_backend(),
                    sql,
                    piece,
                ))
                .await?,
            );
        }
        Ok(answers)
    }

    fn pieces(&self, backend: DbBackend, values: Vec<Value>) -> Vec<(String, Vec<Value>)> {
        let mut pieces = Vec::new();
        let mut left = values.len() / self.width;
        let mut values = values.into_iter();
        while left > 0 {
            let most = MOST_ROWS.min(1 << left.ilog2());
            let fits = rows_within(values.as_slice(), self.width, most);
            let rows = 1 << fits.ilog2();
            let piece: Vec<Value> = values.by_ref().take(rows * self.width).collect();
            pieces.push((self.text(backend, rows), piece));
            left -= rows;
        }
        pieces
    }

    pub(crate) fn text(&self, backend: DbBackend, rows: usize) -> String {
        let mut sql = String::with_capacity(
            self.head.len() + self.tail.len() + rows * (self.width * 6 + self.fixed.len()),
        );
        sql.push_str(self.head);
        let mut parameter = 0;
        for row in 0..rows {
            sql.push_str(if row == 0 { " (" } else { ",(" });
            for column in 0..self.width {
                parameter += 1;
                if column > 0 {
                    sql.push(',');
                }
                if backend == DbBackend::Postgres {
                    // Writing to a String cannot fail.
                    let _ = write!(sql, "${parameter}");
                } else {
                    sql.push('?');
                }
            }
            sql.push_str(self.fixed);
            sql.push(')');
        }
        sql.push(' ');
        sql.push_str(self.tail);
        sql
    }
}

/// Returns how many rows at the front of `values` make a statement that is not too large: at least one, at most
/// `most`.
fn rows_within(values: &[Value], width: usize, most: usize) -> usize {
    let mut bytes = 0;
    let mut rows = 0;
    for row in values.chunks(width).take(most) {
        bytes += row.iter().map(bytes_of).sum::<usize>();
        if rows > 0 && bytes > MOST_BYTES {
            break;
        }
        rows += 1;
    }
    rows.max(1)
}

fn bytes_of(value: &Value) -> usize {
    match value {
        Value::Bytes(Some(bytes)) => bytes.len(),
        Value::String(Some(text)) => text.len(),
        _ => 8,
    }
}

/// Returns the end of an insert that overwrites `columns` where `key` is taken.
pub(crate) fn or_update(backend: DbBackend, key: &str, columns: &[&str]) -> String {
    let mut sql = match backend {
        DbBackend::MySql => "ON DUPLICATE KEY UPDATE ".to_owned(),
        _ => format!("ON CONFLICT ({key}) DO UPDATE SET "),
    };
    for (place, column) in columns.iter().enumerate() {
        if place > 0 {
            sql.push_str(", ");
        }
        // Writing to a String cannot fail.
        let _ = match backend {
            DbBackend::MySql => write!(sql, "{column} = VALUES({column})"),
            _ => write!(sql, "{column} = excluded.{column}"),
        };
    }
    sql
}

/// Returns the end of an insert that leaves what is there where `key` is taken; `column` is one of the table.
pub(crate) fn or_keep(backend: DbBackend, column: &str) -> String {
    match backend {
        DbBackend::MySql => format!("ON DUPLICATE KEY UPDATE {column} = {column}"),
        _ => "ON CONFLICT DO NOTHING".to_owned(),
    }
}

/// Returns the head and the tail of a select of runs (`r`) whose keys stand between them.
///
/// SQLite would walk the whole table for `(task_id, idx) IN (VALUES …)`; joined in this order, it looks each
/// key up.
pub(crate) fn runs_by_key(backend: DbBackend, columns: &str) -> (String, String) {
    if backend == DbBackend::MySql {
        let head = format!("SELECT {columns} FROM runs r WHERE (r.task_id, r.idx) IN (");
        return (head, ")".to_owned());
    }
    let tail = format!(
        ") SELECT {columns} FROM wanted w CROSS JOIN runs r \
         WHERE r.task_id = w.task_id AND r.idx = w.idx"
    );
    ("WITH wanted (task_id, idx) AS (VALUES".to_owned(), tail)
}

/// Returns what keeps others from changing the rows that are read, until the commit. A write transaction of
/// SQLite has the database for itself.
pub(crate) fn for_update(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "",
        _ => "FOR UPDATE",
    }
}

/// Writes the marks of values as the engine has them; `sql` holds no other `?`.
pub(crate) fn marked(backend: DbBackend, sql: &str) -> String {
    if backend != DbBackend::Postgres {
        return sql.to_owned();
    }
    let mut numbered = String::with_capacity(sql.len() + 16);
    for (place, part) in sql.split('?').enumerate() {
        if place > 0 {
            // Writing to a String cannot fail.
            let _ = write!(numbered, "${place}");
        }
        numbered.push_str(part);
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSERT: Fat<'_> = Fat {
        head: "INSERT INTO t (a, b) VALUES",
        width: 2,
        fixed: "",
        tail: "ON CONFLICT DO NOTHING",
    };

    #[test]
    fn rows_are_cut_into_powers_of_two() {
        let values = (0..2 * 1337)
            .map(|number| Value::from(i64::from(number)))
            .collect();
        let pieces = INSERT.pieces(DbBackend::Sqlite, values);
        let rows: Vec<usize> = pieces.iter().map(|(_, values)| values.len() / 2).collect();
        assert_eq!(rows, [512, 512, 256, 32, 16, 8, 1]);
        let back: Vec<Value> = pieces.into_iter().flat_map(|(_, values)| values).collect();
        assert_eq!(
            back,
            (0..2 * 1337)
                .map(|number| Value::from(i64::from(number)))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn large_rows_travel_in_smaller_statements() {
        let large = Value::from(vec![7_u8; 1024 * 1024]);
        let values: Vec<Value> = (0..12_i64)
            .flat_map(|number| [number.into(), large.clone()])
            .collect();
        let pieces = INSERT.pieces(DbBackend::MySql, values.clone());
        let rows: Vec<usize> = pieces.iter().map(|(_, values)| values.len() / 2).collect();
        assert_eq!(rows, [2, 2, 2, 2, 2, 2]);
        let back: Vec<Value> = pieces.into_iter().flat_map(|(_, values)| values).collect();
        assert_eq!(back, values);
        let huge = vec![Value::from(1_i64), Value::from(vec![7_u8; 2 * MOST_BYTES])];
        assert_eq!(
            INSERT.pieces(DbBackend::MySql, huge).len(),
            1,
            "a row is never cut"
        );
    }

    #[test]
    fn each_engine_gets_its_own_words() {
        assert_eq!(
            INSERT.text(DbBackend::Sqlite, 2),
            "INSERT INTO t (a, b) VALUES (?,?),(?,?) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            INSERT.text(DbBackend::Postgres, 2),
            "INSERT INTO t (a, b) VALUES ($1,$2),($3,$4) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            or_update(DbBackend::MySql, "a", &["b", "c"]),
            "ON DUPLICATE KEY UPDATE b = VALUES(b), c = VALUES(c)"
        );
        assert_eq!(
            or_update(DbBackend::Postgres, "a", &["b"]),
            "ON CONFLICT (a) DO UPDATE SET b = excluded.b"
        );
    }
}
