//! Reading all of a table when it is large: what a driver does for each row and each column is most of the price, so a
//! row comes as one text, and from SQLite a thousand rows do. They are read apart on other threads while the next ones
//! come.

use std::collections::VecDeque;

use futures_util::TryStreamExt;
use muster_model::ErrorKind;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement, StreamTrait,
    TransactionTrait,
};
use tokio::task::JoinHandle;

use super::super::translate::during;
use crate::error::Error;

/// Stands between the fields of a line. What is between them never holds it: names and addresses have no control
/// characters, and JSON has them escaped.
pub(crate) const BETWEEN: char = '\u{1f}';
/// Stands for a field that has no value.
pub(crate) const NOTHING: &str = "\u{1d}";
/// Stands between lines.
const LINES: char = '\u{1e}';

/// Lines that are read at once.
const PAGE: i64 = 1024;
/// So few lines have never more bytes than a text of SQLite may have, whatever stands in them.
const SMALL_PAGE: i64 = 64;
/// Pieces that wait to be read apart or are at it.
const PIECES: usize = 4;

/// A table, as lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<T> {
    pub(super) operation: &'static str,
    pub(super) table: &'static str,
    /// The fields: expressions that are never NULL, the text of JSON last.
    pub(super) fields: &'static str,
    /// Reads a line.
    pub(super) read: fn(&str) -> Result<T, Error>,
}

impl<T: Send + 'static> Lines<T> {
    /// Returns what stands in the table; with `after` only what has changed after that revision. In no order.
    pub(super) async fn all(&self, db: &DatabaseConnection, after: Option<i64>) -> Result<Vec<T>, Error> {
        let mut pieces = Pieces {
            read: self.read,
            operation: self.operation,
            waiting: VecDeque::new(),
            done: Vec::new(),
        };
        match ConnectionTrait::get_database_backend(db) {
            // What has changed is found by an index, which pages would walk again and again.
            DbBackend::Sqlite if after.is_none() => self.paged(db, &mut pieces).await?,
            _ => self.streamed(db, after, &mut pieces).await?,
        }
        pieces.finish().await
    }

    fn line(&self) -> String {
        format!("concat_ws('{BETWEEN}', {})", self.fields)
    }

    async fn streamed(
        &self,
        db: &DatabaseConnection,
        after: Option<i64>,
        pieces: &mut Pieces<T>,
    ) -> Result<(), Error> {
        let failed = during(self.operation);
        let (line, table) = (self.line(), self.table);
        let sql = match after {
            Some(after) => format!("SELECT {line} FROM {table} WHERE revision > {after}"),
            None => format!("SELECT {line} FROM {table}"),
        };
        let statement = Statement::from_string(ConnectionTrait::get_database_backend(db), sql);
        let mut rows = db.stream_raw(statement).await.map_err(&failed)?;
        let mut piece = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(&failed)? {
            piece.push(row.try_get_by_index::<String>(0).map_err(&failed)?);
            if piece.len() == PAGE as usize {
                pieces.add(std::mem::take(&mut piece)).await?;
            }
        }
        pieces.add(piece).await
    }

    async fn paged(&self, db: &DatabaseConnection, pieces: &mut Pieces<T>) -> Result<(), Error> {
        let failed = during(self.operation);
        // All pages are of the same moment: rows may get other numbers (`VACUUM`).
        let transaction = db.begin().await.map_err(&failed)?;
        let mut after = i64::MIN;
        loop {
            let page = match self.page(&transaction, after, PAGE).await {
                // Perhaps it is larger than a text may be.
                Err(_) => self.page(&transaction, after, SMALL_PAGE).await,
                page => page,
            };
            let Some((text, last)) = page.map_err(&failed)? else {
                break;
            };
            pieces.add(vec![text]).await?;
            after = last;
        }
        transaction.commit().await.map_err(&failed)
    }

    /// Returns the lines of the rows whose number is past `after`, and the number of the last one.
    async fn page(
        &self,
        db: &DatabaseTransaction,
        after: i64,
        most: i64,
    ) -> Result<Option<(String, i64)>, DbErr> {
        let sql = format!(
            "SELECT group_concat(line, '{LINES}'), max(id) FROM (SELECT {} AS line, rowid AS id FROM {} \
             WHERE rowid > ? ORDER BY rowid LIMIT ?)",
            self.line(),
            self.table
        );
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [after.into(), most.into()]);
        let Some(row) = db.query_one_raw(statement).await? else {
            return Ok(None);
        };
        let (text, last): (Option<String>, Option<i64>) = row.try_get_many_by_index()?;
        Ok(text.zip(last))
    }
}

/// Texts of lines that are read apart on threads for that.
struct Pieces<T> {
    read: fn(&str) -> Result<T, Error>,
    operation: &'static str,
    waiting: VecDeque<JoinHandle<Result<Vec<T>, Error>>>,
    done: Vec<T>,
}

impl<T: Send + 'static> Pieces<T> {
    async fn add(&mut self, texts: Vec<String>) -> Result<(), Error> {
        if self.waiting.len() == PIECES {
            self.take_one().await?;
        }
        let read = self.read;
        let work = move || {
            texts
                .iter()
                .flat_map(|text| text.split(LINES))
                .map(read)
                .collect()
        };
        self.waiting.push_back(tokio::task::spawn_blocking(work));
        Ok(())
    }

    async fn take_one(&mut self) -> Result<(), Error> {
        if let Some(piece) = self.waiting.pop_front() {
            let piece = piece.await;
            let piece =
                piece.map_err(|error| Error::new(ErrorKind::Internal, self.operation).caused_by(error))?;
            self.done.extend(piece?);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<T>, Error> {
        while !self.waiting.is_empty() {
            self.take_one().await?;
        }
        Ok(self.done)
    }
}
