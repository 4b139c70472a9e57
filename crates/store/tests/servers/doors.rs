//! Who is let in, and how texts are compared.

use muster_model::inventory::GroupName;
use muster_model::{ErrorKind, HostName, RunState};
use muster_runtime::{Tasks, clock};
use muster_store::contract::world::{key, must, new_task, settle, start, submit};
use muster_store::{Edit, Error, migrate, open};
use muster_testkit::require;

use super::{Kind, database};

async fn refused(url: &str, tasks: &Tasks) -> Error {
    match open(url, tasks).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

pub(super) async fn what_is_wrong_with_a_url_is_said_without_the_password(kind: Kind, tasks: Tasks) {
    let url = require!(kind.fresh());
    let (_, rest) = url.split_once("://").unwrap();
    let (account, place) = rest.split_once('@').unwrap();
    let (user, password) = account.split_once(':').unwrap();
    let host = place.split('/').next().unwrap();
    let nobody_there = muster_testkit::ports::free().unwrap();
    let scheme = kind.name();
    let table = [
        (
            format!("{scheme}://{user}:hunter2@{place}"),
            ErrorKind::Denied,
            "the user or the password",
        ),
        (
            format!("{scheme}://stranger:hunter2@{place}"),
            ErrorKind::Denied,
            "the user or the password",
        ),
        (
            format!("{scheme}://{user}:{password}@{host}/not_there"),
            ErrorKind::NotFound,
            "CREATE DATABASE",
        ),
        (
            format!("{scheme}://{user}:{password}@127.0.0.1:{nobody_there}/m"),
            ErrorKind::Unavailable,
            "cannot be reached",
        ),
        (
            format!("{scheme}://{user}:{password}@does-not-exist.invalid/m"),
            ErrorKind::Unavailable,
            "cannot be reached",
        ),
        (
            format!("{scheme}://{user}:{password}@{place}?what=ever"),
            ErrorKind::Invalid,
            "'what'",
        ),
        (
            format!("{scheme}://{user}:{password}@{place}?sslmode=whatever"),
            ErrorKind::Invalid,
            "not understood",
        ),
    ];
    for (url, right, says) in table {
        let before = clock::monotonic();
        let error = refused(&url, &tasks).await;
        assert!(
            clock::monotonic() - before < std::time::Duration::from_secs(8),
            "{url}"
        );
        let text = error.to_string();
        assert_eq!(error.kind, right, "{text}: {error:?}");
        assert!(text.contains(says), "{text}");
        assert!(!text.contains(password) && !text.contains("hunter2"), "{text}");
    }
}

/// The statements of docs/operations/databases.md.
fn rights(kind: Kind, database: &str, with: &str) -> (String, String) {
    match kind {
        Kind::Postgres => (
            format!(
                "CREATE ROLE {with}_owner LOGIN PASSWORD 'word'; ALTER DATABASE {database} OWNER TO {with}_owner; \
                 CREATE ROLE {with}_server LOGIN PASSWORD 'word'"
            ),
            format!(
                "GRANT USAGE ON SCHEMA public TO {with}_server; \
                 GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {with}_server; \
                 GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {with}_server"
            ),
        ),
        Kind::MariaDb => (
            format!(
                "CREATE USER '{with}_owner'@'%' IDENTIFIED BY 'word'; \
                 GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES ON {database}.* \
                 TO '{with}_owner'@'%'; \
                 CREATE USER '{with}_server'@'%' IDENTIFIED BY 'word'; \
                 GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO '{with}_server'@'%'"
            ),
            String::new(),
        ),
    }
}

pub(super) async fn the_rights_that_are_written_down_are_enough(kind: Kind, tasks: Tasks) {
    let url = require!(kind.fresh());
    let (_, place) = url.split_once('@').unwrap();
    let name = database(&url);
    let with = &name[..20];
    let (before, after) = rights(kind, name, with);
    kind.sql(&url, &before);
    let owner = format!("{}://{with}_owner:word@{place}", kind.name());
    assert!(migrate(&owner).await.unwrap().is_current());
    if !after.is_empty() {
        kind.sql(&url, &after);
    }
    for user in ["owner", "server"] {
        let url = format!("{}://{with}_{user}:word@{place}", kind.name());
        let opened = open(&url, &tasks).await.unwrap();
        let id = submit(&opened, user, 2).await;
        must(&opened, vec![start(key(id, 0), "me")]).await;
        must(&opened, vec![settle(key(id, 0), RunState::Failed)]).await;
        let log = muster_store::contract::world::frames(&["x"]);
        opened.outputs.append(key(id, 1), 1, 0, log).await.unwrap();
        opened.outputs.discard(key(id, 1), 1).await.unwrap();
        opened
            .inventory
            .change(vec![Edit::AddGroups(vec!["g".parse().unwrap()])], None)
            .await
            .unwrap();
        let remove = vec![Edit::RemoveGroups(vec!["g".parse().unwrap()])];
        assert_eq!(opened.inventory.change(remove, None).await.unwrap().counts, [1]);
        opened.store.ping().await.unwrap();
        opened.store.close().await;
    }
}

pub(super) async fn every_text_is_compared_byte_by_byte(kind: Kind, tasks: Tasks) {
    let url = require!(kind.fresh());
    let opened = open(&url, &tasks).await.unwrap();
    let names = ["a", "A", "a ", "á", "a\u{301}", "ß", "ss"];
    for (place, name) in (1_u64..).zip(names) {
        let task = opened.store.submit(new_task(name, 1)).await.unwrap().into_task();
        assert_eq!(task.id.0, place, "'{name}' is a request of its own");
    }
    let names: [&str; 6] = ["a", "A", "a.", "á", "ß", "ss"];
    let groups: Vec<GroupName> = names.iter().map(|name| name.parse().unwrap()).collect();
    let hosts = names.iter().map(|name| name.parse().unwrap());
    let members = hosts.map(|host: HostName| (groups[0].clone(), host)).collect();
    let edits = vec![Edit::AddGroups(groups), Edit::AddMembers(members)];
    opened.inventory.change(edits, None).await.unwrap();
    let mut sorted = names;
    sorted.sort_unstable();
    let groups = opened.inventory.groups().await.unwrap();
    let found: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(found, sorted);
    let group = opened.inventory.group("a").await.unwrap().unwrap();
    let found: Vec<&str> = group.hosts.iter().map(HostName::as_str).collect();
    assert_eq!(found, sorted);
    let strange = match kind {
        Kind::Postgres => {
            "SELECT table_name, column_name, collation_name FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name <> 'muster_migrations' \
             AND data_type IN ('text', 'character varying') AND collation_name IS DISTINCT FROM 'C'"
        }
        Kind::MariaDb => {
            "SELECT table_name, column_name, collation_name FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name <> 'muster_migrations' \
             AND collation_name IS NOT NULL AND collation_name <> 'utf8mb4_nopad_bin'"
        }
    };
    assert_eq!(
        kind.sql(&url, strange),
        "",
        "tables are made by migration::tables alone"
    );
}
