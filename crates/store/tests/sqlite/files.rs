//! Whose file it is: a file that is not Muster's is refused and left as it is, to the byte.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use libtest_mimic::Trial;
use muster_model::ErrorKind;
use muster_runtime::Tasks;
use muster_store::contract::world::submit;
use muster_store::{Error, Opened, open};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

macro_rules! trials {
    ($($name:ident)*) => {
        vec![$(Trial::test(concat!("sqlite::", stringify!($name)), || {
            let tasks = Tasks::new();
            super::within_patience(tasks.clone(), $name(tasks))
        }),)*]
    };
}

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_file_that_is_no_database_is_refused_and_left_alone
        a_database_of_another_program_is_refused_and_left_alone
        a_database_that_only_claims_to_be_ours_is_refused
        a_database_of_a_newer_release_is_refused_and_left_alone
        a_damaged_database_is_said_to_be_corrupt
        a_folder_is_no_database
        a_place_that_may_not_be_written_is_denied
        a_path_through_a_file_is_invalid
        an_empty_file_becomes_a_database
        everything_that_is_made_is_closed_to_others
        the_settings_that_promises_rest_on_are_in_force
    ]
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

async fn refused(path: &Path, tasks: &Tasks) -> Error {
    match open(&url(path), tasks).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

/// Opens the file as some other program would.
async fn as_another_program(path: &Path, wal: bool) -> SqliteConnection {
    let mode = if wal {
        SqliteJournalMode::Wal
    } else {
        SqliteJournalMode::Delete
    };
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(mode)
        .connect()
        .await
        .unwrap()
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.unwrap();
}

/// Everything in a folder, to the byte.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// Checks that opening is refused as `Corrupt` with the path named, and that nothing changes on the disk.
async fn refused_and_left_alone(path: &Path, says: &str, tasks: &Tasks) {
    let folder = path.parent().unwrap();
    let before = content(folder);
    let error = refused(path, tasks).await;
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert!(text.contains(says) && text.contains("another file"), "{text}");
    assert!(content(folder) == before, "the folder changed");
}

async fn a_file_that_is_no_database_is_refused_and_left_alone(tasks: Tasks) {
    let folder = tempfile::tempdir().unwrap();
    for text in [
        "x",
        "a text of mine, which is longer than the head of a database: "
            .repeat(9)
            .as_str(),
        "SQLite format 3\0",
    ] {
        let path = folder.path().join("notes.txt");
        fs::write(&path, text).unwrap();
        refused_and_left_alone(&path, "not a SQLite database", &tasks).await;
    }
}

async fn a_database_of_another_program_is_refused_and_left_alone(tasks: Tasks) {
    for wal in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.db");
        let mut theirs = as_another_program(&path, wal).await;
        execute(&mut theirs, "CREATE TABLE tasks (id INTEGER)").await;
        execute(&mut theirs, "INSERT INTO tasks VALUES (7)").await;
        // With a log that was not folded into the file, and a connection that is still open.
        refused_and_left_alone(&path, "another program", &tasks).await;
        execute(&mut theirs, "INSERT INTO tasks VALUES (8)").await;
        theirs.close().await.unwrap();
        refused_and_left_alone(&path, "another program", &tasks).await;
    }
}

async fn a_database_that_only_claims_to_be_ours_is_refused(tasks: Tasks) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.db");
    let mut theirs = as_another_program(&path, false).await;
    execute(&mut theirs, "CREATE TABLE things (id INTEGER)").await;
    execute(&mut theirs, "PRAGMA application_id = 1299542900").await;
    theirs.close().await.unwrap();
    refused_and_left_alone(&path, "another program", &tasks).await;
}

async fn a_database_of_a_newer_release_is_refused_and_left_alone(tasks: Tasks) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("muster.db");
    let opened = open(&url(&path), &tasks).await.unwrap();
    opened.store.close().await;
    let mut newer = as_another_program(&path, false).await;
    execute(
        &mut newer,
        "INSERT INTO muster_migrations (version, applied_at) VALUES ('m9999_from_the_future', 0)",
    )
    .await;
    newer.close().await.unwrap();
    refused_and_left_alone(&path, "m9999_from_the_future", &tasks).await;
}

async fn a_damaged_database_is_said_to_be_corrupt(tasks: Tasks) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("muster.db");
    let opened = open(&url(&path), &tasks).await.unwrap();
    opened.store.close().await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    let error = refused(&path, &tasks).await;
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

async fn a_folder_is_no_database(tasks: Tasks) {
    let folder = tempfile::tempdir().unwrap();
    let error = refused(folder.path(), &tasks).await;
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
}

async fn a_place_that_may_not_be_written_is_denied(tasks: Tasks) {
    // The one place where even root may make no file.
    let error = refused(Path::new("/sys/kernel/muster.db"), &tasks).await;
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("/sys/kernel/muster.db"), "{error}");
}

async fn a_path_through_a_file_is_invalid(tasks: Tasks) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    let error = refused(&folder.path().join("file/muster.db"), &tasks).await;
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
}

async fn an_empty_file_becomes_a_database(tasks: Tasks) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let opened = open(&url(file.path()), &tasks).await.unwrap();
    submit(&opened, "r", 1).await;
    opened.store.close().await;
}

async fn everything_that_is_made_is_closed_to_others(tasks: Tasks) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/deep/muster.db");
    let opened = open(&url(&path), &tasks).await.unwrap();
    let id = submit(&opened, "r", 1).await;
    let run = muster_store::contract::world::key(id, 0);
    let log = muster_store::contract::world::frames(&["x"]);
    opened.outputs.append(run, 1, 0, log).await.unwrap();
    let mut found = 0;
    let mut folders = vec![folder.path().join("new")];
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
                found += 1;
            }
        }
    }
    assert!(
        found >= 4,
        "the database, its log and its index, and an output: {found}"
    );
    drop(opened);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn the_settings_that_promises_rest_on_are_in_force(tasks: Tasks) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("muster.db");
    let opened: Opened = open(&url(&path), &tasks).await.unwrap();
    submit(&opened, "r", 1).await;
    // The write-ahead log is a property of the file, and is at work.
    assert!(folder.path().join("muster.db-wal").exists());
    let text = opened.store.ping().await.unwrap();
    assert!(text.contains("synchronous full"), "{text}");
    assert!(text.contains("journal wal"), "{text}");
    opened.store.close().await;
    assert!(
        !folder.path().join("muster.db-wal").exists(),
        "the last one out folds the log in"
    );
}
