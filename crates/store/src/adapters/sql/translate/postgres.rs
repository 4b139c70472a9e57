//! The SQLSTATE codes of PostgreSQL.

use muster_model::ErrorKind;

use super::Phase;

/// Tells whether a transaction that failed so was rolled back because of another one.
pub(super) fn lost_to_another(code: &str) -> bool {
    // serialization_failure, deadlock_detected, lock_not_available
    matches!(code, "40001" | "40P01" | "55P03")
}

/// Reads a code: five letters, of which two are its class.
pub(super) fn kind(phase: Phase, code: &str) -> ErrorKind {
    if lost_to_another(code) {
        return ErrorKind::Unavailable;
    }
    match code {
        "23505" => ErrorKind::AlreadyExists,
        // A statement that took too long.
        "57014" => phase.unless_committing(ErrorKind::Timeout),
        // A server that only reads, as a standby does; nothing was written.
        "25006" => ErrorKind::Unavailable,
        "42501" => ErrorKind::Denied,
        "3D000" => ErrorKind::NotFound,
        // Texts that it cannot hold.
        "22021" | "22P05" => ErrorKind::Invalid,
        "22001" => ErrorKind::TooLarge,
        "XX001" | "XX002" => ErrorKind::Corrupt,
        _ => kind_of_class(phase, code),
    }
}

fn kind_of_class(phase: Phase, code: &str) -> ErrorKind {
    match code.get(..2).unwrap_or_default() {
        // Connection lost; ended by an administrator or a crash; out of resources; the system's errors; a
        // transaction that was idle for too long.
        "08" | "57" | "53" | "58" | "25" => phase.lost(),
        "23" => ErrorKind::Conflict,
        "28" => ErrorKind::Denied,
        "54" => ErrorKind::TooLarge,
        _ => phase.unless_committing(ErrorKind::Internal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_kind() {
        use ErrorKind as K;
        let table = [
            ("23505", "unique", K::AlreadyExists, K::AlreadyExists),
            ("23503", "foreign key", K::Conflict, K::Conflict),
            ("23502", "not null", K::Conflict, K::Conflict),
            ("40001", "serialization", K::Unavailable, K::Unavailable),
            ("40P01", "deadlock", K::Unavailable, K::Unavailable),
            ("55P03", "lock timeout", K::Unavailable, K::Unavailable),
            ("57014", "statement timeout", K::Timeout, K::OutcomeUnknown),
            ("57P01", "admin shutdown", K::Unavailable, K::OutcomeUnknown),
            ("57P02", "crash shutdown", K::Unavailable, K::OutcomeUnknown),
            ("57P03", "starting up", K::Unavailable, K::OutcomeUnknown),
            ("08006", "connection failure", K::Unavailable, K::OutcomeUnknown),
            ("53100", "disk full", K::Unavailable, K::OutcomeUnknown),
            ("53300", "too many connections", K::Unavailable, K::OutcomeUnknown),
            ("58030", "i/o error", K::Unavailable, K::OutcomeUnknown),
            ("25P03", "idle in transaction", K::Unavailable, K::OutcomeUnknown),
            ("25006", "read only", K::Unavailable, K::Unavailable),
            ("28P01", "password", K::Denied, K::Denied),
            ("28000", "authorization", K::Denied, K::Denied),
            ("42501", "privilege", K::Denied, K::Denied),
            ("3D000", "no such database", K::NotFound, K::NotFound),
            ("22021", "a zero byte in a text", K::Invalid, K::Invalid),
            ("22001", "a text that is too long", K::TooLarge, K::TooLarge),
            ("54000", "a program's limit", K::TooLarge, K::TooLarge),
            ("XX001", "data corrupted", K::Corrupt, K::Corrupt),
            (
                "42601",
                "a statement that is wrong",
                K::Internal,
                K::OutcomeUnknown,
            ),
            ("", "nothing", K::Internal, K::OutcomeUnknown),
        ];
        for (code, name, work, commit) in table {
            assert_eq!(kind(Phase::Work, code), work, "{name}");
            assert_eq!(kind(Phase::Commit, code), commit, "{name} at the commit");
        }
    }
}
