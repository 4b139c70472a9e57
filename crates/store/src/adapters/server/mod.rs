//! What the adapters of database servers share: addresses, the schema under a lock, and how ports are put together.

pub(crate) mod address;
pub(crate) mod schema;

use std::sync::Arc;
use std::time::Duration;

use muster_runtime::{Meters, Tasks};
use sea_orm::DatabaseConnection;
use sqlx::pool::PoolOptions;
use sqlx::{Connection, Database as Engine};

use super::logs::Chunks;
use super::sql::Database;
use super::sql::writer::Writer;

/// How long a call waits for a connection, and opening for the server's answer.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// How long a statement waits for what another transaction holds.
pub(crate) const LOCKS_WITHIN: Duration = Duration::from_secs(10);
/// The longest that a statement may take.
pub(crate) const STATEMENT_WITHIN: Duration = Duration::from_secs(60);
/// Readers, and connections that append output.
pub(crate) const AT_ONCE: u32 = 4;
/// A connection that was idle for longer is asked whether it is alive before it is used.
const FRESH: Duration = Duration::from_secs(2);

/// What connections are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one writer.
    Write,
    /// Readers, who may never write whatever is asked of them.
    Read,
    /// Those that append output.
    Append,
    /// The one that writes that this server is there.
    Signs,
    /// The one that looks at the schema and brings it up to date.
    Schema,
}

impl Role {
    fn connections(self) -> u32 {
        match self {
            Self::Write | Self::Signs | Self::Schema => 1,
            Self::Read | Self::Append => AT_ONCE,
        }
    }

    /// How many are there before anybody asks. Where hundreds of hosts log in at the same moment, a new connection takes
    /// its time, and a read that waits for one would take the server for away.
    fn kept(self) -> u32 {
        match self {
            Self::Read => AT_ONCE,
            Self::Write | Self::Append | Self::Signs | Self::Schema => 0,
        }
    }
}

/// Returns the settings of a pool. It connects again by itself, as long as a call waits for it.
pub(crate) fn pool<E: Engine>(role: Role) -> PoolOptions<E> {
    PoolOptions::new()
        .max_connections(role.connections())
        .min_connections(role.kept())
        .acquire_timeout(ANSWERS_WITHIN)
        .max_lifetime(None)
        // Those of readers stay: sqlx opens them at once only where none is ever let go for idleness.
        .idle_timeout((role == Role::Append).then_some(Duration::from_secs(600)))
        .test_before_acquire(false)
        .before_acquire(|connection: &mut E::Connection, about| {
            Box::pin(async move {
                if about.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// The connections of an open database.
pub(crate) struct Connections {
    pub(crate) writer: DatabaseConnection,
    pub(crate) readers: DatabaseConnection,
    pub(crate) appenders: DatabaseConnection,
    pub(crate) signs: DatabaseConnection,
}

/// Puts the ports together.
pub(crate) fn open(
    tasks: &Tasks,
    connections: Connections,
    largest_statement: Option<usize>,
    place: String,
) -> (Arc<Database>, Chunks) {
    let Connections {
        writer,
        readers,
        appenders,
        signs,
    } = connections;
    let others = vec![readers.clone(), appenders.clone(), signs.clone()];
    let database = Arc::new(Database {
        writer: Writer::start(tasks, tasks.meters(), writer, others, Box::new(())),
        // What it takes is counted nowhere: the figures of the writer are of changes.
        signs: Some(Writer::start(
            tasks,
            &Meters::default(),
            signs,
            Vec::new(),
            Box::new(()),
        )),
        readers,
        largest_statement,
        place,
    });
    let outputs = Chunks::new(Arc::clone(&database), appenders);
    (database, outputs)
}
