//! MariaDB.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use super::Disk;
use super::server::{self, Account, Server};
use crate::error::{Error, Result};
use crate::{guard, private};

const PACKAGE: &str = "mariadb-server";
/// Who may do everything on it.
const USER: &str = "muster_test";

/// A running MariaDB server. Dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct MariaDb {
    server: Server,
    program: PathBuf,
    client: PathBuf,
    password: String,
    disk: Disk,
}

impl MariaDb {
    /// Starts one. Blocks until it answers.
    ///
    /// Its default character set is latin1, as MariaDB has it where nobody has set another.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where MariaDB is not installed.
    pub fn start(disk: Disk) -> Result<Self> {
        let program = server::program(
            &["/usr/sbin/mariadbd", "/usr/bin/mariadbd", "/usr/libexec/mariadbd"],
            PACKAGE,
        )?;
        let client = server::program(&["/usr/bin/mariadb"], PACKAGE)?;
        let install = server::program(&["/usr/bin/mariadb-install-db"], PACKAGE)?;
        let account = Account::find(&["mysql", "nobody"])?;
        let version = server::run(Command::new(&program).args(["--no-defaults", "--version"]))?;
        let version = version.split_whitespace().find(|word| word.contains("MariaDB"));
        let version = version
            .unwrap_or("any")
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let template = private::kept(&format!("mariadb-{version}"), |fresh| {
            server::fill(fresh, "mariadb", account.as_ref(), |data, _| {
                initialise(&install, account.as_ref(), data)
            })
        })?;
        let password = template.join("password");
        let password = fs::read_to_string(&password).map_err(Error::io(&password))?;
        let data = template.join("data");
        let mut mariadb = Self {
            server: Server::prepare("mariadb", account, &data, (Signal::SIGTERM, ""), disk)?,
            program,
            client,
            password,
            disk,
        };
        mariadb.write_secrets()?;
        let (program, client) = (mariadb.program.clone(), mariadb.client.clone());
        mariadb.server.start(
            |server| command_line(server, &program, disk),
            |server| sql(&client, server, "mysql", "SELECT 1").is_ok(),
        )?;
        Ok(mariadb)
    }

    /// Writes what the server does at each start, and what its client reads: the password stands on no command line.
    fn write_secrets(&self) -> Result<()> {
        let first = format!(
            "CREATE OR REPLACE USER '{USER}'@'%' IDENTIFIED BY '{0}';\n\
             GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n\
             ALTER USER 'root'@'localhost' IDENTIFIED BY '{0}';\n",
            self.password
        );
        let client = format!("[client]\nuser={USER}\npassword={}\n", self.password);
        let dir = self.server.dir();
        server::secret(
            &dir.join("first.sql"),
            first.as_bytes(),
            self.server.account.as_ref(),
        )?;
        server::secret(&dir.join("client.cnf"), client.as_bytes(), None)
    }

    /// Makes a new empty database and returns its URL, with the user and the password of one who may do everything.
    ///
    /// # Errors
    ///
    /// Where the server does not make it; with what it said.
    pub fn fresh_database(&self) -> Result<String> {
        let name = format!("muster_{}", guard::mark()?);
        self.sql("mysql", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(USER, &self.password, &name))
    }

    /// Returns the URL of a database.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!(
            "mariadb://{user}:{password}@127.0.0.1:{}/{database}",
            self.server.port
        )
    }

    /// Runs statements as one who may do everything and returns their rows, columns apart by tabs.
    ///
    /// # Errors
    ///
    /// With what the server said.
    pub fn sql(&self, database: &str, text: &str) -> Result<String> {
        sql(&self.client, &self.server, database, text)
    }

    /// Ends it as an administrator does: connections are cut, nothing is lost.
    ///
    /// # Errors
    ///
    /// Where it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.server.stop()
    }

    /// Kills it with `kill -9`.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it after [`MariaDb::stop`] or [`MariaDb::kill`], on the same data and the same port.
    ///
    /// # Errors
    ///
    /// Where it does not start; with what it said.
    pub fn start_again(&mut self) -> Result<()> {
        let line = command_line(&self.server, &self.program, self.disk);
        let client = &self.client;
        self.server
            .start_again(line, |server| sql(client, server, "mysql", "SELECT 1").is_ok())
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

fn initialise(install: &Path, account: Option<&Account>, data: &Path) -> Result<()> {
    let line = vec![
        install.to_string_lossy().into_owned(),
        "--no-defaults".to_owned(),
        format!("--datadir={}", data.display()),
        "--auth-root-authentication-method=normal".to_owned(),
        "--skip-test-db".to_owned(),
        "--skip-name-resolve".to_owned(),
        "--innodb-log-file-size=16M".to_owned(),
    ];
    server::run_line(&Account::run_as(account, line)).map(drop)
}

fn command_line(server: &Server, program: &Path, disk: Disk) -> Vec<String> {
    let mut line = vec![
        program.to_string_lossy().into_owned(),
        "--no-defaults".to_owned(),
        format!("--datadir={}", server.path("data")),
        // Not where other servers have their temporary tables: at its start each deletes what lies there.
        format!("--tmpdir={}", server.path("socket")),
        format!("--socket={}", server.path("socket/mariadb.sock")),
        format!("--pid-file={}", server.path("socket/pid")),
        format!("--init-file={}", server.path("first.sql")),
        format!("--port={}", server.port),
    ];
    let settings = [
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--max-connections=300",
        "--innodb-buffer-pool-size=64M",
        "--innodb-log-file-size=16M",
    ];
    let relaxed = ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"];
    let relaxed = if disk == Disk::Relaxed {
        relaxed.as_slice()
    } else {
        &[]
    };
    line.extend(settings.iter().chain(relaxed).map(|&setting| setting.to_owned()));
    line
}

fn sql(client: &Path, server: &Server, database: &str, text: &str) -> Result<String> {
    server::run(
        Command::new(client)
            .env_clear()
            .arg(format!("--defaults-file={}", server.path("client.cnf")))
            .args([
                "--protocol=tcp",
                "--host=127.0.0.1",
                &format!("--port={}", server.port),
            ])
            .args(["--batch", "--skip-column-names", "--connect-timeout=10"])
            .args([&format!("--database={database}"), &format!("--execute={text}")]),
    )
}
