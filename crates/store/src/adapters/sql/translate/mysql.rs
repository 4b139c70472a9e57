//! The error numbers of MariaDB and MySQL.

use muster_model::ErrorKind;

use super::Phase;

/// Tells whether a transaction that failed so was rolled back because of another one, or did not begin.
pub(super) fn lost_to_another(number: u16) -> bool {
    // Deadlock, lock wait timeout, a row that changed meanwhile, a statement to be prepared anew.
    matches!(number, 1213 | 1205 | 1020 | 1615)
}

/// Reads a number.
pub(super) fn kind(phase: Phase, number: u16) -> ErrorKind {
    if lost_to_another(number) {
        return ErrorKind::Unavailable;
    }
    match number {
        1022 | 1062 | 1586 => ErrorKind::AlreadyExists,
        // NULL, a value without default, foreign keys, checks.
        1048 | 1364 | 1216 | 1217 | 1451 | 1452 | 3819 | 4025 => ErrorKind::Conflict,
        // max_statement_time of MariaDB, max_execution_time of MySQL
        1969 | 3024 => phase.unless_committing(ErrorKind::Timeout),
        // A server that only reads, as a replica does; nothing was written.
        1290 | 1792 | 1836 => ErrorKind::Unavailable,
        // Too many connections; a node of a cluster that is not ready.
        1040 | 1203 | 1226 | 1047 => phase.lost(),
        // Shutdown, connections cut or killed, networks.
        1053 | 1077 | 1079 | 1152 | 1158..=1161 | 1184 | 1317 | 1927 | 2006 | 2013 | 4031 => phase.lost(),
        // Disk full, table full, out of memory, errors of the file system.
        1021 | 1114 | 1026 | 1028 | 1030 | 1037 | 1038 | 1041 => phase.lost(),
        1044 | 1045 | 1130 | 1142 | 1143 | 1227 | 1251 | 1370 | 1524 | 1698 => ErrorKind::Denied,
        1049 => ErrorKind::NotFound,
        1153 | 1301 | 1406 => ErrorKind::TooLarge,
        1366 => ErrorKind::Invalid,
        1034 | 1194 | 1195 | 1712 => ErrorKind::Corrupt,
        _ => phase.unless_committing(ErrorKind::Internal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_kind() {
        use ErrorKind as K;
        let table = [
            (1062, "duplicate entry", K::AlreadyExists, K::AlreadyExists),
            (1452, "foreign key", K::Conflict, K::Conflict),
            (1048, "not null", K::Conflict, K::Conflict),
            (1213, "deadlock", K::Unavailable, K::Unavailable),
            (1205, "lock wait timeout", K::Unavailable, K::Unavailable),
            (1020, "the row changed", K::Unavailable, K::Unavailable),
            (1969, "statement timeout", K::Timeout, K::OutcomeUnknown),
            (3024, "statement timeout", K::Timeout, K::OutcomeUnknown),
            (1290, "read only", K::Unavailable, K::Unavailable),
            (1040, "too many connections", K::Unavailable, K::OutcomeUnknown),
            (
                1047,
                "a cluster that is not ready",
                K::Unavailable,
                K::OutcomeUnknown,
            ),
            (1053, "shutdown", K::Unavailable, K::OutcomeUnknown),
            (1927, "connection killed", K::Unavailable, K::OutcomeUnknown),
            (1021, "disk full", K::Unavailable, K::OutcomeUnknown),
            (1114, "table full", K::Unavailable, K::OutcomeUnknown),
            (1045, "password", K::Denied, K::Denied),
            (1044, "no right to the database", K::Denied, K::Denied),
            (1142, "no right to the table", K::Denied, K::Denied),
            (1049, "no such database", K::NotFound, K::NotFound),
            (1153, "max_allowed_packet", K::TooLarge, K::TooLarge),
            (1406, "a text that is too long", K::TooLarge, K::TooLarge),
            (1366, "no text", K::Invalid, K::Invalid),
            (1712, "index corrupted", K::Corrupt, K::Corrupt),
            (1064, "a statement that is wrong", K::Internal, K::OutcomeUnknown),
        ];
        for (number, name, work, commit) in table {
            assert_eq!(kind(Phase::Work, number), work, "{name}");
            assert_eq!(kind(Phase::Commit, number), commit, "{name} at the commit");
        }
    }
}
