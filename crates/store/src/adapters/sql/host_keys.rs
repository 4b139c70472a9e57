//! The keys of hosts in the database.
//!
//! Every change locks the counter first: changes come one after the other, and who reads the counter sees all that it
//! counts.

mod change;

use std::collections::BTreeSet;

use async_trait::async_trait;
use muster_model::host_key::{Decision, KnownHost, NAME_BYTES, SeenKey};
use muster_model::{ErrorKind, Timestamp};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement, Value,
};

use self::change::{Host, State};
use super::Database;
use super::entity::host_key;
use super::statement::{Fat, for_update, or_update};
use super::translate::during;
use crate::error::Error;
use crate::port::HostKeys;
use crate::types::{HostKeyRecord, KeysRevision, ShownKey};

/// Names in one `IN (…)`.
const NAMES: usize = 1000;

const SHOW: &str = "write down the keys of hosts";
const DECIDE: &str = "trust the keys of hosts";

async fn revision<C: ConnectionTrait>(db: &C, lock: &str) -> Result<KeysRevision, Error> {
    let operation = "read how far host keys are";
    let sql =
        format!("SELECT name, value FROM revisions WHERE name IN ('host_keys', 'host_keys_removed') {lock}");
    let mut revision = KeysRevision::default();
    let rows = db
        .query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await
        .map_err(during(operation))?;
    for row in rows {
        let name: String = row.try_get_by_index(0).map_err(during(operation))?;
        let value: i64 = row.try_get_by_index(1).map_err(during(operation))?;
        if name == "host_keys" {
            revision.changed = value;
        } else {
            revision.removed = value;
        }
    }
    Ok(revision)
}

/// Returns what is known of these names, each as a host of its own.
async fn read<C: ConnectionTrait>(
    db: &C,
    names: BTreeSet<&str>,
    operation: &str,
) -> Result<change::Hosts, Error> {
    let mut hosts: change::Hosts = names
        .iter()
        .map(|name| ((*name).to_owned(), Host::default()))
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    for names in names.chunks(NAMES) {
        let rows = host_key::Entity::find()
            .filter(host_key::Column::Host.is_in(names.iter().copied()))
            .order_by_asc(host_key::Column::SeenAt)
            .order_by_asc(host_key::Column::Fingerprint)
            .all(db)
            .await
            .map_err(during(operation))?;
        for row in rows {
            if let Some(host) = hosts.get_mut(&row.host) {
                host.add(row)?;
            }
        }
    }
    Ok(hosts)
}

/// Writes what has become of hosts, under the next revision; nothing where nothing has changed.
async fn write(
    transaction: &DatabaseTransaction,
    before: KeysRevision,
    hosts: change::Hosts,
    operation: &str,
) -> Result<(), Error> {
    const COLUMNS: [&str; 5] = ["algorithm", "public_key", "state", "seen_at", "revision"];
    let next = before.changed + 1;
    let mut removed = false;
    let mut values: Vec<Value> = Vec::new();
    for (name, host) in hosts {
        let (written, gone) = host.changes();
        if !gone.is_empty() {
            removed = true;
            host_key::Entity::delete_many()
                .filter(host_key::Column::Host.eq(name.as_str()))
                .filter(host_key::Column::Fingerprint.is_in(gone))
                .exec(transaction)
                .await
                .map_err(during(operation))?;
        }
        for row in written {
            values.extend([
                name.clone().into(),
                row.key.fingerprint.into(),
                row.key.algorithm.into(),
                row.blob.into(),
                row.state.as_str().into(),
                row.key.seen_at.0.into(),
                next.into(),
            ]);
        }
    }
    if values.is_empty() && !removed {
        return Ok(());
    }
    Fat {
        head: "INSERT INTO host_keys (host, fingerprint, algorithm, public_key, state, seen_at, revision) VALUES",
        width: 7,
        fixed: "",
        tail: &or_update(transaction.get_database_backend(), "host, fingerprint", &COLUMNS),
    }
    .execute(transaction, values)
    .await
    .map_err(during(operation))?;
    let counters = if removed {
        "'host_keys', 'host_keys_removed'"
    } else {
        "'host_keys'"
    };
    let sql = format!("UPDATE revisions SET value = {next} WHERE name IN ({counters})");
    transaction
        .execute_unprepared(&sql)
        .await
        .map_err(during(operation))?;
    Ok(())
}

async fn show(transaction: &DatabaseTransaction, shown: Vec<ShownKey>) -> Result<Vec<KnownHost>, Error> {
    let lock = for_update(transaction.get_database_backend());
    let before = revision(transaction, lock).await?;
    let names = shown.iter().map(|shown| shown.host.as_str()).collect();
    let mut hosts = read(transaction, names, SHOW).await?;
    let order: Vec<String> = shown.iter().map(|shown| shown.host.clone()).collect();
    for shown in shown {
        if let Some(host) = hosts.get_mut(&shown.host) {
            host.show(&shown.key, shown.pin, shown.at);
        }
    }
    let known = order
        .iter()
        .map(|name| hosts.get(name).map(Host::known).unwrap_or_default())
        .collect();
    write(transaction, before, hosts, SHOW).await?;
    Ok(known)
}

async fn decide(
    transaction: &DatabaseTransaction,
    decisions: Vec<(String, Decision)>,
    at: Timestamp,
) -> Result<(), Error> {
    let lock = for_update(transaction.get_database_backend());
    let before = revision(transaction, lock).await?;
    let names = decisions.iter().map(|(name, _)| name.as_str()).collect();
    let mut hosts = read(transaction, names, DECIDE).await?;
    for (name, decision) in decisions {
        if let Some(host) = hosts.get_mut(&name) {
            host.decide(&decision, at).map_err(|why| {
                let operation = format!("trust the keys of host '{name}'");
                Error::new(change::kind_of(why), operation).caused_by(why)
            })?;
        }
    }
    write(transaction, before, hosts, DECIDE).await
}

fn check(host: &str) -> Result<(), Error> {
    if host.is_empty() || host.len() > NAME_BYTES {
        let shown: String = host.chars().take(80).collect();
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("keep the keys of a host named '{shown}'"),
        )
        .caused_by("a host's name has 1 to 512 bytes"));
    }
    Ok(())
}

#[async_trait]
impl HostKeys for Database {
    async fn revision(&self) -> Result<KeysRevision, Error> {
        revision(&self.readers, "").await
    }

    async fn host_keys_since(&self, revision: i64) -> Result<Vec<HostKeyRecord>, Error> {
        type Columns = (String, String, String, String, i64);
        let operation = "read the keys of hosts";
        let rows: Vec<Columns> = host_key::Entity::find()
            .select_only()
            .column(host_key::Column::Host)
            .column(host_key::Column::Fingerprint)
            .column(host_key::Column::Algorithm)
            .column(host_key::Column::State)
            .column(host_key::Column::SeenAt)
            .filter(host_key::Column::Revision.gt(revision))
            .into_tuple()
            .all(&self.readers)
            .await
            .map_err(during(operation))?;
        rows.into_iter()
            .map(|(host, fingerprint, algorithm, state, seen_at)| {
                Ok(HostKeyRecord {
                    host,
                    key: SeenKey {
                        algorithm,
                        fingerprint,
                        seen_at: Timestamp(seen_at),
                    },
                    offered: State::read(&state)? == State::Offered,
                })
            })
            .collect()
    }

    async fn host_keys(&self, host: &str) -> Result<KnownHost, Error> {
        let hosts = read(&self.readers, BTreeSet::from([host]), "read the keys of a host").await?;
        Ok(hosts.get(host).map(Host::known).unwrap_or_default())
    }

    async fn show(&self, shown: Vec<ShownKey>) -> Result<Vec<KnownHost>, Error> {
        shown.iter().try_for_each(|shown| check(&shown.host))?;
        self.writer
            .repeat(
                SHOW,
                Box::new(move |transaction| Box::pin(show(transaction, shown.clone()))),
            )
            .await
    }

    async fn decide(&self, decisions: Vec<(String, Decision)>, at: Timestamp) -> Result<(), Error> {
        decisions.iter().try_for_each(|(host, _)| check(host))?;
        self.writer
            .repeat(
                DECIDE,
                Box::new(move |transaction| Box::pin(decide(transaction, decisions.clone(), at))),
            )
            .await
    }
}
