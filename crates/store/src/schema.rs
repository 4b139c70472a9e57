//! The version of a database's schema: to be looked at, and to be brought up to date.

use crate::error::Error;
use crate::open::{Place, parse};
use crate::transfer::Mark;

/// The migrations of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Those that it has had, in order.
    pub applied: Vec<String>,
    /// Those that this program knows, in order.
    pub known: Vec<String>,
    /// Why it is not to be opened, where it is an unfinished copy or a backup.
    pub mark: Option<Mark>,
}

impl Schema {
    /// Tells whether it has had all that this program knows.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.applied == self.known
    }
}

/// Returns the version of the schema of the database that `url` names. Changes nothing, and makes no file.
///
/// # Errors
///
/// As [`crate::open()`]: a database that is not Muster's, or of a newer one, is `Corrupt`.
pub async fn schema(url: &str) -> Result<Schema, Error> {
    match parse(url)? {
        Place::Memory => Ok(crate::adapters::sqlite::schema_of_memory()),
        Place::File(path) => crate::adapters::sqlite::schema(path).await,
        #[cfg(feature = "postgres")]
        Place::Postgres => {
            crate::adapters::postgres::schema(url, crate::adapters::server::schema::Mode::Look).await
        }
        #[cfg(feature = "mysql")]
        Place::MySql => {
            crate::adapters::mysql::schema(url, crate::adapters::server::schema::Mode::Look).await
        }
    }
}

/// Makes the schema in an empty database, or brings an older one up to date, and returns its version then. May be
/// called by several processes at the same moment, and again after it was interrupted.
///
/// # Errors
///
/// As [`schema`]; `OutcomeUnknown` where the connection was lost at the commit: look, or do it again.
pub async fn migrate(url: &str) -> Result<Schema, Error> {
    match parse(url)? {
        Place::Memory => Ok(crate::adapters::sqlite::schema_of_memory()),
        Place::File(path) => crate::adapters::sqlite::migrate(path).await,
        #[cfg(feature = "postgres")]
        Place::Postgres => {
            crate::adapters::postgres::schema(url, crate::adapters::server::schema::Mode::Migrate).await
        }
        #[cfg(feature = "mysql")]
        Place::MySql => {
            crate::adapters::mysql::schema(url, crate::adapters::server::schema::Mode::Migrate).await
        }
    }
}
