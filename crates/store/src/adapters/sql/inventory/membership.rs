//! Groups and what is in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use muster_model::inventory::GroupName;
use muster_model::{ErrorKind, HostName};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect, Value,
};

use super::super::entity::{children, group, member};
use super::super::statement::{Fat, or_keep};
use super::super::translate::during;
use super::NAMES;
use crate::error::Error;

pub(super) async fn add_groups(transaction: &DatabaseTransaction, names: &[GroupName]) -> Result<u64, Error> {
    let names: BTreeSet<&str> = names.iter().map(GroupName::as_str).collect();
    let count = names.len() as u64;
    Fat {
        head: "INSERT INTO host_groups (name) VALUES",
        width: 1,
        fixed: "",
        tail: &or_keep(transaction.get_database_backend(), "name"),
    }
    .execute(transaction, names.into_iter().map(Value::from).collect())
    .await
    .map_err(during("add groups"))?;
    Ok(count)
}

pub(super) async fn remove_groups(
    transaction: &DatabaseTransaction,
    names: &[GroupName],
) -> Result<u64, Error> {
    let mut removed = 0;
    for names in names.chunks(NAMES) {
        // What is in them, and where they are in others, goes with them: the foreign keys cascade.
        removed += group::Entity::delete_many()
            .filter(group::Column::Name.is_in(names.iter().map(GroupName::as_str)))
            .exec(transaction)
            .await
            .map_err(during("remove groups"))?
            .rows_affected;
    }
    Ok(removed)
}

pub(super) async fn add_members(
    transaction: &DatabaseTransaction,
    pairs: &[(GroupName, HostName)],
) -> Result<u64, Error> {
    let ids = ids(transaction, pairs.iter().map(|(group, _)| group)).await?;
    let pairs: BTreeSet<(i64, &str)> = pairs
        .iter()
        .map(|(group, host)| Ok((id_of(&ids, group)?, host.as_str())))
        .collect::<Result<_, Error>>()?;
    let count = pairs.len() as u64;
    Fat {
        head: "INSERT INTO host_group_members (group_id, host) VALUES",
        width: 2,
        fixed: "",
        tail: &or_keep(transaction.get_database_backend(), "host"),
    }
    .execute(
        transaction,
        pairs
            .into_iter()
            .flat_map(|(group, host)| [group.into(), host.into()])
            .collect(),
    )
    .await
    .map_err(during("add hosts to groups"))?;
    Ok(count)
}

pub(super) async fn remove_members(
    transaction: &DatabaseTransaction,
    pairs: &[(GroupName, HostName)],
) -> Result<u64, Error> {
    let ids = ids(transaction, pairs.iter().map(|(group, _)| group)).await?;
    let mut of_group: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (group, host) in pairs {
        of_group
            .entry(id_of(&ids, group)?)
            .or_default()
            .push(host.as_str());
    }
    let mut removed = 0;
    for (group, hosts) in of_group {
        for hosts in hosts.chunks(NAMES) {
            removed += member::Entity::delete_many()
                .filter(member::Column::GroupId.eq(group))
                .filter(member::Column::Host.is_in(hosts.iter().copied()))
                .exec(transaction)
                .await
                .map_err(during("take hosts out of groups"))?
                .rows_affected;
        }
    }
    Ok(removed)
}

pub(super) async fn add_children(
    transaction: &DatabaseTransaction,
    pairs: &[(GroupName, GroupName)],
) -> Result<u64, Error> {
    let operation = "put groups into groups";
    let named = pairs.iter().flat_map(|(parent, child)| [parent, child]);
    let ids = ids(transaction, named).await?;
    let new: BTreeSet<(i64, i64)> = pairs
        .iter()
        .map(|(parent, child)| Ok((id_of(&ids, parent)?, id_of(&ids, child)?)))
        .collect::<Result<_, Error>>()?;
    let count = new.len() as u64;
    Fat {
        head: "INSERT INTO host_group_children (parent_id, child_id) VALUES",
        width: 2,
        fixed: "",
        tail: &or_keep(transaction.get_database_backend(), "child_id"),
    }
    .execute(
        transaction,
        new.into_iter()
            .flat_map(|(parent, child)| [parent.into(), child.into()])
            .collect(),
    )
    .await
    .map_err(during(operation))?;
    refuse_circles(transaction).await?;
    Ok(count)
}

pub(super) async fn remove_children(
    transaction: &DatabaseTransaction,
    pairs: &[(GroupName, GroupName)],
) -> Result<u64, Error> {
    let named = pairs.iter().flat_map(|(parent, child)| [parent, child]);
    let ids = ids(transaction, named).await?;
    let mut removed = 0;
    for (parent, child) in pairs {
        removed += children::Entity::delete_by_id((id_of(&ids, parent)?, id_of(&ids, child)?))
            .exec(transaction)
            .await
            .map_err(during("take groups out of groups"))?
            .rows_affected;
    }
    Ok(removed)
}

/// Refuses a group that holds itself, by way of others too. Nobody else changes groups meanwhile: the inventory's
/// counter is locked.
async fn refuse_circles(transaction: &DatabaseTransaction) -> Result<(), Error> {
    let operation = "put groups into groups";
    let rows: Vec<(i64, i64)> = children::Entity::find()
        .select_only()
        .columns([children::Column::ParentId, children::Column::ChildId])
        .into_tuple()
        .all(transaction)
        .await
        .map_err(during(operation))?;
    let Some(circle) = circle(&rows) else {
        return Ok(());
    };
    let names: Vec<(i64, String)> = group::Entity::find()
        .select_only()
        .columns([group::Column::Id, group::Column::Name])
        .filter(group::Column::Id.is_in(circle.iter().copied()))
        .into_tuple()
        .all(transaction)
        .await
        .map_err(during(operation))?;
    let names: HashMap<i64, String> = names.into_iter().collect();
    let way: Vec<&str> = circle
        .iter()
        .filter_map(|id| names.get(id).map(String::as_str))
        .collect();
    Err(Error::new(
        ErrorKind::Invalid,
        format!("put groups into groups: {}", way.join(" > ")),
    )
    .caused_by("a group would hold itself"))
}

/// Returns the groups of a circle in their order, the first again at the end; None where there is none.
fn circle(pairs: &[(i64, i64)]) -> Option<Vec<i64>> {
    let mut inside: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (parent, child) in pairs {
        inside.entry(*parent).or_default().push(*child);
    }
    let mut done: BTreeSet<i64> = BTreeSet::new();
    for start in inside.keys().copied() {
        // The way to where we are, and how many children of each group on it were walked.
        let mut way: Vec<(i64, usize)> = vec![(start, 0)];
        let mut on_way = BTreeSet::from([start]);
        if done.contains(&start) {
            continue;
        }
        while let Some((at, walked)) = way.last_mut() {
            let at = *at;
            let next = inside
                .get(&at)
                .and_then(|children| children.get(*walked))
                .copied();
            *walked += 1;
            match next {
                Some(next) if on_way.contains(&next) => {
                    let mut circle: Vec<i64> = way
                        .iter()
                        .map(|(id, _)| *id)
                        .skip_while(|id| *id != next)
                        .collect();
                    circle.push(next);
                    return Some(circle);
                }
                Some(next) if done.contains(&next) => {}
                Some(next) => {
                    way.push((next, 0));
                    on_way.insert(next);
                }
                None => {
                    done.insert(at);
                    on_way.remove(&at);
                    way.pop();
                }
            }
        }
    }
    None
}

async fn ids<'n>(
    transaction: &DatabaseTransaction,
    names: impl Iterator<Item = &'n GroupName>,
) -> Result<HashMap<String, i64>, Error> {
    let names: BTreeSet<&str> = names.map(GroupName::as_str).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let mut ids = HashMap::with_capacity(names.len());
    for names in names.chunks(NAMES) {
        let rows: Vec<(String, i64)> = group::Entity::find()
            .select_only()
            .columns([group::Column::Name, group::Column::Id])
            .filter(group::Column::Name.is_in(names.iter().copied()))
            .into_tuple()
            .all(transaction)
            .await
            .map_err(during("find groups"))?;
        ids.extend(rows);
    }
    Ok(ids)
}

fn id_of(ids: &HashMap<String, i64>, name: &GroupName) -> Result<i64, Error> {
    ids.get(name.as_str())
        .copied()
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("find the group '{name}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_wherever_it_begins_and_its_way_is_told() {
        type Row = (&'static [(i64, i64)], Option<Vec<i64>>);
        let table: [Row; 6] = [
            (&[], None),
            (&[(1, 1)], Some(vec![1, 1])),
            (&[(1, 2), (2, 1)], Some(vec![1, 2, 1])),
            (&[(1, 2), (1, 3), (2, 4), (3, 4)], None),
            (&[(1, 2), (2, 3), (3, 4), (4, 2)], Some(vec![2, 3, 4, 2])),
            (&[(9, 8), (8, 7), (1, 9), (7, 9)], Some(vec![9, 8, 7, 9])),
        ];
        for (pairs, way) in table {
            assert_eq!(circle(pairs), way, "{pairs:?}");
        }
    }

    #[test]
    fn a_chain_of_many_groups_is_walked_without_recursion() {
        let chain: Vec<(i64, i64)> = (0..100_000).map(|id| (id, id + 1)).collect();
        assert_eq!(circle(&chain), None);
    }
}
