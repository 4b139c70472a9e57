//! Hosts and groups in the database.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use muster_model::ErrorKind;
use muster_model::host::HostRecord;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, JoinType, QueryFilter, QueryOrder,
    QuerySelect, RelationTrait, Set, Value,
};

use super::Database;
use super::entity::{group, host, member};
use super::record;
use super::statement::{Fat, or_keep, or_update};
use super::translate::during;
use crate::error::Error;
use crate::port::Inventory;
use crate::types::GroupRecord;

/// Names in one `IN (…)`.
const NAMES: usize = 1000;

fn columns_of(host: HostRecord) -> Result<host::ActiveModel, Error> {
    Ok(host::ActiveModel {
        labels: Set(record::to_json("a host's labels", &host.labels)?),
        reach: Set(host.reach.map(record::name_of).transpose()?),
        name: Set(host.name.into()),
        address: Set(host.address),
        login: Set(host.user),
        port: Set(host.port.map(i64::from)),
    })
}

fn check_group(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > 255 {
        let shown: String = name.chars().take(80).collect();
        return Err(Error::new(ErrorKind::Invalid, format!("name a group '{shown}'"))
            .caused_by("a group's name has 1 to 255 bytes"));
    }
    Ok(())
}

fn check_members(names: &[String]) -> Result<(), Error> {
    let wrong = names
        .iter()
        .find(|name| name.is_empty() || name.len() > muster_model::limits::HOST_NAME_BYTES);
    match wrong {
        None => Ok(()),
        Some(name) => {
            let shown: String = name.chars().take(80).collect();
            Err(Error::new(ErrorKind::Invalid, format!("name a host '{shown}'"))
                .caused_by("a host's name has 1 to 512 bytes"))
        }
    }
}

async fn put_hosts(transaction: &DatabaseTransaction, hosts: Vec<HostRecord>) -> Result<(), Error> {
    const COLUMNS: [&str; 5] = ["address", "login", "port", "reach", "labels"];
    // Some engines refuse a statement that writes a row twice: the last one of a name counts.
    let last: HashMap<String, HostRecord> = hosts
        .into_iter()
        .map(|host| (host.name.to_string(), host))
        .collect();
    let mut values: Vec<Value> = Vec::with_capacity(last.len() * 6);
    for (name, host) in last {
        values.extend([
            name.into(),
            host.address.into(),
            host.user.into(),
            host.port.map(i64::from).into(),
            host.reach.map(record::name_of).transpose()?.into(),
            record::to_json("a host's labels", &host.labels)?.into(),
        ]);
    }
    Fat {
        head: "INSERT INTO hosts (name, address, login, port, reach, labels) VALUES",
        width: 6,
        fixed: "",
        tail: &or_update(transaction.get_database_backend(), "name", &COLUMNS),
    }
    .execute(transaction, values)
    .await
    .map_err(during("put hosts"))
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
        removed += host::Entity::delete_many()
            .filter(host::Column::Name.is_in(names))
            .exec(transaction)
            .await
            .map_err(during(operation))?
            .rows_affected;
    }
    Ok(removed)
}

async fn group_id<C: ConnectionTrait>(db: &C, name: &str, operation: &str) -> Result<Option<i64>, Error> {
    Ok(group::Entity::find()
        .filter(group::Column::Name.eq(name))
        .one(db)
        .await
        .map_err(during(operation))?
        .map(|row| row.id))
}

async fn add_to_group(transaction: &DatabaseTransaction, name: &str, hosts: &[String]) -> Result<(), Error> {
    let operation = format!("add hosts to group '{name}'");
    let id = match group_id(transaction, name, &operation).await? {
        Some(id) => id,
        None => {
            let row = group::ActiveModel {
                name: Set(name.to_owned()),
                ..Default::default()
            };
            group::Entity::insert(row)
                .exec(transaction)
                .await
                .map_err(during(&operation))?
                .last_insert_id
        }
    };
    let members: BTreeSet<&String> = hosts.iter().collect();
    let values = members
        .into_iter()
        .flat_map(|host| [Value::from(id), Value::from(host.clone())])
        .collect();
    Fat {
        head: "INSERT INTO host_group_members (group_id, host) VALUES",
        width: 2,
        fixed: "",
        tail: &or_keep(transaction.get_database_backend(), "host"),
    }
    .execute(transaction, values)
    .await
    .map_err(during(&operation))
}

async fn remove_from_group(
    transaction: &DatabaseTransaction,
    name: &str,
    hosts: &[String],
) -> Result<u64, Error> {
    let operation = format!("remove hosts from group '{name}'");
    let Some(id) = group_id(transaction, name, &operation).await? else {
        return Ok(0);
    };
    let mut removed = 0;
    for hosts in hosts.chunks(NAMES) {
        removed += member::Entity::delete_many()
            .filter(member::Column::GroupId.eq(id))
            .filter(member::Column::Host.is_in(hosts))
            .exec(transaction)
            .await
            .map_err(during(&operation))?
            .rows_affected;
    }
    Ok(removed)
}

async fn remove_group(transaction: &DatabaseTransaction, name: &str) -> Result<bool, Error> {
    let operation = format!("remove group '{name}'");
    let Some(id) = group_id(transaction, name, &operation).await? else {
        return Ok(false);
    };
    // Its members go with it: the foreign key cascades.
    group::Entity::delete_by_id(id)
        .exec(transaction)
        .await
        .map_err(during(&operation))?;
    Ok(true)
}

#[async_trait]
impl Inventory for Database {
    async fn add_host(&self, host: HostRecord) -> Result<(), Error> {
        let operation = format!("add host '{}'", host.name);
        let row = columns_of(host)?;
        self.writer
            .transact(
                operation.clone(),
                Box::new(move |transaction| {
                    Box::pin(async move {
                        host::Entity::insert(row)
                            .exec_without_returning(transaction)
                            .await
                            .map_err(during(&operation))?;
                        Ok(())
                    })
                }),
            )
            .await
    }

    async fn put_hosts(&self, hosts: Vec<HostRecord>) -> Result<(), Error> {
        self.writer
            .transact(
                "put hosts",
                Box::new(move |transaction| Box::pin(put_hosts(transaction, hosts))),
            )
            .await
    }

    async fn host(&self, name: &str) -> Result<Option<HostRecord>, Error> {
        host::Entity::find_by_id(name)
            .one(&self.readers)
            .await
            .map_err(during(&format!("read host '{name}'")))?
            .map(record::host)
            .transpose()
    }

    async fn hosts_named(&self, names: &[String]) -> Result<Vec<HostRecord>, Error> {
        let mut found = Vec::new();
        let names: Vec<&String> = names.iter().collect::<BTreeSet<_>>().into_iter().collect();
        for names in names.chunks(NAMES) {
            let rows = host::Entity::find()
                .filter(host::Column::Name.is_in(names.iter().map(|name| name.as_str())))
                .all(&self.readers)
                .await
                .map_err(during("read hosts"))?;
            for row in rows {
                found.push(record::host(row)?);
            }
        }
        Ok(found)
    }

    async fn hosts(&self) -> Result<Vec<HostRecord>, Error> {
        host::Entity::find()
            .order_by_asc(host::Column::Name)
            .all(&self.readers)
            .await
            .map_err(during("list hosts"))?
            .into_iter()
            .map(record::host)
            .collect()
    }

    async fn remove_hosts(&self, names: &[String]) -> Result<u64, Error> {
        let names = names.to_vec();
        self.writer
            .transact(
                "remove hosts",
                Box::new(move |transaction| Box::pin(async move { remove_hosts(transaction, &names).await })),
            )
            .await
    }

    async fn add_to_group(&self, group: &str, hosts: &[String]) -> Result<(), Error> {
        check_group(group)?;
        check_members(hosts)?;
        let (group, hosts) = (group.to_owned(), hosts.to_vec());
        self.writer
            .transact(
                format!("add hosts to group '{group}'"),
                Box::new(move |transaction| {
                    Box::pin(async move { add_to_group(transaction, &group, &hosts).await })
                }),
            )
            .await
    }

    async fn remove_from_group(&self, group: &str, hosts: &[String]) -> Result<u64, Error> {
        let (group, hosts) = (group.to_owned(), hosts.to_vec());
        self.writer
            .transact(
                format!("remove hosts from group '{group}'"),
                Box::new(move |transaction| {
                    Box::pin(async move { remove_from_group(transaction, &group, &hosts).await })
                }),
            )
            .await
    }

    async fn remove_group(&self, group: &str) -> Result<bool, Error> {
        let group = group.to_owned();
        self.writer
            .transact(
                format!("remove group '{group}'"),
                Box::new(move |transaction| Box::pin(async move { remove_group(transaction, &group).await })),
            )
            .await
    }

    async fn group(&self, group: &str) -> Result<Option<Vec<String>>, Error> {
        let operation = format!("read group '{group}'");
        let Some(id) = group_id(&self.readers, group, &operation).await? else {
            return Ok(None);
        };
        member::Entity::find()
            .select_only()
            .column(member::Column::Host)
            .filter(member::Column::GroupId.eq(id))
            .order_by_asc(member::Column::Host)
            .into_tuple()
            .all(&self.readers)
            .await
            .map(Some)
            .map_err(during(&operation))
    }

    async fn groups(&self) -> Result<Vec<GroupRecord>, Error> {
        let rows: Vec<(String, i64)> = group::Entity::find()
            .select_only()
            .column(group::Column::Name)
            .column_as(member::Column::Host.count(), "members")
            .join(JoinType::LeftJoin, group::Relation::Member.def())
            .group_by(group::Column::Id)
            .group_by(group::Column::Name)
            .order_by_asc(group::Column::Name)
            .into_tuple()
            .all(&self.readers)
            .await
            .map_err(during("list groups"))?;
        Ok(rows
            .into_iter()
            .map(|(name, count)| GroupRecord {
                name,
                count: u32::try_from(count).unwrap_or(u32::MAX),
            })
            .collect())
    }
}
