//! Whose database it is, and how an older one becomes a current one.

use muster_model::ErrorKind;
use muster_runtime::Tasks;
use muster_store::contract::world::submit;
use muster_store::{Error, migrate, open, schema};
use muster_testkit::require;

use super::proxy::Proxy;
use super::{Kind, database};

async fn refused(url: &str, tasks: &Tasks) -> Error {
    match open(url, tasks).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

fn tables(kind: Kind, url: &str) -> String {
    let sql = match kind {
        Kind::Postgres => {
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
        }
        Kind::MariaDb => "SHOW TABLES",
    };
    kind.sql(url, sql)
}

pub(super) async fn a_database_of_another_program_is_refused_and_left_alone(kind: Kind, tasks: Tasks) {
    let things = [
        "CREATE TABLE tasks (id int); INSERT INTO tasks VALUES (7)",
        "CREATE VIEW things AS SELECT 1 AS one",
    ];
    for thing in things {
        let url = require!(kind.fresh());
        kind.sql(&url, thing);
        let before = tables(kind, &url);
        for error in [
            refused(&url, &tasks).await,
            migrate(&url).await.unwrap_err(),
            schema(&url).await.unwrap_err(),
        ] {
            assert_eq!(error.kind, ErrorKind::Corrupt);
            let text = error.to_string();
            assert!(
                text.contains("not Muster's") && text.contains("an empty database"),
                "{text}"
            );
        }
        assert_eq!(tables(kind, &url), before);
    }
}

pub(super) async fn a_database_of_a_newer_release_is_refused(kind: Kind, tasks: Tasks) {
    let url = require!(kind.fresh());
    migrate(&url).await.unwrap();
    kind.sql(
        &url,
        "INSERT INTO muster_migrations (version, applied_at) VALUES ('m9999_from_the_future', 0)",
    );
    for error in [refused(&url, &tasks).await, migrate(&url).await.unwrap_err()] {
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(error.to_string().contains("m9999_from_the_future"), "{error}");
    }
}

pub(super) async fn a_database_of_an_older_release_waits_for_the_migration(kind: Kind, tasks: Tasks) {
    let url = require!(kind.fresh());
    let empty = schema(&url).await.unwrap();
    assert_eq!(
        (empty.applied.len(), tables(kind, &url).as_str()),
        (0, ""),
        "looking makes nothing"
    );
    let opened = open(&url, &tasks).await.unwrap();
    let id = submit(&opened, "kept", 3).await;
    opened.store.close().await;
    // As it was before the last migration.
    let last = "m0006_servers";
    let columns = [
        "machine",
        "roles",
        "version",
        "since",
        "lease_ms",
        "slots",
        "runs",
        "tasks",
        "vault_key",
        "leaving",
        "gone_at",
    ];
    let columns = columns.map(|column| format!("DROP COLUMN {column}")).join(", ");
    kind.sql(
        &url,
        &format!(
            "DROP TABLE task_secrets; DROP TABLE terms; ALTER TABLE tasks DROP COLUMN sealed; \
             ALTER TABLE executors {columns}; DELETE FROM muster_migrations WHERE version = '{last}'"
        ),
    );
    let error = refused(&url, &tasks).await;
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains("muster db migrate"), "{error}");
    let older = schema(&url).await.unwrap();
    assert!(
        !older.is_current() && !older.applied.contains(&last.to_owned()),
        "{older:?}"
    );
    // Two at the same moment.
    let (one, two) = tokio::join!(migrate(&url), migrate(&url));
    assert!(one.unwrap().is_current() && two.unwrap().is_current());
    let opened = open(&url, &tasks).await.unwrap();
    assert_eq!(opened.store.task(id).await.unwrap().unwrap().counts.total, 3);
}

pub(super) async fn a_migration_that_is_interrupted_anywhere_is_taken_up(kind: Kind, tasks: Tasks) {
    interrupted_from(kind, tasks, 1).await;
}

pub(super) async fn a_migration_that_is_interrupted_in_between_is_taken_up(kind: Kind, tasks: Tasks) {
    interrupted_from(kind, tasks, 4).await;
}

/// Interrupts a migration behind so many messages, and behind every sixth from there on, to its end.
async fn interrupted_from(kind: Kind, tasks: Tasks, first: usize) {
    let mut direct = require!(kind.fresh());
    let empty = contents(kind, &direct);
    for (interrupted, messages) in (first..).step_by(6).enumerate() {
        let (before, place) = direct.split_once('@').unwrap();
        let port = place.split([':', '/']).nth(1).unwrap().parse().unwrap();
        let proxy = Proxy::start(&tasks, port, messages).await;
        let through = format!("{before}@127.0.0.1:{}/{}", proxy.port(), database(&direct));
        let done = migrate(&through).await;
        if done.is_ok() {
            assert!(interrupted > 3, "{interrupted}");
            return;
        }
        // PostgreSQL makes all of it or nothing. Where nothing is there the next interruption meets what this one met, and
        // some of them are taken up, as all of MariaDB's are.
        if kind == Kind::Postgres && contents(kind, &direct) == empty && !interrupted.is_multiple_of(8) {
            continue;
        }
        match open(&direct, &tasks).await {
            Ok(opened) => opened.store.close().await,
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Conflict, "{error:?}");
                assert!(
                    error.to_string().contains("interrupted; run muster db migrate"),
                    "{error}"
                );
                assert_eq!(kind, Kind::MariaDb, "PostgreSQL makes all of it or nothing");
            }
        }
        assert!(migrate(&direct).await.unwrap().is_current());
        let opened = open(&direct, &tasks).await.unwrap();
        submit(&opened, "r", 1).await;
        opened.store.close().await;
        direct = kind.fresh().unwrap();
    }
}

/// Returns what there is in a database, as numbers: all kinds of things that a migration makes.
fn contents(kind: Kind, url: &str) -> String {
    match kind {
        Kind::Postgres => kind.sql(
            url,
            "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_type), \
             (SELECT count(*) FROM pg_constraint), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_namespace)",
        ),
        Kind::MariaDb => tables(kind, url),
    }
}
