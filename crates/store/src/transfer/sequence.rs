//! The last number that a database gave, so that numbers go on where they were and none is used twice.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use super::plan::{number, query, quoted};

/// Returns the last number that was given in a column (0: none).
pub(crate) async fn last<C: ConnectionTrait>(db: &C, table: &str, column: &str) -> Result<i64, DbErr> {
    let backend = db.get_database_backend();
    let sql = format!(
        "SELECT MAX({}) FROM {}",
        quoted(backend, column),
        quoted(backend, table)
    );
    let largest = number(db, &sql).await?.unwrap_or(0);
    let given = match backend {
        DbBackend::Sqlite => {
            number(
                db,
                &format!("SELECT seq FROM sqlite_sequence WHERE name = '{table}'"),
            )
            .await?
        }
        DbBackend::Postgres => {
            let sequence = sequence(db, table, column).await?;
            let sql =
                format!("SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM {sequence}");
            number(db, &sql).await?
        }
        _ => {
            // What information_schema says may be a day old.
            let rows = query(db, &format!("SHOW CREATE TABLE {}", quoted(backend, table))).await?;
            let text: String = match rows.first() {
                Some(row) => row.try_get_by_index(1)?,
                None => return Err(DbErr::RecordNotFound(table.to_owned())),
            };
            next_of(&text).map(|next| next - 1)
        }
    };
    Ok(given.unwrap_or(0).max(largest))
}

/// Has numbers go on behind `last`.
pub(crate) async fn go_on_behind<C: ConnectionTrait>(
    db: &C,
    table: &str,
    column: &str,
    last: i64,
) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    let statements = match backend {
        DbBackend::Sqlite => vec![
            format!("DELETE FROM sqlite_sequence WHERE name = '{table}'"),
            format!("INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', {last})"),
        ],
        DbBackend::Postgres => {
            let sequence = sequence(db, table, column).await?.replace('\'', "''");
            vec![match last {
                0 => format!("SELECT setval('{sequence}', 1, false)"),
                last => format!("SELECT setval('{sequence}', {last}, true)"),
            }]
        }
        _ => vec![format!(
            "ALTER TABLE {} AUTO_INCREMENT = {}",
            quoted(backend, table),
            last.saturating_add(1)
        )],
    };
    for sql in statements {
        db.execute_unprepared(&sql).await?;
    }
    Ok(())
}

/// Returns the name of PostgreSQL's sequence of a column, as a statement has it.
async fn sequence<C: ConnectionTrait>(db: &C, table: &str, column: &str) -> Result<String, DbErr> {
    let values: [Value; 2] = [format!("\"{table}\"").into(), column.into()];
    let sql = "SELECT pg_get_serial_sequence($1, $2)";
    let row = db
        .query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values))
        .await?;
    let name: Option<String> = match row {
        Some(row) => row.try_get_by_index(0)?,
        None => None,
    };
    name.ok_or_else(|| DbErr::RecordNotFound(format!("the sequence of {table}.{column}")))
}

/// Reads the next number from the text of a table of MariaDB or MySQL.
fn next_of(create: &str) -> Option<i64> {
    let (_, behind) = create.rsplit_once(" AUTO_INCREMENT=")?;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_number_is_read_from_the_text_of_a_table() {
        let table = [
            (
                "CREATE TABLE `t` (`id` bigint AUTO_INCREMENT) ENGINE=InnoDB AUTO_INCREMENT=42 DEFAULT X",
                Some(42),
            ),
            (
                "CREATE TABLE `t` (`id` bigint AUTO_INCREMENT) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
                None,
            ),
        ];
        for (text, next) in table {
            assert_eq!(next_of(text), next, "{text}");
        }
    }
}
