//! A copy of the inventory in memory, so that what is asked of every host costs no walk through the database.
//!
//! Before it is used, the inventory's counter is asked for: one short query. What has changed since is read then, so an
//! answer is never older than its question.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use muster_model::compact;
use muster_model::inventory::{Group, GroupName};
use muster_model::pattern::Groups;
use muster_model::problem::Code;
use muster_model::selector::Host as _;
use muster_model::{HostName, Problem, Timestamp};
use muster_runtime::Tasks;
use muster_store::{HostChanges, Inventory, Revision};
use tokio::sync::{Mutex, Notify};

use crate::fault;

/// What a host said of itself, and when.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) facts: compact::Facts,
    pub(crate) at: Timestamp,
}

/// A host, found by its name.
#[derive(Clone, Debug)]
struct Named(Arc<compact::Host>);

impl Borrow<str> for Named {
    fn borrow(&self) -> &str {
        self.0.name()
    }
}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name().hash(state);
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for Named {}

/// Every host of the inventory, and what it said of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    hosts: HashMap<Named, Option<Arc<Said>>>,
}

impl Fleet {
    pub(crate) fn host(&self, name: &str) -> Option<(&compact::Host, Option<&Said>)> {
        let (host, said) = self.hosts.get_key_value(name)?;
        Some((host.0.as_ref(), said.as_deref()))
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = (&compact::Host, Option<&Said>)> {
        self.hosts
            .iter()
            .map(|(host, said)| (host.0.as_ref(), said.as_deref()))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(Borrow::borrow)
    }

    fn take(&mut self, changes: HostChanges) {
        if changes.whole {
            self.hosts = HashMap::with_capacity(changes.hosts.len());
        }
        for host in changes.hosts {
            let host = Named(Arc::new(host));
            // What is known under the name stays, and the key is the new one.
            let said = match changes.whole {
                true => None,
                false => self.hosts.remove(&host).flatten(),
            };
            self.hosts.insert(host, said);
        }
        for said in changes.facts {
            // Facts of a host that was removed since: the next reading drops both.
            if let Some(known) = self.hosts.get_mut(said.host.as_str()) {
                *known = Some(Arc::new(Said {
                    facts: said.facts,
                    at: said.gathered_at,
                }));
            }
        }
    }
}

/// Who is in which group, by way of other groups too.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    groups: HashMap<GroupName, Group>,
    /// Where in `held` the groups of a host stand.
    of_host: HashMap<HostName, Range<usize>>,
    held: Vec<Arc<str>>,
}

impl Membership {
    fn new(groups: Vec<Group>) -> Self {
        let groups: HashMap<GroupName, Group> = groups
            .into_iter()
            .map(|group| (group.name.clone(), group))
            .collect();
        let mut membership = Self {
            groups,
            ..Self::default()
        };
        let mut names: Vec<&GroupName> = membership.groups.keys().collect();
        names.sort();
        // Hosts get numbers: each name is looked up once for every group that it is in, and no more.
        let mut numbers: HashMap<&HostName, usize> = HashMap::new();
        let mut counts: Vec<usize> = Vec::new();
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for (group, name) in names.iter().enumerate() {
            for host in membership.all_in(name) {
                let next = counts.len();
                let number = *numbers.entry(host).or_insert(next);
                if number == next {
                    counts.push(0);
                }
                counts[number] += 1;
                pairs.push((number, group));
            }
        }
        let texts: Vec<Arc<str>> = names.iter().map(|name| Arc::from(name.as_str())).collect();
        let mut ranges: Vec<Range<usize>> = Vec::with_capacity(counts.len());
        let mut end = 0;
        for count in counts {
            ranges.push(end..end);
            end += count;
        }
        let mut held = vec![Arc::from(""); end];
        for (number, group) in pairs {
            let range = &mut ranges[number];
            held[range.end] = Arc::clone(&texts[group]);
            range.end += 1;
        }
        let of_host = numbers
            .into_iter()
            .map(|(host, number)| (host.clone(), ranges[number].clone()))
            .collect();
        membership.of_host = of_host;
        membership.held = held;
        membership
    }

    /// Returns the hosts of a group, each once.
    fn all_in(&self, name: &GroupName) -> Vec<&HostName> {
        match self.groups.get(name) {
            // Nothing to put together: most groups hold no others.
            Some(group) if group.groups.is_empty() => group.hosts.iter().collect(),
            _ => self
                .hosts_in(name.as_str())
                .unwrap_or_default()
                .into_iter()
                .collect(),
        }
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
    pub(crate) fn groups_of(&self, host: &str) -> &[Arc<str>] {
        let range = self.of_host.get(host).cloned().unwrap_or_default();
        self.held.get(range).unwrap_or_default()
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

/// The copy.
#[derive(Default)]
pub(crate) struct InMemory {
    fleet: Mutex<Option<(Revision, Arc<Fleet>)>>,
    membership: Mutex<Option<(Revision, Arc<Membership>)>>,
    changed: Notify,
}

impl InMemory {
    /// Notes that this process has changed the inventory.
    pub(crate) fn note_change(&self) {
        self.changed.notify_one();
    }

    /// Returns when this process has changed the inventory. Cancel-safe.
    pub(super) async fn until_changed(&self) {
        self.changed.notified().await;
    }

    /// Returns every host, as the inventory is now. Who asks while it is being read waits for that reading.
    pub(crate) async fn fleet(
        &self,
        inventory: &dyn Inventory,
        tasks: &Tasks,
    ) -> Result<Arc<Fleet>, Problem> {
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
        let work = move || {
            // Nobody else holds it, as a rule: then nothing is copied.
            Arc::make_mut(&mut fleet).take(changes);
            fleet
        };
        let fleet = tasks.blocking("copy hosts", work).await.ok_or_else(broken)?;
        *kept = Some((revision, Arc::clone(&fleet)));
        Ok(fleet)
    }

    /// Returns who is in which group, as the inventory is now.
    pub(crate) async fn membership(
        &self,
        inventory: &dyn Inventory,
        tasks: &Tasks,
    ) -> Result<Arc<Membership>, Problem> {
        let failed = |error: muster_store::Error| fault::of_store(&error);
        let mut kept = self.membership.lock().await;
        let revision = inventory.revision().await.map_err(failed)?;
        if let Some((seen, membership)) = kept.as_ref()
            && seen.groups == revision.groups
        {
            return Ok(Arc::clone(membership));
        }
        let groups = inventory.groups().await.map_err(failed)?;
        let work = move || Arc::new(Membership::new(groups));
        let membership = tasks.blocking("copy groups", work).await.ok_or_else(broken)?;
        *kept = Some((revision, Arc::clone(&membership)));
        Ok(membership)
    }
}

fn broken() -> Problem {
    Problem::new(Code::Internal, "the inventory could not be copied: see the log")
}

#[cfg(test)]
mod tests {
    use muster_model::facts::Facts;
    use muster_model::host::HostRecord;
    use muster_store::{Edit, HostFacts};

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
        let of: Vec<&str> = membership.groups_of("w").iter().map(AsRef::as_ref).collect();
        assert_eq!(of, ["de", "eu", "fr", "web"]);
        assert!(membership.groups_of("nobody").is_empty());
    }

    fn host(name: &str, role: &str) -> HostRecord {
        HostRecord {
            labels: [("role".to_owned(), role.to_owned())].into(),
            ..HostRecord::named(name.parse().expect("a name"))
        }
    }

    fn hosts(numbers: std::ops::Range<usize>, role: &str) -> Vec<HostRecord> {
        numbers.map(|number| host(&format!("n{number}"), role)).collect()
    }

    fn said(name: &str, cpus: u32) -> HostFacts {
        HostFacts {
            host: name.parse().expect("a name"),
            facts: Facts {
                cpus: Some(cpus),
                ..Facts::default()
            },
            gathered_at: Timestamp(5),
        }
    }

    /// A database in a file, whose readers and writer do not wait for each other, and a copy of it.
    struct House {
        _folder: tempfile::TempDir,
        tasks: Tasks,
        inventory: Arc<dyn Inventory>,
        copy: InMemory,
    }

    impl House {
        async fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let url = format!("sqlite://{}/muster.db", folder.path().display());
            let tasks = Tasks::new();
            let opened = muster_store::open(&url, &tasks).await.expect("a database");
            Self {
                _folder: folder,
                tasks,
                inventory: opened.inventory,
                copy: InMemory::default(),
            }
        }

        async fn change(&self, edit: Edit) {
            self.inventory.change(vec![edit], None).await.expect("changed");
        }

        async fn fleet(&self) -> Arc<Fleet> {
            let fleet = self.copy.fleet(self.inventory.as_ref(), &self.tasks).await;
            fleet.expect("hosts")
        }

        async fn membership(&self) -> Arc<Membership> {
            let membership = self.copy.membership(self.inventory.as_ref(), &self.tasks).await;
            membership.expect("groups")
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_asks_during_the_first_reading_waits_for_it() {
        let house = House::new().await;
        house.change(Edit::AddHosts(hosts(0..3_000, "web"))).await;
        let (one, other) = tokio::join!(house.fleet(), house.fleet());
        assert_eq!(one.hosts().count(), 3_000);
        assert!(Arc::ptr_eq(&one, &other), "it was read once");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_change_during_a_reading_is_in_the_next_answer() {
        let house = House::new().await;
        for round in 0..10 {
            let new = hosts(round * 500..(round + 1) * 500, "web");
            tokio::join!(house.change(Edit::AddHosts(new)), house.fleet());
            assert_eq!(house.fleet().await.hosts().count(), (round + 1) * 500);
        }
    }

    #[tokio::test]
    async fn the_copy_follows_hosts_facts_and_groups() {
        let house = House::new().await;
        house.change(Edit::AddHosts(hosts(0..3, "web"))).await;
        let facts = |facts| house.inventory.put_facts(facts);
        facts(vec![said("n0", 4), said("n1", 4)]).await.expect("kept");
        let cpus = |fleet: &Fleet, name: &str| fleet.host(name)?.1?.facts.record().cpus;
        let role = |fleet: &Fleet, name: &str| fleet.host(name)?.0.label("role").map(str::to_owned);
        let before = house.fleet().await;
        assert_eq!(
            ["n0", "n1", "n2"].map(|name| cpus(&before, name)),
            [Some(4), Some(4), None]
        );

        house.change(Edit::PutHosts(vec![host("n0", "db")])).await;
        facts(vec![said("n1", 8)]).await.expect("kept");
        let after = house.fleet().await;
        assert_eq!(role(&after, "n0").as_deref(), Some("db"));
        assert_eq!(["n0", "n1"].map(|name| cpus(&after, name)), [Some(4), Some(8)]);
        assert_eq!(
            role(&before, "n0").as_deref(),
            Some("web"),
            "who has an answer keeps it"
        );

        house.change(Edit::RemoveHosts(vec!["n0".to_owned()])).await;
        house.change(Edit::AddHosts(vec![host("n0", "new")])).await;
        let last = house.fleet().await;
        assert_eq!(
            (cpus(&last, "n0"), role(&last, "n0").as_deref()),
            (None, Some("new"))
        );

        let [web, n1] = ["web", "n1"];
        house
            .change(Edit::AddGroups(vec![web.parse().expect("a name")]))
            .await;
        assert!(house.membership().await.groups_of(n1).is_empty());
        let pair = (web.parse().expect("a name"), n1.parse().expect("a name"));
        house.change(Edit::AddMembers(vec![pair])).await;
        assert_eq!(house.membership().await.groups_of(n1), [Arc::from(web)]);
    }
}
