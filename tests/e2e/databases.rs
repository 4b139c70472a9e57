//! `muster db` with real database servers: moving from one engine to the next, dying half-way, backups, and two
//! servers that share what neither has made yet.

use std::process::Stdio;
use std::time::Duration;

use muster_runtime::Tasks;
use muster_testkit::home::Home;
use muster_testkit::require::or_ignored;
use muster_testkit::{Disk, MariaDb, Postgres, wait};
use serde_json::Value;

use crate::support::{Done, PATIENCE, World, command};

/// How many runs the database has that goes round; `MUSTER_TEST_RUNS` says otherwise.
const RUNS: u32 = 5_000;

/// Runs a command on a database.
fn on(home: &Home, database: &str, args: &[&str]) -> Done {
    let mut command = command(home, args);
    command.env("MUSTER_DATABASE", database);
    command.output().expect("the binary starts").into()
}

fn file(home: &Home, name: &str) -> String {
    format!("sqlite://{}", home.path().join(name).display())
}

/// Makes a database file with something in every table.
async fn filled(home: &Home, runs: u32) -> String {
    let url = file(home, "filled.db");
    let tasks = Tasks::new();
    let opened = muster_store::open(&url, &tasks).await.expect("a new file");
    muster_store::contract::fill::fill(&opened, &url, runs).await;
    opened.store.close().await;
    tasks.close(Duration::from_secs(10)).await;
    url
}

fn copied(home: &Home, from: &str, to: &str) -> Value {
    let done = on(home, from, &["db", "copy", "--to", to, "--json"]).succeeded();
    done.json()["proofs"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_goes_round_three_engines_and_comes_back_the_same() {
    let Some(postgres) = or_ignored(Postgres::start(Disk::Relaxed)) else {
        return;
    };
    let Some(mariadb) = or_ignored(MariaDb::start(Disk::Relaxed)) else {
        return;
    };
    let home = Home::new().expect("a home");
    let runs = std::env::var("MUSTER_TEST_RUNS").map_or(RUNS, |text| text.parse().expect("a number"));
    let first = filled(&home, runs).await;
    let second = postgres.fresh_database().expect("a database");
    let third = mariadb.fresh_database().expect("a database");
    let last = file(&home, "last.db");

    let proofs = copied(&home, &first, &second);
    assert_eq!(copied(&home, &second, &third), proofs);
    assert_eq!(copied(&home, &third, &last), proofs);

    let of = |name: &str| {
        let all = proofs.as_array().expect("proofs");
        let found = all.iter().find(|proof| proof["table"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {proofs:#}"))["rows"].clone()
    };
    assert_eq!(of("runs"), runs);
    assert!(of("output logs").as_u64() > Some(0), "{proofs:#}");

    let again = on(&home, &first, &["db", "copy", "--to", &second]);
    assert_ne!(again.code, Some(0));
    assert!(again.stderr.contains("not empty"), "{again:#?}");
    let seen = on(&home, &second, &["db", "status", "--json"]).succeeded();
    assert_eq!(seen.json()["rows"]["runs"], runs, "{seen:#?}");
    let password = second.split(['/', '@', ':']).nth(4).expect("a password");
    for done in [&again, &seen] {
        assert!(
            !done.stdout.contains(password) && !done.stderr.contains(password),
            "{done:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_killed_is_refused_and_made_again() {
    let Some(postgres) = or_ignored(Postgres::start(Disk::Relaxed)) else {
        return;
    };
    let Some(mariadb) = or_ignored(MariaDb::start(Disk::Relaxed)) else {
        return;
    };
    let home = Home::new().expect("a home");
    let first = filled(&home, 5_000).await;
    let right = copied(&home, &first, &file(&home, "straight.db"));
    let targets = [
        file(&home, "target.db"),
        postgres.fresh_database().expect("a database"),
        mariadb.fresh_database().expect("a database"),
    ];
    for target in &targets {
        let mut killed = 0;
        for after in [0, 2_000, 4_000] {
            killed += u32::from(killed_half_way(&home, &first, target, after).await);
        }
        assert!(killed > 0, "no copy into a database was killed before its end");
        assert_eq!(copied(&home, &first, target), right);
        on(&home, target, &["db", "status"]).succeeded();
    }
}

/// Kills a copy once its target has so many runs; tells whether it was on its way then.
async fn killed_half_way(home: &Home, from: &str, to: &str, runs: u64) -> bool {
    let mut copy = command(home, &["db", "copy", "--to", to]);
    copy.env("MUSTER_DATABASE", from)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut copy = copy.spawn().expect("the binary starts");
    let mut ended = false;
    let reached = || {
        ended = copy.try_wait().expect("a child").is_some();
        let seen = on(home, to, &["db", "status", "--json"]);
        // While its tables are made there is nothing to count.
        let seen: Value = serde_json::from_str(&seen.stdout).unwrap_or_default();
        ended || (!seen["obstacle"].is_null() && seen["rows"]["runs"].as_u64() >= Some(runs))
    };
    wait::until(PATIENCE, "the copy to be on its way", reached)
        .await
        .expect("it begins");
    if ended {
        return false;
    }
    copy.kill().expect("it is killed");
    let status = copy.wait().expect("it has ended");
    if status.code().is_some() {
        return false;
    }
    let seen = on(home, to, &["db", "status", "--json"]).succeeded().json();
    if seen["obstacle"].is_null() {
        return false;
    }
    let server = on(home, to, &["server"]);
    assert_ne!(server.code, Some(0));
    assert!(server.stderr.contains("unfinished copy"), "{server:#?}");
    let migrate = on(home, to, &["db", "migrate"]);
    assert!(migrate.stderr.contains("unfinished copy"), "{migrate:#?}");
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_beside_a_server_and_restored() {
    let Some(world) = World::new().await else { return };
    let hosts = world.hosts(3);
    world
        .muster(&[
            "run",
            "head -c 200000 /dev/zero | tr '\\0' x",
            "--hosts",
            &hosts,
            "-o",
            "quiet",
        ])
        .succeeded();
    let saved = world.home.path().join("saved");
    let saved = saved.to_str().expect("a path");
    world.muster(&["db", "backup", saved]).succeeded();
    let status = world.muster(&["db", "status"]).succeeded();
    assert!(status.stdout.contains("rows of runs"), "{status:#?}");
    let refused = world.muster(&["db", "restore", saved]);
    assert!(refused.stderr.contains("not empty"), "{refused:#?}");
    let restored = file(&world.home, "restored.db");
    world
        .muster(&["db", "restore", saved, "--to", &restored])
        .succeeded();
    let mut check = world.command(&["check_task", "1", "--json"]);
    check
        .env("MUSTER_DATABASE", &restored)
        .env("MUSTER_NO_DAEMON", "1");
    let checked: Done = check.output().expect("the binary starts").into();
    let report = checked.succeeded().json();
    let output = report["runs"][2]["stdout"].as_str().map(str::len);
    assert!(output > Some(60_000), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_start_at_once_on_an_empty_database_both_work() {
    let Some(world) = World::new().await else { return };
    let Some(postgres) = or_ignored(Postgres::start(Disk::Relaxed)) else {
        return;
    };
    let database = postgres.fresh_database().expect("a database");
    let mut other = Home::new().expect("a home");
    other.set_env("MUSTER_SSH_CONFIG", world.sshd.ssh_config());
    let homes = [&world.home, &other];
    let mut servers: Vec<_> = homes
        .iter()
        .map(|home| {
            let mut server = command(home, &["server"]);
            server.env("MUSTER_DATABASE", &database).stderr(Stdio::null());
            server.spawn().expect("the binary starts")
        })
        .collect();
    for (place, home) in homes.iter().enumerate() {
        let answers = || on(home, &database, &["server", "status"]).code == Some(0);
        wait::until(PATIENCE, "the server to answer", answers)
            .await
            .expect("it answers");
        let word = format!("said by {place}");
        let echo = format!("echo {word}");
        let done = on(home, &database, &["run", &echo, "--hosts", &world.hosts(2)]).succeeded();
        assert_eq!(done.stdout.matches(&word).count(), 2, "{done:#?}");
    }
    for home in homes {
        let tasks = on(home, &database, &["tasks"]).succeeded();
        assert!(
            tasks.stdout.contains("said by 0") && tasks.stdout.contains("said by 1"),
            "{tasks:#?}"
        );
    }
    for server in &mut servers {
        assert!(server.try_wait().expect("a child").is_none(), "a server has left");
        server.kill().expect("it is killed");
        server.wait().expect("it has ended");
    }
}
