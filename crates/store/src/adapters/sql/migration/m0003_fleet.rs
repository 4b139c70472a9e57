//! What is known of a fleet: nested groups, facts, credentials, the keys of hosts; and how the inventory's changes are
//! counted.

use sea_orm_migration::prelude::*;

use super::super::statement::or_keep;
use super::tables::{add_column, create_index, create_table};
use super::{long_bytes, long_text, maybe_number, maybe_short, number, short};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        revisions(manager).await?;
        hosts(manager).await?;
        children(manager).await?;
        credentials(manager).await?;
        host_keys(manager).await
    }
}

/// Counters that grow with every change, so that who keeps a copy knows what is new. The row is locked by whoever
/// changes the inventory, so changes come one after the other.
async fn revisions(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut revisions = Table::create();
    revisions
        .table(Alias::new("revisions"))
        .col(short("name", 32).primary_key())
        .col(number("value"));
    create_table(manager, "revisions", revisions).await?;
    for name in [
        "inventory",
        "removed",
        "groups",
        "host_keys",
        "host_keys_removed",
        "vault",
    ] {
        let backend = manager.get_database_backend();
        let sql = format!(
            "INSERT INTO revisions (name, value) VALUES ('{name}', 1) {}",
            or_keep(backend, "name")
        );
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}

async fn hosts(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    for (of, column) in [
        ("hosts", maybe_short("credential", 64)),
        ("hosts", number("revision").default(1).take()),
        ("runs", maybe_short("credential", 64)),
    ] {
        add_column(manager, of, column).await?;
    }
    let changed = Index::create().col(Alias::new("revision")).take();
    create_index(manager, "hosts", "hosts_revision", changed).await?;

    let mut facts = Table::create();
    facts
        .table(Alias::new("host_facts"))
        .col(short("host", 255).primary_key())
        .col(number("gathered_at"))
        .col(number("revision"))
        .col(long_text(manager, "facts").not_null());
    create_table(manager, "host_facts", facts).await?;
    let changed = Index::create().col(Alias::new("revision")).take();
    create_index(manager, "host_facts", "host_facts_revision", changed).await
}

async fn children(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut children = Table::create();
    children
        .table(Alias::new("host_group_children"))
        .col(number("parent_id"))
        .col(number("child_id"))
        .primary_key(
            Index::create()
                .col(Alias::new("parent_id"))
                .col(Alias::new("child_id")),
        );
    for (name, column) in [
        ("host_group_children_parent", "parent_id"),
        ("host_group_children_child", "child_id"),
    ] {
        children.foreign_key(
            ForeignKey::create()
                .name(name)
                .from(Alias::new("host_group_children"), Alias::new(column))
                .to(Alias::new("host_groups"), Alias::new("id"))
                .on_delete(ForeignKeyAction::Cascade),
        );
    }
    create_table(manager, "host_group_children", children).await?;
    let of_child = Index::create().col(Alias::new("child_id")).take();
    create_index(
        manager,
        "host_group_children",
        "host_group_children_of_child",
        of_child,
    )
    .await
}

/// Secrets stand here sealed only: who reads the database reads noise.
async fn credentials(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut credentials = Table::create();
    credentials
        .table(Alias::new("credentials"))
        .col(short("name", 64).primary_key())
        .col(maybe_short("login", 255))
        .col(short("holds", 255))
        .col(maybe_short("public_key", 255))
        .col(short("key_id", 64))
        .col(long_bytes(manager, "sealed").not_null())
        .col(number("version"))
        .col(number("created_at"))
        .col(number("changed_at"));
    create_table(manager, "credentials", credentials).await?;

    let mut keys = Table::create();
    keys.table(Alias::new("vault_keys"))
        .col(short("id", 64).primary_key())
        .col(long_bytes(manager, "canary").not_null())
        .col(number("created_at"))
        .col(maybe_number("retired_at"));
    create_table(manager, "vault_keys", keys).await
}

/// The keys by which hosts are known, under the names that `known_hosts` would have (`host` or `[host]:port`). What
/// was removed leaves nothing behind: the counter `host_keys_removed` tells those who keep a copy to read it anew.
async fn host_keys(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut keys = Table::create();
    keys.table(Alias::new("host_keys"))
        .col(short("host", 512))
        .col(short("fingerprint", 64))
        .col(short("algorithm", 64))
        .col(long_bytes(manager, "public_key").not_null())
        .col(short("state", 16))
        .col(number("seen_at"))
        .col(number("revision"))
        .primary_key(
            Index::create()
                .col(Alias::new("host"))
                .col(Alias::new("fingerprint")),
        );
    create_table(manager, "host_keys", keys).await?;
    let changed = Index::create().col(Alias::new("revision")).take();
    create_index(manager, "host_keys", "host_keys_revision", changed).await
}
