//! The database servers of this process: one of each kind, started when the first case asks for it.

use std::sync::OnceLock;

use muster_testkit::{Disk, Error, MariaDb, Postgres};

/// Returns the PostgreSQL server that cases share.
pub(crate) fn postgres() -> muster_testkit::Result<&'static Postgres> {
    static SERVER: OnceLock<muster_testkit::Result<Postgres>> = OnceLock::new();
    shared(SERVER.get_or_init(|| Postgres::start(Disk::Relaxed)))
}

/// Returns the MariaDB server that cases share.
pub(crate) fn mariadb() -> muster_testkit::Result<&'static MariaDb> {
    static SERVER: OnceLock<muster_testkit::Result<MariaDb>> = OnceLock::new();
    shared(SERVER.get_or_init(|| MariaDb::start(Disk::Relaxed)))
}

fn shared<T>(server: &'static muster_testkit::Result<T>) -> muster_testkit::Result<&'static T> {
    server.as_ref().map_err(|error| match error {
        Error::Missing(missing) => Error::Missing(missing.clone()),
        Error::NotAllowed(missing) => Error::NotAllowed(missing.clone()),
        other => Error::Failed {
            what: "starting the shared server".to_owned(),
            output: other.to_string(),
        },
    })
}
