//! MariaDB and MySQL: from a URL to an open [`Database`].

use std::str::FromStr;
use std::sync::Arc;

use muster_model::ErrorKind;
use muster_runtime::{Tasks, clock};
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, SqlxMySqlConnector};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use super::logs::Chunks;
use super::server::address::{Address, Form, version};
use super::server::schema::{self, Mode};
use super::server::{self, ANSWERS_WITHIN, Connections, LOCKS_WITHIN, Role, STATEMENT_WITHIN};
use super::sql::Database;
use super::sql::translate::{Phase, translate};
use crate::error::Error;
use crate::schema::Schema;

/// The oldest versions: those whose single statements are done whole or not at all, also those that make tables.
const OLDEST_MARIADB: (u32, u32) = (10, 6);
const OLDEST_MYSQL: (u32, u32) = (8, 0);
/// `max_allowed_packet` must be no smaller: output and rows travel in statements of some megabytes.
const SMALLEST_PACKET: u64 = 16 * 1024 * 1024;

const FORM: Form = Form {
    scheme: "mysql",
    example: "mysql://user:password@host:3306/database",
    parameters: &[
        "ssl-mode", "sslmode", "ssl-ca", "sslca", "ssl-cert", "sslcert", "ssl-key", "sslkey", "socket",
    ],
    socket: "socket",
};

/// A server that was asked, and is right.
struct Server {
    address: Address,
    options: MySqlConnectOptions,
    mariadb: bool,
    largest_statement: usize,
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
    let largest = Some(server.largest_statement);
    Ok(server::open(tasks, connections, largest, server.address.place))
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
        let options = MySqlConnectOptions::from_str(&address.url)
            .map_err(|error| {
                let what = format!("its URL is not understood; write {}", FORM.example);
                address.refused(ErrorKind::Invalid, what).caused_by(error)
            })?
            // The mode is set whole, and times are numbers.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .charset("utf8mb4")
            .disable_statement_logging()
            .statement_cache_capacity(256);
        let mut server = Self {
            address,
            options,
            mariadb: false,
            largest_statement: 0,
        };
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
        let text: String = sqlx::query_scalar("SELECT CAST(VERSION() AS CHAR)")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let mariadb = text.contains("MariaDB");
        let (name, oldest) = match mariadb {
            true => ("MariaDB", OLDEST_MARIADB),
            false => ("MySQL", OLDEST_MYSQL),
        };
        if version(&text).is_none_or(|version| version < oldest) {
            let text: String = text.chars().take(40).collect();
            let what = format!(
                "the server is {name} {}, and {}.{} is the oldest that will do",
                text.escape_debug(),
                oldest.0,
                oldest.1
            );
            return Err(self.address.refused(ErrorKind::Unsupported, what));
        }
        let packet = number(&mut connection, "SELECT CAST(@@max_allowed_packet AS UNSIGNED)")
            .await
            .map_err(failed)?;
        if packet < SMALLEST_PACKET {
            let what = format!(
                "the server's max_allowed_packet is {packet}: it has to be {SMALLEST_PACKET} at least"
            );
            return Err(self.address.refused(ErrorKind::Unsupported, what));
        }
        let forced = number(
            &mut connection,
            "SELECT CAST(@@innodb_flush_log_at_trx_commit AS UNSIGNED)",
        )
        .await
        .map_err(failed)?;
        // A failed goodbye changes nothing.
        let _ = connection.close().await;
        if forced != 1 {
            tracing::warn!(
                database = self.address.place,
                "the server has innodb_flush_log_at_trx_commit = {forced}: a crash of its machine loses data"
            );
        }
        self.mariadb = mariadb;
        self.largest_statement = usize::try_from(packet).unwrap_or(usize::MAX);
        Ok(())
    }

    /// Brings the schema where `mode` says, on a connection of its own, with which the lock ends.
    async fn schema(&self, mode: Mode) -> Result<Schema, Error> {
        let db = self.connect(Role::Schema);
        let result = schema::bring(&db, &self.address, mode).await;
        let _ = db.close_by_ref().await;
        result
    }

    fn connect(&self, role: Role) -> DatabaseConnection {
        let settings = self.settings(role);
        let pool = server::pool(role).after_connect(move |connection: &mut MySqlConnection, _| {
            let settings = settings.clone();
            Box::pin(async move {
                for sql in settings {
                    connection.execute(AssertSqlSafe(sql)).await?;
                }
                Ok(())
            })
        });
        SqlxMySqlConnector::from_sqlx_mysql_pool(pool.connect_lazy_with(self.options.clone()))
    }

    /// Returns the statements that begin every session.
    fn settings(&self, role: Role) -> Vec<String> {
        let statement = match (role, self.mariadb) {
            (Role::Schema, _) => String::new(),
            (_, true) => format!(", max_statement_time = {}", STATEMENT_WITHIN.as_secs()),
            (_, false) => format!(", max_execution_time = {}", STATEMENT_WITHIN.as_millis()),
        };
        let mut settings = vec![
            format!(
                "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
                 innodb_lock_wait_timeout = {0}, lock_wait_timeout = {0}{statement}",
                LOCKS_WITHIN.as_secs()
            ),
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
        ];
        if role == Role::Read {
            settings.push("SET SESSION TRANSACTION READ ONLY".to_owned());
        }
        settings
    }

    /// Returns the statement that makes the database.
    fn create(&self) -> String {
        let name = self.options.get_database().unwrap_or_default();
        format!(
            "CREATE DATABASE `{}` CHARACTER SET utf8mb4",
            name.replace('`', "``")
        )
    }

    /// Says what is wrong with the first connection.
    fn refused(&self, error: sqlx::Error) -> Error {
        let number = match &error {
            sqlx::Error::Database(cause) => cause
                .try_downcast_ref::<MySqlDatabaseError>()
                .map_or(0, MySqlDatabaseError::number),
            _ => 0,
        };
        let database = DbErr::Conn(RuntimeErr::SqlxError(error.into()));
        let translated = translate(self.address.operation(), Phase::Work, database);
        let what = match (number, translated.kind) {
            (1049, _) => format!(
                "there is no such database; as an administrator: {}",
                self.create()
            ),
            (1044, _) => format!(
                "the user may not use this database, or there is none; as an administrator: {}, and grant the user \
                 its rights",
                self.create()
            ),
            (1045 | 1130 | 1698, _) => "the server refuses the user or the password".to_owned(),
            (1040 | 1203 | 1226, _) => "the server has no connection left".to_owned(),
            (_, ErrorKind::Unavailable) => {
                "the server cannot be reached, or is starting or stopping".to_owned()
            }
            (_, ErrorKind::Denied) => "the server is not trusted: see ssl-mode and ssl-ca".to_owned(),
            _ => return translated,
        };
        Error {
            operation: format!("{}: {what}", translated.operation),
            ..translated
        }
    }
}

async fn number(connection: &mut MySqlConnection, sql: &'static str) -> Result<u64, sqlx::Error> {
    sqlx::query_scalar(sql).fetch_one(connection).await
}
