//! The engines' errors in the words of the port: the only place that reads an engine's error codes.

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;

use muster_model::ErrorKind;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};
use sqlx::error::DatabaseError;

use crate::error::Error;

/// How far a call had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before the commit was asked for: what was written is rolled back.
    Work,
    /// The commit was asked for and its answer is an error.
    Commit,
}

/// Translates an engine's error of a call that was doing `operation`.
pub(crate) fn translate(operation: impl Into<String>, phase: Phase, error: DbErr) -> Error {
    Error::new(kind_of(phase, &error), operation).caused_by(error)
}

/// Returns a closure for `map_err` of statements inside a transaction or of reads.
pub(crate) fn during(operation: &str) -> impl Fn(DbErr) -> Error + '_ {
    move |error| translate(operation, Phase::Work, error)
}

fn kind_of(phase: Phase, error: &DbErr) -> ErrorKind {
    if let Some(cause) = driver_of(error) {
        return kind_of_driver(phase, cause);
    }
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => ErrorKind::Timeout,
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => ErrorKind::Cancelled,
        DbErr::TryIntoErr { .. } | DbErr::Type(_) | DbErr::Json(_) => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    }
}

impl Phase {
    /// Returns what a failure means after which nobody knows what the engine did: nothing before the commit.
    fn lost(self) -> ErrorKind {
        self.unless_committing(ErrorKind::Unavailable)
    }

    /// Returns `kind`, and at the commit that its outcome is unknown.
    fn unless_committing(self, kind: ErrorKind) -> ErrorKind {
        match self {
            Self::Work => kind,
            Self::Commit => ErrorKind::OutcomeUnknown,
        }
    }
}

fn kind_of_driver(phase: Phase, error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(cause) => kind_of_engine(phase, cause.as_ref()),
        // What cannot be read as an answer is an answer that was cut off.
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => phase.lost(),
        sqlx::Error::Tls(_) => ErrorKind::Denied,
        sqlx::Error::Configuration(_) => ErrorKind::Invalid,
        sqlx::Error::PoolTimedOut => ErrorKind::Timeout,
        sqlx::Error::PoolClosed => ErrorKind::Cancelled,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    }
}

fn kind_of_engine(phase: Phase, error: &dyn DatabaseError) -> ErrorKind {
    #[cfg(feature = "postgres")]
    if let Some(error) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return postgres::kind(phase, error.code());
    }
    #[cfg(feature = "mysql")]
    if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return mysql::kind(phase, error.number());
    }
    error
        .code()
        .and_then(|code| code.parse().ok())
        .map_or(ErrorKind::Internal, |code| sqlite::kind(phase, code))
}

/// Returns the driver's part of an error.
fn driver_of(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => Some(cause),
        _ => None,
    }
}

/// Tells whether a statement failed because its connection had ended, or was being ended by the server.
pub(crate) fn connection_died(error: &DbErr) -> bool {
    match driver_of(error) {
        Some(sqlx::Error::Io(_)) => true,
        Some(sqlx::Error::Database(cause)) => {
            let kinds = [Phase::Work, Phase::Commit].map(|phase| kind_of_engine(phase, cause.as_ref()));
            kinds == [ErrorKind::Unavailable, ErrorKind::OutcomeUnknown]
        }
        _ => false,
    }
}

/// Tells whether a transaction lost against another one (a deadlock, a lock that did not come): it was rolled back
/// and may be done again from its beginning.
pub(crate) fn lost_to_another(error: &Error) -> bool {
    let engine = error.source.as_ref().and_then(|source| source.downcast_ref());
    let Some(sqlx::Error::Database(cause)) = engine.and_then(driver_of) else {
        return false;
    };
    #[cfg(feature = "postgres")]
    if let Some(error) = cause.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return postgres::lost_to_another(error.code());
    }
    #[cfg(feature = "mysql")]
    if let Some(error) = cause.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return mysql::lost_to_another(error.number());
    }
    // A write transaction of SQLite waits its turn at its beginning.
    let _ = cause;
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_the_driver_has_its_kind() {
        use ErrorKind as K;
        let driver = |error: sqlx::Error| DbErr::Query(RuntimeErr::SqlxError(error.into()));
        let table: [(DbErr, K, K); 8] = [
            (
                DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
                K::Timeout,
                K::Timeout,
            ),
            (
                DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
                K::Cancelled,
                K::Cancelled,
            ),
            (driver(sqlx::Error::PoolTimedOut), K::Timeout, K::Timeout),
            (driver(sqlx::Error::PoolClosed), K::Cancelled, K::Cancelled),
            (
                driver(sqlx::Error::WorkerCrashed),
                K::Unavailable,
                K::OutcomeUnknown,
            ),
            (
                driver(sqlx::Error::Io(std::io::Error::other("gone"))),
                K::Unavailable,
                K::OutcomeUnknown,
            ),
            (DbErr::Type("text in a number".into()), K::Corrupt, K::Corrupt),
            (DbErr::Custom("what".into()), K::Internal, K::Internal),
        ];
        for (error, work, commit) in table {
            assert_eq!(kind_of(Phase::Work, &error), work, "{error}");
            assert_eq!(kind_of(Phase::Commit, &error), commit, "{error} at the commit");
        }
    }

    #[test]
    fn the_engines_words_stay_in_the_source() {
        let error = translate(
            "read task 7",
            Phase::Work,
            DbErr::Custom("secret engine words".into()),
        );
        assert_eq!(error.to_string(), "store: read task 7: internal error");
        assert!(
            error
                .source
                .is_some_and(|source| source.to_string().contains("engine words"))
        );
    }
}
