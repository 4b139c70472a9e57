//! Reading hosts, facts and groups.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use muster_model::HostName;
use muster_model::host::HostRecord;
use muster_model::inventory::Group;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};

use super::super::entity::{children, facts, group, host, member};
use super::super::record;
use super::super::translate::during;
use super::lines::Lines;
use super::{NAMES, revision};
use crate::error::Error;
use crate::types::{GroupRecord, HostChanges, HostFacts, KnownFacts, Revision};

pub(super) async fn host(db: &DatabaseConnection, name: &str) -> Result<Option<HostRecord>, Error> {
    host::Entity::find_by_id(name)
        .one(db)
        .await
        .map_err(during(&format!("read host '{name}'")))?
        .map(record::host)
        .transpose()
}

pub(super) async fn hosts_named(db: &DatabaseConnection, names: &[String]) -> Result<Vec<HostRecord>, Error> {
    let mut found = Vec::new();
    for names in pieces(names).chunks(NAMES) {
        let rows = host::Entity::find()
            .filter(host::Column::Name.is_in(names.iter().copied()))
            .all(db)
            .await
            .map_err(during("read hosts"))?;
        for row in rows {
            found.push(record::host(row)?);
        }
    }
    Ok(found)
}

pub(super) async fn facts_named(db: &DatabaseConnection, names: &[String]) -> Result<Vec<HostFacts>, Error> {
    let mut found = Vec::new();
    for names in pieces(names).chunks(NAMES) {
        let rows = facts::Entity::find()
            .filter(facts::Column::Host.is_in(names.iter().copied()))
            .all(db)
            .await
            .map_err(during("read facts"))?;
        for row in rows {
            found.push(record::facts(row)?);
        }
    }
    Ok(found)
}

fn pieces(names: &[String]) -> Vec<&str> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    names.into_iter().collect()
}

/// The hosts, each as `T`.
const fn host_lines<T>(read: fn(&str) -> Result<T, Error>) -> Lines<T> {
    Lines {
        operation: "read the hosts of the inventory",
        table: "hosts",
        fields: "name, coalesce(address, '\u{1d}'), coalesce(login, '\u{1d}'), coalesce(port, 0), \
                 coalesce(reach, '\u{1d}'), coalesce(credential, '\u{1d}'), labels",
        read,
    }
}

const FACTS: Lines<KnownFacts> = Lines {
    operation: "read the facts of the inventory",
    table: "host_facts",
    fields: "host, gathered_at, facts",
    read: record::facts_line,
};

const MEMBERS: Lines<(i64, HostName)> = Lines {
    operation: "read groups",
    table: "host_group_members",
    fields: "group_id, host",
    read: record::member_line,
};

pub(super) async fn hosts(db: &DatabaseConnection) -> Result<Vec<HostRecord>, Error> {
    let mut hosts = host_lines(record::whole_host_line).all(db, None).await?;
    hosts.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(hosts)
}

pub(super) async fn host_names(
    db: &DatabaseConnection,
    prefix: &str,
    limit: u32,
) -> Result<Vec<String>, Error> {
    let mut query = host::Entity::find()
        .select_only()
        .column(host::Column::Name)
        .filter(host::Column::Name.gte(prefix));
    if let Some(after) = after_prefix(prefix) {
        query = query.filter(host::Column::Name.lt(after));
    }
    query
        .order_by_asc(host::Column::Name)
        .limit(u64::from(limit))
        .into_tuple()
        .all(db)
        .await
        .map_err(during("list host names"))
}

/// Returns the first text that is greater than every one with this prefix; None where there is none.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

pub(super) async fn changed_since(
    db: &DatabaseConnection,
    seen: Option<Revision>,
) -> Result<HostChanges, Error> {
    // Before the rows: what changes meanwhile comes again the next time.
    let revision = revision::read(db).await?;
    let whole = seen.is_none_or(|seen| seen.removed != revision.removed);
    let after = if whole { 0 } else { seen.map_or(0, |seen| seen.now) };
    let mut changes = HostChanges {
        revision,
        whole,
        ..HostChanges::default()
    };
    if after >= revision.now {
        return Ok(changes);
    }
    let after = (!whole).then_some(after);
    let hosts = host_lines(record::host_line);
    (changes.hosts, changes.facts) = tokio::try_join!(hosts.all(db, after), FACTS.all(db, after))?;
    Ok(changes)
}

pub(super) async fn group(db: &DatabaseConnection, name: &str) -> Result<Option<Group>, Error> {
    let operation = format!("read group '{name}'");
    let found = group::Entity::find()
        .filter(group::Column::Name.eq(name))
        .one(db)
        .await
        .map_err(during(&operation))?;
    let Some(found) = found else {
        return Ok(None);
    };
    let hosts: Vec<String> = member::Entity::find()
        .select_only()
        .column(member::Column::Host)
        .filter(member::Column::GroupId.eq(found.id))
        .order_by_asc(member::Column::Host)
        .into_tuple()
        .all(db)
        .await
        .map_err(during(&operation))?;
    let inside: Vec<i64> = children::Entity::find()
        .select_only()
        .column(children::Column::ChildId)
        .filter(children::Column::ParentId.eq(found.id))
        .into_tuple()
        .all(db)
        .await
        .map_err(during(&operation))?;
    let mut groups = Vec::with_capacity(inside.len());
    for ids in inside.chunks(NAMES) {
        let names: Vec<String> = group::Entity::find()
            .select_only()
            .column(group::Column::Name)
            .filter(group::Column::Id.is_in(ids.iter().copied()))
            .into_tuple()
            .all(db)
            .await
            .map_err(during(&operation))?;
        for name in names {
            groups.push(record::group_name(name)?);
        }
    }
    groups.sort();
    Ok(Some(Group {
        name: record::group_name(found.name)?,
        hosts: hosts
            .into_iter()
            .map(record::host_name)
            .collect::<Result<_, _>>()?,
        groups,
    }))
}

pub(super) async fn groups(db: &DatabaseConnection) -> Result<Vec<Group>, Error> {
    let operation = "read groups";
    let rows = group::Entity::find().all(db).await.map_err(during(operation))?;
    let mut names = HashMap::with_capacity(rows.len());
    let mut groups = BTreeMap::new();
    for row in rows {
        let name = record::group_name(row.name)?;
        names.insert(row.id, name.clone());
        groups.insert(
            row.id,
            Group {
                name,
                hosts: Vec::new(),
                groups: Vec::new(),
            },
        );
    }
    for (id, host) in MEMBERS.all(db, None).await? {
        // A group that was made since has its turn the next time.
        if let Some(group) = groups.get_mut(&id) {
            group.hosts.push(host);
        }
    }
    for (parent, child) in nested(db, operation).await? {
        if let (Some(group), Some(child)) = (groups.get_mut(&parent), names.get(&child)) {
            group.groups.push(child.clone());
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    for group in &mut groups {
        group.hosts.sort_unstable();
        group.groups.sort();
    }
    groups.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(groups)
}

async fn nested(db: &DatabaseConnection, operation: &str) -> Result<Vec<(i64, i64)>, Error> {
    children::Entity::find()
        .select_only()
        .columns([children::Column::ParentId, children::Column::ChildId])
        .into_tuple()
        .all(db)
        .await
        .map_err(during(operation))
}

pub(super) async fn groups_counted(db: &DatabaseConnection) -> Result<Vec<GroupRecord>, Error> {
    let operation = "list groups";
    // Most groups hold no others: their hosts are counted along the key, without a look at a single name twice.
    let direct = "SELECT g.id, g.name, COUNT(m.host) FROM host_groups g \
         LEFT JOIN host_group_members m ON m.group_id = g.id GROUP BY g.id, g.name ORDER BY g.name";
    let rows = db
        .query_all_raw(Statement::from_string(db.get_database_backend(), direct))
        .await
        .map_err(during(operation))?;
    let mut inside: HashMap<i64, u32> = HashMap::new();
    for (parent, _) in nested(db, operation).await? {
        *inside.entry(parent).or_default() += 1;
    }
    let deep = if inside.is_empty() {
        HashMap::new()
    } else {
        counted_deep(db, operation).await?
    };
    let mut groups: Vec<GroupRecord> = rows
        .into_iter()
        .map(|row| {
            let (id, name, hosts): (i64, String, i64) =
                row.try_get_many_by_index().map_err(during(operation))?;
            Ok(GroupRecord {
                name: record::group_name(name)?,
                count: u32::try_from(deep.get(&id).copied().unwrap_or(hosts)).unwrap_or(u32::MAX),
                groups: inside.get(&id).copied().unwrap_or(0),
            })
        })
        .collect::<Result<_, Error>>()?;
    // Engines sort texts in their own ways.
    groups.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(groups)
}

/// Counts the different hosts of each group that holds others, all the way down.
async fn counted_deep(db: &DatabaseConnection, operation: &str) -> Result<HashMap<i64, i64>, Error> {
    let sql = "WITH RECURSIVE inside (top, id) AS (\
         SELECT parent_id, parent_id FROM host_group_children \
         UNION SELECT i.top, c.child_id FROM inside i JOIN host_group_children c ON c.parent_id = i.id) \
         SELECT i.top, COUNT(DISTINCT m.host) FROM inside i \
         LEFT JOIN host_group_members m ON m.group_id = i.id GROUP BY i.top";
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await
        .map_err(during(operation))?
        .into_iter()
        .map(|row| row.try_get_many_by_index().map_err(during(operation)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_every_text_with_a_prefix() {
        let table = [
            ("", None),
            ("web", Some("wec")),
            ("ü", Some("ý")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
        ];
        for (prefix, after) in table {
            assert_eq!(after_prefix(prefix).as_deref(), after, "{prefix}");
        }
    }
}
