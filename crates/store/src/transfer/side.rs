//! A database that a copy reads or writes: one connection of its own, and where its logs lie.

use std::path::{Path, PathBuf};

use muster_model::ErrorKind;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel,
    TransactionOptions, TransactionTrait,
};

use super::mark::Mark;
use super::plan::number;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use crate::adapters::server::{address::Address, schema};
use crate::adapters::sql::translate::{Phase, translate};
use crate::adapters::sql::writer::Keep;
use crate::adapters::sqlite;
use crate::error::Error;
use crate::open::{Place, parse};
use crate::schema::Schema;

/// A database.
pub(crate) struct Side {
    pub(crate) db: DatabaseConnection,
    /// Where it is, for people; without a password.
    pub(crate) place: String,
    /// The folder of its logs, where they lie in files.
    pub(crate) folder: Option<PathBuf>,
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    address: Option<Address>,
    /// To be dropped once the connection is closed.
    keep: Keep,
}

impl Side {
    /// Connects to a database that is there.
    pub(crate) async fn existing(url: &str) -> Result<Self, Error> {
        match parse(url)? {
            Place::File(path) if !path.exists() => Err(Error::new(
                ErrorKind::NotFound,
                format!("open {}: there is no such file", path.display()),
            )),
            _ => Self::connect(url).await,
        }
    }

    /// Connects; makes an empty file where it is missing.
    pub(crate) async fn connect(url: &str) -> Result<Self, Error> {
        match parse(url)? {
            Place::Memory => Err(Error::new(
                ErrorKind::Invalid,
                "open the database: one in memory is seen by nobody else; name a file or a server",
            )),
            Place::File(path) => Self::file(&path, Some(outputs_of(&path))).await,
            #[cfg(feature = "postgres")]
            Place::Postgres => {
                let (db, address) = crate::adapters::postgres::alone(url).await?;
                Ok(Self::server(db, address))
            }
            #[cfg(feature = "mysql")]
            Place::MySql => {
                let (db, address) = crate::adapters::mysql::alone(url).await?;
                Ok(Self::server(db, address))
            }
        }
    }

    /// Connects to a file; without a folder its logs lie in it too.
    pub(crate) async fn file(path: &Path, folder: Option<PathBuf>) -> Result<Self, Error> {
        let (db, keep) = sqlite::alone(path).await?;
        Ok(Self {
            db,
            place: path.display().to_string(),
            folder,
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            address: None,
            keep,
        })
    }

    #[cfg(any(feature = "mysql", feature = "postgres"))]
    fn server(db: DatabaseConnection, address: Address) -> Self {
        Self {
            db,
            place: address.place.clone(),
            folder: None,
            address: Some(address),
            keep: Box::new(()),
        }
    }

    /// Closes the connection.
    pub(crate) async fn close(self) {
        if let Err(error) = self.db.close_by_ref().await {
            tracing::warn!(%error, "closing the database");
        }
        drop(self.keep);
    }

    /// Reads whose database it is, its version and its mark.
    pub(crate) async fn look<C: ConnectionTrait>(&self, db: &C) -> Result<Schema, Error> {
        #[cfg(any(feature = "mysql", feature = "postgres"))]
        if let Some(address) = &self.address {
            return schema::look(db, address).await;
        }
        sqlite::look(db, &self.place).await
    }

    /// Keeps others from making the schema, until the transaction or the connection ends.
    pub(crate) async fn lock(&self, transaction: &DatabaseTransaction) -> Result<(), Error> {
        #[cfg(any(feature = "mysql", feature = "postgres"))]
        if let Some(address) = &self.address {
            return schema::lock(transaction, address).await;
        }
        // A write transaction of SQLite has the file for itself.
        let _ = transaction;
        Ok(())
    }

    /// Begins to read one moment of a database that is whole.
    pub(crate) async fn snapshot(&self) -> Result<(DatabaseTransaction, Schema), Error> {
        let operation = format!("read {}", self.place);
        let transaction = begin(&self.db)
            .await
            .map_err(|error| translate(&operation, Phase::Work, error))?;
        let schema = self.look(&transaction).await?;
        if let Some(mark @ Mark::Unfinished { .. }) = &schema.mark {
            return Err(self.refused(ErrorKind::Conflict, mark.refusal()));
        }
        if schema.applied.is_empty() {
            return Err(self.refused(ErrorKind::NotFound, "it holds nothing of Muster's yet"));
        }
        if !schema.is_current() {
            let what = format!(
                "its schema is at version {} of {}; run muster db migrate on it first",
                schema.applied.len(),
                schema.known.len()
            );
            return Err(self.refused(ErrorKind::Conflict, what));
        }
        Ok((transaction, schema))
    }

    pub(crate) fn refused(&self, kind: ErrorKind, what: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("{}: {what}", self.place))
    }
}

/// Returns the folder of the logs of a database file.
pub(crate) fn outputs_of(path: &Path) -> PathBuf {
    let mut folder = path.to_owned().into_os_string();
    folder.push(".outputs");
    folder.into()
}

/// Begins a transaction that sees one moment of the database, however long it takes.
async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let backend = db.get_database_backend();
    let options = match backend {
        DbBackend::Postgres => TransactionOptions {
            isolation_level: Some(IsolationLevel::RepeatableRead),
            access_mode: Some(AccessMode::ReadOnly),
            ..TransactionOptions::default()
        },
        _ => TransactionOptions::default(),
    };
    let transaction = db.begin_with_options(options).await?;
    let statements: &[&str] = match backend {
        DbBackend::Postgres => &[
            "SET LOCAL statement_timeout = 0",
            "SET LOCAL idle_in_transaction_session_timeout = 0",
        ],
        DbBackend::Sqlite => &[],
        // The one that was begun cannot be given a moment any more: the next one takes its place.
        _ => &[
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ],
    };
    for sql in statements {
        transaction.execute_unprepared(sql).await?;
    }
    // The first read is the moment.
    let read = match backend {
        DbBackend::Sqlite => "SELECT COUNT(*) FROM sqlite_schema",
        _ => "SELECT 1",
    };
    let _ = number_of_any_width(&transaction, read).await?;
    Ok(transaction)
}

async fn number_of_any_width(transaction: &DatabaseTransaction, sql: &str) -> Result<Option<i64>, DbErr> {
    match transaction.get_database_backend() {
        DbBackend::Sqlite => number(transaction, sql).await,
        _ => transaction.execute_unprepared(sql).await.map(|_| None),
    }
}
