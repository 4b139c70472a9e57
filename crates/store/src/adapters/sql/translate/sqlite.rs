//! The result codes of SQLite.

use muster_model::ErrorKind;

use super::Phase;

/// Reads SQLite's extended result code; its low byte is the primary one.
pub(super) fn kind(phase: Phase, code: i32) -> ErrorKind {
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
    fn every_code_has_its_kind() {
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
            assert_eq!(kind(Phase::Work, code), work, "{name}");
            assert_eq!(kind(Phase::Commit, code), commit, "{name} at the commit");
        }
    }
}
