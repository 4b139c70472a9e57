//! Changing the inventory: every edit of a call in one transaction.

use std::collections::{BTreeMap, HashMap, HashSet};

use muster_model::host::HostRecord;
use muster_model::inventory::CredentialName;
use muster_model::{ErrorKind, HostName};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect, Value,
};

use super::super::entity::{facts, host, member};
use super::super::record;
use super::super::statement::{Fat, or_update};
use super::super::translate::during;
use super::revision::{self, Touched};
use super::{NAMES, membership};
use crate::error::Error;
use crate::types::{Changed, Edit, HostFacts, Revision};

/// Rows whose values are in memory at the same time.
const PIECE: usize = 8192;

pub(super) async fn change(
    transaction: &DatabaseTransaction,
    edits: &[Edit],
    seen: Option<Revision>,
) -> Result<Changed, Error> {
    let mut touched = Touched::default();
    for edit in edits {
        match edit {
            Edit::AddHosts(_) | Edit::PutHosts(_) => {}
            Edit::RemoveHosts(_) => {
                touched = Touched {
                    removed: true,
                    groups: true,
                };
            }
            _ => touched.groups = true,
        }
    }
    let revision = revision::count(transaction, touched, seen).await?;
    let mut counts = Vec::with_capacity(edits.len());
    for edit in edits {
        counts.push(apply(transaction, edit, revision).await?);
    }
    Ok(Changed { revision, counts })
}

async fn apply(transaction: &DatabaseTransaction, edit: &Edit, revision: Revision) -> Result<u64, Error> {
    match edit {
        Edit::AddHosts(hosts) => {
            refuse_known(transaction, hosts).await?;
            put_hosts(transaction, hosts, revision).await
        }
        Edit::PutHosts(hosts) => put_hosts(transaction, hosts, revision).await,
        Edit::RemoveHosts(names) => remove_hosts(transaction, names).await,
        Edit::AddGroups(names) => membership::add_groups(transaction, names).await,
        Edit::RemoveGroups(names) => membership::remove_groups(transaction, names).await,
        Edit::AddMembers(pairs) => membership::add_members(transaction, pairs).await,
        Edit::RemoveMembers(pairs) => membership::remove_members(transaction, pairs).await,
        Edit::AddChildren(pairs) => membership::add_children(transaction, pairs).await,
        Edit::RemoveChildren(pairs) => membership::remove_children(transaction, pairs).await,
    }
}

async fn refuse_known(transaction: &DatabaseTransaction, hosts: &[HostRecord]) -> Result<(), Error> {
    let mut names = HashSet::with_capacity(hosts.len());
    let taken = |name: &str| Err(Error::new(ErrorKind::AlreadyExists, format!("add host '{name}'")));
    for host in hosts {
        if !names.insert(host.name.as_str()) {
            return taken(host.name.as_str());
        }
    }
    for hosts in hosts.chunks(NAMES) {
        let known: Option<String> = host::Entity::find()
            .select_only()
            .column(host::Column::Name)
            .filter(host::Column::Name.is_in(hosts.iter().map(|host| host.name.as_str())))
            .limit(1)
            .into_tuple()
            .one(transaction)
            .await
            .map_err(during("add hosts"))?;
        if let Some(known) = known {
            return taken(&known);
        }
    }
    Ok(())
}

async fn put_hosts(
    transaction: &DatabaseTransaction,
    hosts: &[HostRecord],
    revision: Revision,
) -> Result<u64, Error> {
    const COLUMNS: [&str; 7] = [
        "address",
        "login",
        "port",
        "reach",
        "labels",
        "credential",
        "revision",
    ];
    // Some engines refuse a statement that writes a row twice: the last one of a name counts. In the order of the key,
    // the pages of the table are written once each.
    let last: BTreeMap<&HostName, &HostRecord> = hosts.iter().map(|host| (&host.name, host)).collect();
    let count = last.len() as u64;
    let tail = or_update(transaction.get_database_backend(), "name", &COLUMNS);
    let insert = Fat {
        head: "INSERT INTO hosts (name, address, login, port, reach, labels, credential, revision) VALUES",
        width: 8,
        fixed: "",
        tail: &tail,
    };
    let mut hosts = last.into_iter();
    loop {
        let mut values: Vec<Value> = Vec::with_capacity(PIECE.min(hosts.len()) * insert.width);
        for (name, host) in hosts.by_ref().take(PIECE) {
            values.extend([
                name.as_str().into(),
                host.address.clone().into(),
                host.user.clone().into(),
                host.port.map(i64::from).into(),
                host.reach.map(record::name_of).transpose()?.into(),
                record::to_json("a host's labels", &host.labels)?.into(),
                host.credential.as_ref().map(CredentialName::as_str).into(),
                revision.now.into(),
            ]);
        }
        if values.is_empty() {
            return Ok(count);
        }
        insert
            .execute(transaction, values)
            .await
            .map_err(during("put hosts"))?;
    }
}

async fn remove_hosts(transaction: &DatabaseTransaction, names: &[String]) -> Result<u64, Error> {
    let operation = "remove hosts";
    let mut removed = 0;
    for names in names.chunks(NAMES) {
        member::Entity::delete_many()
            .filter(member::Column::Host.is_in(names))
            .exec(transaction)
            .await
            .map_err(during(operation))?;
        facts::Entity::delete_many()
            .filter(facts::Column::Host.is_in(names))
            .exec(transaction)
            .await
            .map_err(during(operation))?;
        removed += host::Entity::delete_many()
            .filter(host::Column::Name.is_in(names))
            .exec(transaction)
            .await
            .map_err(during(operation))?
            .rows_affected;
    }
    Ok(removed)
}

pub(super) async fn put_facts(transaction: &DatabaseTransaction, new: &[HostFacts]) -> Result<u64, Error> {
    let operation = "keep facts";
    let revision = revision::count(transaction, Touched::default(), None).await?;
    let mut last: HashMap<&str, &HostFacts> = new.iter().map(|facts| (facts.host.as_str(), facts)).collect();
    let names: Vec<&str> = last.keys().copied().collect();
    let mut values: Vec<Value> = Vec::with_capacity(last.len() * 4);
    for names in names.chunks(NAMES) {
        let known: Vec<String> = host::Entity::find()
            .select_only()
            .column(host::Column::Name)
            .filter(host::Column::Name.is_in(names.iter().copied()))
            .into_tuple()
            .all(transaction)
            .await
            .map_err(during(operation))?;
        for facts in known.iter().filter_map(|name| last.remove(name.as_str())) {
            values.extend([
                facts.host.to_string().into(),
                facts.gathered_at.0.into(),
                revision.now.into(),
                record::to_json("a host's facts", &facts.facts)?.into(),
            ]);
        }
    }
    let count = values.len() as u64 / 4;
    Fat {
        head: "INSERT INTO host_facts (host, gathered_at, revision, facts) VALUES",
        width: 4,
        fixed: "",
        tail: &or_update(
            transaction.get_database_backend(),
            "host",
            &["gathered_at", "revision", "facts"],
        ),
    }
    .execute(transaction, values)
    .await
    .map_err(during(operation))?;
    Ok(count)
}
