//! The database servers: private, empty each time, ended with the test, and there again after an outage.

#![expect(
    clippy::expect_used,
    reason = "these are tests: what helps them is no test of its own"
)]

use std::process::{Command, Stdio};
use std::time::Duration;

use muster_testkit::{Disk, MariaDb, Postgres, proc, require, wait};

/// Tells a child of this program to hold a server until it is killed.
const HOLD: &str = "MUSTER_TEST_HOLD_DATABASE";

fn database(url: &str) -> &str {
    url.rsplit('/').next().expect("a name")
}

#[test]
fn postgres_gives_empty_databases_and_keeps_them_over_stops_and_kills() {
    let mut server = require!(Postgres::start(Disk::Forced));
    let (one, two) = (
        server.fresh_database().expect("one"),
        server.fresh_database().expect("two"),
    );
    assert_ne!(one, two);
    let (port, name) = (server.port(), database(&one));
    server
        .sql(name, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
        .expect("written");
    assert!(
        server.sql(database(&two), "SELECT * FROM t").is_err(),
        "the other is empty"
    );
    server.stop().expect("stops");
    assert!(server.pid().is_none() && server.sql(name, "SELECT 1").is_err());
    server.start_again().expect("starts again");
    server.sql(name, "INSERT INTO t VALUES (2)").expect("written");
    server.kill();
    server.start_again().expect("starts again");
    assert_eq!(
        server.sql(name, "SELECT a FROM t ORDER BY a").expect("read"),
        "1\n2\n"
    );
    assert_eq!(server.port(), port);
    assert_eq!(server.sql(name, "SHOW fsync").expect("read"), "on\n");
}

#[test]
fn mariadb_gives_empty_databases_and_keeps_them_over_stops_and_kills() {
    let mut server = require!(MariaDb::start(Disk::Forced));
    let (one, two) = (
        server.fresh_database().expect("one"),
        server.fresh_database().expect("two"),
    );
    assert_ne!(one, two);
    let (port, name) = (server.port(), database(&one));
    server
        .sql(name, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
        .expect("written");
    assert!(
        server.sql(database(&two), "SELECT * FROM t").is_err(),
        "the other is empty"
    );
    server.stop().expect("stops");
    assert!(server.pid().is_none() && server.sql(name, "SELECT 1").is_err());
    server.start_again().expect("starts again");
    server.sql(name, "INSERT INTO t VALUES (2)").expect("written");
    server.kill();
    server.start_again().expect("starts again");
    assert_eq!(
        server.sql(name, "SELECT a FROM t ORDER BY a").expect("read"),
        "1\n2\n"
    );
    assert_eq!(server.port(), port);
    let flush = server
        .sql(name, "SELECT @@innodb_flush_log_at_trx_commit")
        .expect("read");
    assert_eq!(flush, "1\n");
}

#[test]
fn a_wrong_password_is_refused_and_the_right_one_stands_on_no_command_line() {
    let postgres = require!(Postgres::start(Disk::Relaxed));
    let mariadb = require!(MariaDb::start(Disk::Relaxed));
    for url in [
        postgres.fresh_database().expect("one"),
        mariadb.fresh_database().expect("one"),
    ] {
        let password = url.split([':', '@']).nth(2).expect("a password");
        assert!(password.len() > 20, "{url}");
        assert!(proc::with_arg(password).is_empty());
    }
    let refused = Command::new("/usr/bin/env")
        .args([
            "PGPASSWORD=wrong",
            "psql",
            "--host=127.0.0.1",
            "--username=muster_test",
            "--dbname=postgres",
        ])
        .arg(format!("--port={}", postgres.port()))
        .args(["--command", "SELECT 1"])
        .stderr(Stdio::null())
        .status();
    assert!(refused.is_ok_and(|status| !status.success()));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a word to a child of this test")]
fn a_server_ends_with_a_test_that_is_killed() {
    if let Ok(kind) = std::env::var(HOLD) {
        return hold(&kind);
    }
    for kind in ["postgres", "mariadb"] {
        let installed = match kind {
            "postgres" => Postgres::start(Disk::Relaxed).map(drop),
            _ => MariaDb::start(Disk::Relaxed).map(drop),
        };
        require!(installed);
        let said = tempfile::NamedTempFile::new().expect("a file");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args([
                "--exact",
                "a_server_ends_with_a_test_that_is_killed",
                "--nocapture",
            ])
            .env(HOLD, format!("{kind} {}", said.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let line = wait::blocking(Duration::from_secs(60), "the child's server", || {
            let text = std::fs::read_to_string(said.path()).ok()?;
            text.ends_with('\n').then_some(text)
        })
        .expect("it says where it is");
        let (pid, dir) = line.trim().split_once(' ').expect("two words");
        let pid: u32 = pid.parse().expect("a number");
        assert!(proc::is_alive(pid));
        child.kill().expect("a kill");
        child.wait().expect("its end");
        wait::blocking(Duration::from_secs(30), "the server to end", || {
            // The last one is who removed the folder.
            let is_gone = !proc::is_alive(pid) && !std::path::Path::new(dir).exists();
            (is_gone && proc::with_arg(dir).is_empty()).then_some(())
        })
        .expect("nothing is left");
    }
}

/// Starts a server, says where, and waits to be killed.
fn hold(order: &str) {
    let (kind, file) = order.split_once(' ').expect("two words");
    let say = |pid: Option<u32>, dir: &std::path::Path| {
        let line = format!("{} {}\n", pid.expect("a process"), dir.display());
        std::fs::write(file, line).expect("written");
        // For ever: the test kills this process.
        std::thread::park_timeout(Duration::from_secs(120));
    };
    if kind == "postgres" {
        let server = Postgres::start(Disk::Relaxed).expect("starts");
        say(server.pid(), server.dir());
    } else {
        let server = MariaDb::start(Disk::Relaxed).expect("starts");
        say(server.pid(), server.dir());
    }
}
