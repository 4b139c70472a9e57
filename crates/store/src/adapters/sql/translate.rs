//! The engines' errors in the words of the port: the only place that reads an engine's error codes.

use muster_model::ErrorKind;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};

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
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => ErrorKind::Timeout,
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => ErrorKind::Cancelled,
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => kind_of_driver(phase, cause),
        DbErr::TryIntoErr { .. } | DbErr::Type(_) | DbErr::Json(_) => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    }
}

fn kind_of_driver(phase: Phase, error: &sqlx::Error) -> ErrorKind {
    let lost = match phase {
        Phase::Work => ErrorKind::Unavailable,
        Phase::Commit => ErrorKind::OutcomeUnknown,
    };
    match error {
        sqlx::Error::Database(cause) => cause
            .code()
            .and_then(|code| code.parse().ok())
            .map_or(ErrorKind::Internal, |code| kind_of_sqlite(phase, code)),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => lost,
        sqlx::Error::PoolTimedOut => ErrorKind::Timeout,
        sqlx::Error::PoolClosed => ErrorKind::Cancelled,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    }
}

/// Reads SQLite's extended result code; its low byte is the primary one.
fn kind_of_sqlite(phase: Phase, code: i32) -> ErrorKind {
    const CONSTRAINT_PRIMARY_KEY: i32 = 1555;
    const CONSTRAINT_UNIQUE: i32 = 2067;
    if matches!(code, CONSTRAINT_PRIMARY_KEY | CONSTRAINT_UNIQUE) {
        return ErrorKind::AlreadyExists;
    }
    match (code & 0xff, phase) {
        // BUSY, LOCKED: nobody has written anything, not even at the commit.
        (5 | 6, _) => ErrorKind::Unavailable,
        // NOMEM, INTERRUPT, IOERR, FULL, PROTOCOL
        (7 | 9 | 10 | 13 | 15, Phase::Work) => ErrorKind::Unavailable,
        (7 | 9 | 10 | 13 | 15, Phase::Commit) => ErrorKind::OutcomeUnknown,
        // PERM, READONLY, CANTOPEN, AUTH
        (3 | 8 | 14 | 23, _) => ErrorKind::Denied,
        // CORRUPT, FORMAT, NOTADB
        (11 | 24 | 26, _) => ErrorKind::Corrupt,
        (18, _) => ErrorKind::TooLarge,
        (19, _) => ErrorKind::Conflict,
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_sqlite_has_its_kind() {
        use ErrorKind as K;
        let table = [
            (5, "busy", K::Unavailable, K::Unavailable),
            (261, "busy recovery", K::Unavailable, K::Unavailable),
            (517, "busy snapshot", K::Unavailable, K::Unavailable),
            (6, "locked", K::Unavailable, K::Unavailable),
            (7, "out of memory", K::Unavailable, K::OutcomeUnknown),
            (10, "i/o error", K::Unavailable, K::OutcomeUnknown),
            (1034, "i/o error in fsync", K::Unavailable, K::OutcomeUnknown),
            (13, "disk full", K::Unavailable, K::OutcomeUnknown),
            (3, "permission", K::Denied, K::Denied),
            (8, "read only", K::Denied, K::Denied),
            (1032, "read only: the file was moved", K::Denied, K::Denied),
            (14, "cannot open", K::Denied, K::Denied),
            (23, "not authorised", K::Denied, K::Denied),
            (11, "malformed", K::Corrupt, K::Corrupt),
            (267, "corrupt sequence", K::Corrupt, K::Corrupt),
            (26, "not a database", K::Corrupt, K::Corrupt),
            (18, "too big", K::TooLarge, K::TooLarge),
            (1555, "primary key", K::AlreadyExists, K::AlreadyExists),
            (2067, "unique", K::AlreadyExists, K::AlreadyExists),
            (1299, "not null", K::Conflict, K::Conflict),
            (787, "foreign key", K::Conflict, K::Conflict),
            (1, "a statement that is wrong", K::Internal, K::Internal),
            (21, "misuse", K::Internal, K::Internal),
        ];
        for (code, name, work, commit) in table {
            assert_eq!(kind_of_sqlite(Phase::Work, code), work, "{name}");
            assert_eq!(
                kind_of_sqlite(Phase::Commit, code),
                commit,
                "{name} at the commit"
            );
        }
    }

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
