//! PostgreSQL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use super::Disk;
use super::server::{self, Account, Server};
use crate::error::{Error, Result};
use crate::{guard, private};

const PACKAGE: &str = "postgresql";
/// Who may do everything on it.
const USER: &str = "muster_test";

/// A running PostgreSQL server. Dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    programs: PathBuf,
    password: String,
    disk: Disk,
}

impl Postgres {
    /// Starts one. Blocks until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where PostgreSQL is not installed.
    pub fn start(disk: Disk) -> Result<Self> {
        let programs = programs()?;
        let account = Account::find(&["postgres", "nobody"])?;
        let version = server::run(Command::new(programs.join("postgres")).arg("--version"))?;
        let version = version.split_whitespace().nth(2).unwrap_or("any");
        let template = private::kept(&format!("postgres-{version}"), |fresh| {
            server::fill(fresh, "postgres", account.as_ref(), |data, password| {
                initialise(&programs, account.as_ref(), data, password)
            })
        })?;
        let password = template.join("password");
        let password = fs::read_to_string(&password).map_err(Error::io(&password))?;
        let data = template.join("data");
        let mut postgres = Self {
            // At SIGQUIT it gives its shared memory back, which would stay behind a kill.
            server: Server::prepare("postgres", account, &data, (Signal::SIGINT, "QUIT"), disk)?,
            programs,
            password,
            disk,
        };
        let (programs, password) = (postgres.programs.clone(), postgres.password.clone());
        postgres.server.start(
            |server| command_line(server, &programs, disk),
            |server| sql(&programs, &password, server.port, "postgres", "SELECT 1").is_ok(),
        )?;
        Ok(postgres)
    }

    /// Makes a new empty database and returns its URL, with the user and the password of one who may do everything.
    ///
    /// # Errors
    ///
    /// Where the server does not make it; with what it said.
    pub fn fresh_database(&self) -> Result<String> {
        let name = format!("muster_{}", guard::mark()?);
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"),
        )?;
        Ok(self.url(USER, &self.password, &name))
    }

    /// Returns the URL of a database.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!(
            "postgres://{user}:{password}@127.0.0.1:{}/{database}",
            self.server.port
        )
    }

    /// Runs statements as one who may do everything and returns their rows, columns apart by `|`.
    ///
    /// # Errors
    ///
    /// With what the server said.
    pub fn sql(&self, database: &str, text: &str) -> Result<String> {
        sql(&self.programs, &self.password, self.server.port, database, text)
    }

    /// Ends it as an administrator does: connections are cut, nothing is lost.
    ///
    /// # Errors
    ///
    /// Where it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.server.stop()
    }

    /// Kills it with `kill -9`, with every process of it.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it after [`Postgres::stop`] or [`Postgres::kill`], on the same data and the same port.
    ///
    /// # Errors
    ///
    /// Where it does not start; with what it said.
    pub fn start_again(&mut self) -> Result<()> {
        let line = command_line(&self.server, &self.programs, self.disk);
        let (programs, password) = (&self.programs, &self.password);
        self.server.start_again(line, |server| {
            sql(programs, password, server.port, "postgres", "SELECT 1").is_ok()
        })
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Returns its process, None while it is stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Returns its folder; `data` in it holds the data.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.server.dir()
    }

    /// Returns what it has said since its first start.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }
}

/// Returns the folder of the newest version's programs.
fn programs() -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    // Debian has each version in a folder of its own, others have the one in the path.
    for version in fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
    {
        let number = version.file_name().to_str().and_then(|name| name.parse().ok());
        found.extend(number.map(|number| (number, version.path().join("bin"))));
    }
    found.extend(["/usr/bin", "/usr/local/bin"].map(|folder| (0, folder.into())));
    found.sort();
    let complete = |folder: &PathBuf| {
        ["postgres", "initdb", "psql"]
            .iter()
            .all(|program| folder.join(program).exists())
    };
    found
        .into_iter()
        .rev()
        .map(|(_, folder)| folder)
        .find(complete)
        .ok_or_else(|| Error::missing("postgres", format!("install the package {PACKAGE}")))
}

fn initialise(programs: &Path, account: Option<&Account>, data: &Path, password: &Path) -> Result<()> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let line = vec![
        text(&programs.join("initdb")),
        format!("--pgdata={}", text(data)),
        format!("--username={USER}"),
        format!("--pwfile={}", text(password)),
        "--auth=scram-sha-256".to_owned(),
        "--encoding=UTF8".to_owned(),
        "--locale=C.UTF-8".to_owned(),
        // The template is copied before anything rests on it.
        "--no-sync".to_owned(),
    ];
    server::run_line(&Account::run_as(account, line)).map(drop)
}

fn command_line(server: &Server, programs: &Path, disk: Disk) -> Vec<String> {
    let mut line = vec![
        programs.join("postgres").to_string_lossy().into_owned(),
        "-D".to_owned(),
        server.path("data"),
    ];
    let port = format!("port={}", server.port);
    let socket = format!("unix_socket_directories={}", server.path("socket"));
    let settings = [
        port.as_str(),
        &socket,
        "listen_addresses=127.0.0.1",
        "max_connections=300",
        "shared_buffers=32MB",
        "dynamic_shared_memory_type=mmap",
        "log_destination=stderr",
        "logging_collector=off",
    ];
    let relaxed = ["fsync=off", "full_page_writes=off", "max_wal_size=256MB"];
    let relaxed = if disk == Disk::Relaxed {
        relaxed.as_slice()
    } else {
        &[]
    };
    for setting in settings.iter().chain(relaxed) {
        line.extend(["-c".to_owned(), (*setting).to_owned()]);
    }
    line
}

fn sql(programs: &Path, password: &str, port: u16, database: &str, text: &str) -> Result<String> {
    server::run(
        Command::new(programs.join("psql"))
            .env_clear()
            .env("PGPASSWORD", password)
            .env("PGCONNECT_TIMEOUT", "10")
            .args([
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--set=ON_ERROR_STOP=1",
            ])
            .args([
                "--host=127.0.0.1",
                &format!("--port={port}"),
                &format!("--username={USER}"),
            ])
            .args([&format!("--dbname={database}"), &format!("--command={text}")]),
    )
}
