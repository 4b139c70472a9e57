//! PostgreSQL: from a URL to an open [`Database`].

use std::str::FromStr;
use std::sync::Arc;

use muster_model::ErrorKind;
use muster_runtime::{Tasks, clock};
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, SqlxPostgresConnector};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use sqlx::{ConnectOptions, Connection};

use super::logs::Chunks;
use super::server::address::{Address, Form, version};
use super::server::schema::{self, Mode};
use super::server::{self, ANSWERS_WITHIN, Connections, LOCKS_WITHIN, Role, STATEMENT_WITHIN};
use super::sql::Database;
use super::sql::translate::{Phase, translate};
use crate::error::Error;
use crate::schema::Schema;

/// The oldest version: older ones get no repairs any more.
const OLDEST: u32 = 13;

const FORM: Form = Form {
    scheme: "postgres",
    example: "postgres://user:password@host:5432/database",
    parameters: &[
        "sslmode",
        "ssl-mode",
        "sslrootcert",
        "ssl-root-cert",
        "ssl-ca",
        "sslcert",
        "ssl-cert",
        "sslkey",
        "ssl-key",
        "application_name",
        "host",
    ],
    socket: "host",
};

/// A server that was asked, and is right.
struct Server {
    address: Address,
    options: PgConnectOptions,
}

/// Opens the database that a URL names.
pub(crate) async fn open(url: &str, tasks: &Tasks) -> Result<(Arc<Database>, Chunks), Error> {
    let server = Server::find(url).await?;
    server.schema(Mode::Open).await?;
    let connections = Connections {
        writer: server.connect(Role::Write),
        readers: server.connect(Role::Read),
        appenders: server.connect(Role::Append),
        signs: server.connect(Role::Signs),
    };
    Ok(server::open(tasks, connections, None, server.address.place))
}

/// Looks at the schema of the database that a URL names, or brings it up to date.
pub(crate) async fn schema(url: &str, mode: Mode) -> Result<Schema, Error> {
    Server::find(url).await?.schema(mode).await
}

/// Returns one connection to the database that a URL names, whatever is in it.
pub(crate) async fn alone(url: &str) -> Result<(DatabaseConnection, Address), Error> {
    let server = Server::find(url).await?;
    Ok((server.connect(Role::Schema), server.address))
}

impl Server {
    async fn find(url: &str) -> Result<Self, Error> {
        let address = Address::parse(&FORM, url)?;
        let options = PgConnectOptions::from_str(&address.url)
            .map_err(|error| {
                let what = format!("its URL is not understood; write {}", FORM.example);
                address.refused(ErrorKind::Invalid, what).caused_by(error)
            })?
            .disable_statement_logging()
            .statement_cache_capacity(256);
        let mut server = Self { address, options };
        match clock::deadline(ANSWERS_WITHIN, server.ask()).await {
            Ok(asked) => asked?,
            Err(_) => {
                return Err(server
                    .address
                    .refused(ErrorKind::Timeout, "the server does not answer"));
            }
        }
        Ok(server)
    }

    /// Connects once, and checks what the server is.
    async fn ask(&mut self) -> Result<(), Error> {
        let failed = |error| self.refused(error);
        let mut connection = self.options.connect().await.map_err(failed)?;
        let text = setting(&mut connection, "server_version").await.map_err(failed)?;
        if version(&text).is_none_or(|(major, _)| major < OLDEST) {
            let text: String = text.chars().take(40).collect();
            let what = format!(
                "the server is PostgreSQL {}, and {OLDEST} is the oldest that will do",
                text.escape_debug()
            );
            return Err(self.address.refused(ErrorKind::Unsupported, what));
        }
        let encoding = setting(&mut connection, "server_encoding")
            .await
            .map_err(failed)?;
        if encoding != "UTF8" {
            let what = format!("its encoding is not UTF8; make another: {}", self.create());
            return Err(self.address.refused(ErrorKind::Unsupported, what));
        }
        let synchronous = setting(&mut connection, "synchronous_commit")
            .await
            .map_err(failed)?;
        let forced = setting(&mut connection, "fsync").await.map_err(failed)?;
        // A failed goodbye changes nothing.
        let _ = connection.close().await;
        if forced == "off" {
            tracing::warn!(
                database = self.address.place,
                "the server has fsync off: a crash of its machine loses data"
            );
        }
        let mut options = vec![
            ("default_transaction_isolation", "read committed".to_owned()),
            ("lock_timeout", format!("{}ms", LOCKS_WITHIN.as_millis())),
            ("statement_timeout", format!("{}ms", STATEMENT_WITHIN.as_millis())),
            (
                "idle_in_transaction_session_timeout",
                format!("{}ms", STATEMENT_WITHIN.as_millis()),
            ),
        ];
        if synchronous == "off" {
            options.push(("synchronous_commit", "on".to_owned()));
        }
        self.options = self.options.clone().options(options);
        Ok(())
    }

    /// Brings the schema where `mode` says, on a connection of its own.
    async fn schema(&self, mode: Mode) -> Result<Schema, Error> {
        let db = self.connect(Role::Schema);
        let result = schema::bring(&db, &self.address, mode).await;
        let _ = db.close_by_ref().await;
        result
    }

    fn connect(&self, role: Role) -> DatabaseConnection {
        let options = match role {
            Role::Read => self
                .options
                .clone()
                .options([("default_transaction_read_only", "on")]),
            _ => self.options.clone(),
        };
        SqlxPostgresConnector::from_sqlx_postgres_pool(server::pool(role).connect_lazy_with(options))
    }

    /// Returns the statement that makes the database.
    fn create(&self) -> String {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        format!(
            "CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0",
            quoted(self.options.get_database().unwrap_or_default()),
            quoted(self.options.get_username())
        )
    }

    /// Says what is wrong with the first connection.
    fn refused(&self, error: sqlx::Error) -> Error {
        let code = match &error {
            sqlx::Error::Database(cause) => cause
                .try_downcast_ref::<PgDatabaseError>()
                .map_or("", PgDatabaseError::code)
                .to_owned(),
            _ => String::new(),
        };
        let database = DbErr::Conn(RuntimeErr::SqlxError(error.into()));
        let translated = translate(self.address.operation(), Phase::Work, database);
        let what = match (code.as_str(), translated.kind) {
            ("3D000", _) => format!(
                "there is no such database; as an administrator: {}",
                self.create()
            ),
            (code, _) if code.starts_with("28") => "the server refuses the user or the password".to_owned(),
            ("42501", _) => "the user may not use this database".to_owned(),
            ("53300", _) => "the server has no connection left".to_owned(),
            (_, ErrorKind::Unavailable) => {
                "the server cannot be reached, or is starting or stopping".to_owned()
            }
            (_, ErrorKind::Denied) => "the server is not trusted: see sslmode and sslrootcert".to_owned(),
            _ => return translated,
        };
        Error {
            operation: format!("{}: {what}", translated.operation),
            ..translated
        }
    }
}

async fn setting(connection: &mut PgConnection, name: &str) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT current_setting($1)")
        .bind(name)
        .fetch_one(connection)
        .await
}
