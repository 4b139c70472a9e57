//! A copy of the inventory in memory, so that what is asked of every host costs no walk through the database.
//!
//! Before it is used, the inventory's counter is asked for: one short query. What has changed since is read then, so an
//! answer is never older than its question. Nothing is read before somebody asks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use muster_model::host::HostRecord;
use muster_model::inventory::{Group, GroupName};
use muster_model::pattern::Groups;
use muster_model::{HostName, Problem};
use muster_store::{HostChanges, HostFacts, Inventory, Revision};
use tokio::sync::Mutex;

use crate::fault;

/// A host with what it said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) record: Arc<HostRecord>,
    pub(crate) facts: Option<Arc<HostFacts>>,
}

/// Every host of the inventory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    hosts: HashMap<HostName, Known>,
}

impl Fleet {
    pub(crate) fn host(&self, name: &str) -> Option<&Known> {
        self.hosts.get(name)
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = &Known> {
        self.hosts.values()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &HostName> {
        self.hosts.keys()
    }

    fn take(&mut self, changes: HostChanges) {
        if changes.whole {
            self.hosts.clear();
        }
        for record in changes.hosts {
            let record = Arc::new(record);
            match self.hosts.get_mut(record.name.as_str()) {
                Some(known) => known.record = record,
                None => {
                    let known = Known {
                        record: Arc::clone(&record),
                        facts: None,
                    };
                    self.hosts.insert(record.name.clone(), known);
                }
            }
        }
        for facts in changes.facts {
            // Facts of a host that was removed since: the next reading drops both.
            if let Some(known) = self.hosts.get_mut(facts.host.as_str()) {
                known.facts = Some(Arc::new(facts));
            }
        }
    }
}

/// Who is in which group, by way of other groups too.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    groups: HashMap<GroupName, Group>,
    of_host: HashMap<HostName, Arc<[GroupName]>>,
}

impl Membership {
    fn new(groups: Vec<Group>) -> Self {
        let groups: HashMap<GroupName, Group> = groups
            .into_iter()
            .map(|group| (group.name.clone(), group))
            .collect();
        let mut membership = Self {
            groups,
            of_host: HashMap::new(),
        };
        let mut of_host: HashMap<HostName, Vec<GroupName>> = HashMap::new();
        let mut names: Vec<&GroupName> = membership.groups.keys().collect();
        names.sort();
        for name in names {
            for host in membership.hosts_in(name.as_str()).unwrap_or_default() {
                of_host.entry(host.clone()).or_default().push(name.clone());
            }
        }
        membership.of_host = of_host
            .into_iter()
            .map(|(host, groups)| (host, Arc::from(groups)))
            .collect();
        membership
    }

    /// Returns the different hosts of a group and of the groups that it holds; None where there is no such group.
    pub(crate) fn hosts_in(&self, name: &str) -> Option<BTreeSet<&HostName>> {
        let group = self.groups.get(name)?;
        let mut hosts = BTreeSet::new();
        let mut seen = BTreeSet::from([&group.name]);
        let mut left = vec![group];
        while let Some(group) = left.pop() {
            hosts.extend(&group.hosts);
            for inner in &group.groups {
                if seen.insert(inner) {
                    left.extend(self.groups.get(inner));
                }
            }
        }
        Some(hosts)
    }

    /// Returns the groups that a host is in, by name.
    pub(crate) fn groups_of(&self, host: &str) -> &[GroupName] {
        self.of_host.get(host).map_or(&[], |groups| groups)
    }

    /// Returns the names of the groups.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &GroupName> {
        self.groups.keys()
    }

    /// Returns every host that is in a group.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &HostName> {
        self.of_host.keys()
    }
}

impl Groups for Membership {
    fn members(&self, group: &str) -> Option<Vec<String>> {
        let hosts = self.hosts_in(group)?;
        Some(hosts.into_iter().map(ToString::to_string).collect())
    }

    fn all(&self) -> Vec<String> {
        self.hosts().map(ToString::to_string).collect()
    }
}

/// The copy. Each half is read when it is first asked for.
#[derive(Default)]
pub(crate) struct InMemory {
    fleet: Mutex<Option<(Revision, Arc<Fleet>)>>,
    membership: Mutex<Option<(Revision, Arc<Membership>)>>,
}

impl InMemory {
    /// Returns every host, as the inventory is now.
    pub(crate) async fn fleet(&self, inventory: &dyn Inventory) -> Result<Arc<Fleet>, Problem> {
        let mut kept = self.fleet.lock().await;
        let seen = kept.as_ref().map(|(revision, _)| *revision);
        let changes = inventory
            .changed_since(seen)
            .await
            .map_err(|error| fault::of_store(&error))?;
        if let Some((revision, fleet)) = kept.as_ref()
            && *revision == changes.revision
        {
            return Ok(Arc::clone(fleet));
        }
        let (_, mut fleet) = kept.take().unwrap_or_default();
        let revision = changes.revision;
        // Nobody else holds it, as a rule: then nothing is copied.
        Arc::make_mut(&mut fleet).take(changes);
        *kept = Some((revision, Arc::clone(&fleet)));
        Ok(fleet)
    }

    /// Returns who is in which group, as the inventory is now.
    pub(crate) async fn membership(&self, inventory: &dyn Inventory) -> Result<Arc<Membership>, Problem> {
        let failed = |error: muster_store::Error| fault::of_store(&error);
        let mut kept = self.membership.lock().await;
        let revision = inventory.revision().await.map_err(failed)?;
        if let Some((seen, membership)) = kept.as_ref()
            && seen.groups == revision.groups
        {
            return Ok(Arc::clone(membership));
        }
        let groups = inventory.groups().await.map_err(failed)?;
        let membership = Arc::new(Membership::new(groups));
        *kept = Some((revision, Arc::clone(&membership)));
        Ok(membership)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, hosts: &[&str], groups: &[&str]) -> Group {
        Group {
            name: name.parse().expect("a name"),
            hosts: hosts.iter().map(|host| host.parse().expect("a name")).collect(),
            groups: groups
                .iter()
                .map(|group| group.parse().expect("a name"))
                .collect(),
        }
    }

    #[test]
    fn a_group_has_the_hosts_of_the_groups_in_it_each_once() {
        let membership = Membership::new(vec![
            group("eu", &["x"], &["fr", "de"]),
            group("fr", &["a", "b"], &["web"]),
            group("de", &["b", "c"], &["web"]),
            group("web", &["w"], &[]),
            group("none", &[], &[]),
        ]);
        let members = |name: &str| membership.members(name);
        assert_eq!(
            members("eu"),
            Some(["a", "b", "c", "w", "x"].map(String::from).to_vec())
        );
        assert_eq!(members("none"), Some(Vec::new()));
        assert_eq!(members("nobody"), None);
        let of: Vec<&str> = membership.groups_of("w").iter().map(GroupName::as_str).collect();
        assert_eq!(of, ["de", "eu", "fr", "web"]);
        assert!(membership.groups_of("nobody").is_empty());
    }
}
