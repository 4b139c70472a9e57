//! What is of database servers alone: URLs and rights, whose database it is, migrations that are interrupted, and
//! outages. And the servers of this process: one of each kind, started when the first case asks for it.

mod doors;
mod outage;
mod proxy;
mod upgrade;

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::BoxFuture;
use libtest_mimic::Trial;
use muster_runtime::Tasks;
use muster_testkit::{Disk, Error, MariaDb, Postgres};

/// How long a test may take that starts servers over and over.
const PATIENCE: Duration = Duration::from_secs(170);

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

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Postgres, Self::MariaDb];

    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
        }
    }

    /// Starts a server of the test's own.
    fn start(self) -> muster_testkit::Result<Server> {
        Ok(match self {
            Self::Postgres => Server::Postgres(Postgres::start(Disk::Forced)?),
            Self::MariaDb => Server::MariaDb(MariaDb::start(Disk::Forced)?),
        })
    }

    /// Returns the URL of a new database on the shared server.
    fn fresh(self) -> muster_testkit::Result<String> {
        match self {
            Self::Postgres => postgres()?.fresh_database(),
            Self::MariaDb => mariadb()?.fresh_database(),
        }
    }

    /// Runs statements in the database of a URL.
    fn sql(self, url: &str, text: &str) -> String {
        let said = match self {
            Self::Postgres => postgres().expect("it runs").sql(database(url), text),
            Self::MariaDb => mariadb().expect("it runs").sql(database(url), text),
        };
        said.unwrap_or_else(|error| panic!("{text}: {error}"))
    }
}

/// A server of a test's own.
enum Server {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Server {
    fn fresh(&self) -> String {
        match self {
            Self::Postgres(server) => server.fresh_database(),
            Self::MariaDb(server) => server.fresh_database(),
        }
        .expect("a database")
    }

    fn stop(&mut self) {
        match self {
            Self::Postgres(server) => server.stop(),
            Self::MariaDb(server) => server.stop(),
        }
        .expect("it stops");
    }

    fn kill(&mut self) {
        match self {
            Self::Postgres(server) => server.kill(),
            Self::MariaDb(server) => server.kill(),
        }
    }

    fn start_again(&mut self) {
        match self {
            Self::Postgres(server) => server.start_again(),
            Self::MariaDb(server) => server.start_again(),
        }
        .expect("it starts again");
    }
}

/// Returns the name of the database in a URL.
fn database(url: &str) -> &str {
    url.rsplit('/').next().expect("a name")
}

/// A test of one kind of server.
type Test = fn(Kind, Tasks) -> BoxFuture<'static, ()>;

macro_rules! tests {
    ($($module:ident::$name:ident)*) => {
        [$((stringify!($name), (|kind, tasks| Box::pin($module::$name(kind, tasks))) as Test),)*]
    };
}

/// Returns the tests, each for each kind of server.
pub(crate) fn trials() -> Vec<Trial> {
    let tests = tests![
        doors::what_is_wrong_with_a_url_is_said_without_the_password
        doors::the_rights_that_are_written_down_are_enough
        doors::every_text_is_compared_byte_by_byte
        upgrade::a_database_of_another_program_is_refused_and_left_alone
        upgrade::a_database_of_a_newer_release_is_refused
        upgrade::a_database_of_an_older_release_waits_for_the_migration
        upgrade::a_migration_that_is_interrupted_anywhere_is_taken_up
        upgrade::a_migration_that_is_interrupted_in_between_is_taken_up
        outage::calls_fail_soon_while_the_server_is_away_and_work_when_it_is_back
        outage::what_was_answered_survives_the_death_of_the_server
    ];
    let mut trials = Vec::new();
    for kind in Kind::ALL {
        for (name, test) in tests {
            trials.push(Trial::test(format!("{}::{name}", kind.name()), move || {
                let tasks = Tasks::new();
                super::within(PATIENCE, tasks.clone(), test(kind, tasks))
            }));
        }
    }
    trials
}
