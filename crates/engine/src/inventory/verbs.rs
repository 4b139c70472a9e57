//! Adding, listing and removing hosts and groups.

use std::collections::{BTreeSet, HashMap, HashSet};

use muster_model::host::HostRecord;
use muster_model::inventory::GroupName;
use muster_model::problem::Code;
use muster_model::wire::{GroupCount, GroupView, Members, Targets};
use muster_model::{ErrorKind, HostName, Problem, Target, pattern};
use muster_store::types::{Changed, Edit, Revision};

use super::import::check_labels;
use crate::core::Core;
use crate::fault;

pub(super) fn one(pattern: &str) -> Targets {
    Targets {
        hosts: vec![pattern.to_owned()],
        ..Targets::default()
    }
}

pub(super) fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

impl Core {
    /// Returns the hosts of the inventory among the targets, in their order; all of them by name where no pattern and
    /// no selector is given.
    pub(crate) async fn hosts(&self, targets: &Targets) -> Result<Vec<HostRecord>, Problem> {
        let inventory = &self.rooms.database.inventory;
        if targets.hosts.is_empty() && targets.exclude.is_empty() && targets.selector.is_none() {
            return inventory.hosts().await.map_err(|error| fault::of_store(&error));
        }
        let names = self.resolve(targets).await?;
        let found = inventory
            .hosts_named(&names)
            .await
            .map_err(|error| fault::of_store(&error))?;
        let mut found: HashMap<String, HostRecord> = found
            .into_iter()
            .map(|host| (host.name.to_string(), host))
            .collect();
        Ok(names.iter().filter_map(|name| found.remove(name)).collect())
    }

    pub(crate) async fn put_hosts(&self, hosts: Vec<HostRecord>, replace: bool) -> Result<(), Problem> {
        for host in &hosts {
            check(host)?;
        }
        let edit = if replace { Edit::PutHosts } else { Edit::AddHosts };
        let names: Vec<String> = hosts.iter().map(|host| host.name.to_string()).collect();
        match self.change(vec![edit(hosts)], None).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::AlreadyExists => Err(self.taken(&names).await?),
            Err(error) => Err(fault::of_store(&error)),
        }
    }

    /// Says which of these names is taken.
    async fn taken(&self, names: &[String]) -> Result<Problem, Problem> {
        let known = self.rooms.database.inventory.hosts_named(names).await;
        let known = known.map_err(|error| fault::of_store(&error))?;
        let Some(host) = known.iter().min_by_key(|host| &host.name) else {
            return Ok(Problem::new(
                Code::AlreadyExists,
                "the same host is named twice: nothing was added",
            ));
        };
        let told = format!("the host '{}' is in the inventory already", host.name);
        Ok(Problem::new(Code::AlreadyExists, told)
            .hint(format!("`muster hosts set {} …` changes it", host.name)))
    }

    pub(crate) async fn remove_hosts(&self, pattern: &str) -> Result<u64, Problem> {
        let names = self.resolve(&one(pattern)).await?;
        let inventory = &self.rooms.database.inventory;
        let known = inventory
            .hosts_named(&names)
            .await
            .map_err(|error| fault::of_store(&error))?;
        let known: HashSet<&str> = known.iter().map(|host| host.name.as_str()).collect();
        if let Some(missing) = names.iter().find(|name| !known.contains(name.as_str())) {
            return Err(Problem::new(
                Code::UnknownHost,
                format!("there is no host '{missing}' in the inventory: nothing was removed"),
            )
            .hint("`muster hosts list` lists the hosts"));
        }
        self.edit(vec![Edit::RemoveHosts(names)]).await
    }

    /// Makes changes; returns how much they were about, all together.
    async fn edit(&self, edits: Vec<Edit>) -> Result<u64, Problem> {
        match self.change(edits, None).await {
            Ok(changed) => Ok(changed.counts.iter().sum()),
            Err(error) => Err(fault::of_store(&error)),
        }
    }

    /// [`muster_store::Inventory::change`], and the copy hears of it.
    pub(super) async fn change(
        &self,
        edits: Vec<Edit>,
        seen: Option<Revision>,
    ) -> Result<Changed, muster_store::Error> {
        let changed = self.rooms.database.inventory.change(edits, seen).await?;
        self.copy.note_change();
        Ok(changed)
    }

    /// Returns the names of hosts and, behind `@`, of groups that begin with a text: for completion.
    pub(crate) async fn names(&self, prefix: &str, limit: u32) -> Result<Vec<String>, Problem> {
        let inventory = &self.rooms.database.inventory;
        let failed = |error: muster_store::Error| fault::of_store(&error);
        let Some(prefix) = prefix.strip_prefix('@') else {
            return inventory.host_names(prefix, limit).await.map_err(failed);
        };
        let membership = self.copy.membership(inventory.as_ref(), &self.tasks).await?;
        let mut names: Vec<String> = membership
            .groups()
            .filter(|name| name.as_str().starts_with(prefix))
            .map(|name| format!("@{name}"))
            .collect();
        names.sort();
        names.truncate(limit as usize);
        Ok(names)
    }

    pub(crate) async fn groups(&self) -> Result<Vec<GroupCount>, Problem> {
        let groups = self.rooms.database.inventory.groups_counted().await;
        Ok(groups
            .map_err(|error| fault::of_store(&error))?
            .into_iter()
            .map(|group| GroupCount {
                name: group.name,
                count: group.count,
                groups: group.groups,
            })
            .collect())
    }

    pub(crate) async fn group(&self, name: &str) -> Result<GroupView, Problem> {
        let inventory = &self.rooms.database.inventory;
        let group = inventory
            .group(name)
            .await
            .map_err(|error| fault::of_store(&error))?
            .ok_or_else(|| no_group(name))?;
        let hosts: Vec<String> = if group.groups.is_empty() {
            group.hosts.into_iter().map(String::from).collect()
        } else {
            let membership = self.copy.membership(inventory.as_ref(), &self.tasks).await?;
            let inside: BTreeSet<&HostName> = membership.hosts_in(name).unwrap_or_default();
            inside.into_iter().map(ToString::to_string).collect()
        };
        Ok(GroupView {
            name: group.name,
            count: u32::try_from(hosts.len()).unwrap_or(u32::MAX),
            hosts: pattern::fold(&hosts),
            groups: group.groups,
        })
    }

    pub(crate) async fn add_to_group(&self, name: &str, members: &Members) -> Result<GroupView, Problem> {
        let group = named(name)?;
        let hosts = self.members_of(&members.hosts).await?;
        let mut edits = vec![Edit::AddGroups(vec![group.clone()])];
        if !hosts.is_empty() {
            let pairs = hosts.into_iter().map(|host| (group.clone(), host)).collect();
            edits.push(Edit::AddMembers(pairs));
        }
        if !members.groups.is_empty() {
            let mut pairs = Vec::with_capacity(members.groups.len());
            for inner in &members.groups {
                let inner = named(inner.strip_prefix('@').unwrap_or(inner))?;
                self.group(inner.as_str()).await?;
                pairs.push((group.clone(), inner));
            }
            edits.push(Edit::AddChildren(pairs));
        }
        match self.change(edits, None).await {
            Ok(_) => self.group(name).await,
            Err(error) if error.kind == ErrorKind::Invalid && !members.groups.is_empty() => {
                Err(circle(&error))
            }
            Err(error) => Err(fault::of_store(&error)),
        }
    }

    /// Returns the hosts that patterns name, as names that a group may hold.
    async fn members_of(&self, patterns: &[String]) -> Result<Vec<HostName>, Problem> {
        if patterns.is_empty() {
            return Ok(Vec::new());
        }
        let targets = Targets {
            hosts: patterns.to_vec(),
            ..Targets::default()
        };
        let hosts = self.resolve(&targets).await?;
        let mut names = Vec::with_capacity(hosts.len());
        for host in &hosts {
            let target: Target = host
                .parse()
                .map_err(|error: muster_model::host::InvalidTarget| wrong(error.to_string()))?;
            if target.host.as_str() != host {
                return Err(wrong(format!(
                    "'{host}': a group has host names, without user, port or scheme"
                ))
                .hint("`muster hosts add NAME --user U --port P` says how a host is reached"));
            }
            names.push(target.host);
        }
        Ok(names)
    }

    /// Takes hosts and groups out of a group; the whole group goes where nothing is named. Returns how many were in it.
    pub(crate) async fn remove_from_group(&self, name: &str, members: &Members) -> Result<u64, Problem> {
        let view = self.group(name).await?;
        let group = view.name;
        if members.hosts.is_empty() && members.groups.is_empty() {
            self.edit(vec![Edit::RemoveGroups(vec![group])]).await?;
            return Ok(u64::from(view.count));
        }
        let mut edits = Vec::new();
        let hosts = self.members_of(&members.hosts).await?;
        if !hosts.is_empty() {
            let pairs = hosts.into_iter().map(|host| (group.clone(), host)).collect();
            edits.push(Edit::RemoveMembers(pairs));
        }
        let mut pairs = Vec::new();
        for inner in &members.groups {
            let inner = named(inner.strip_prefix('@').unwrap_or(inner))?;
            if !view.groups.contains(&inner) {
                return Err(wrong(format!(
                    "the group '{inner}' is not directly in the group '{name}'"
                ))
                .hint(format!("`muster groups show {name}` shows what is in it")));
            }
            pairs.push((group.clone(), inner));
        }
        if !pairs.is_empty() {
            edits.push(Edit::RemoveChildren(pairs));
        }
        self.edit(edits).await
    }
}

fn named(name: &str) -> Result<GroupName, Problem> {
    name.parse()
        .map_err(|error: muster_model::inventory::InvalidName| {
            wrong(error.to_string()).hint("`muster groups add web web[01-20]` makes the group 'web'")
        })
}

fn circle(error: &muster_store::Error) -> Problem {
    let way = error.operation.rsplit(": ").next().unwrap_or_default();
    wrong(format!("a group would hold itself: {way}"))
        .hint("take one of these groups out of the other first: `muster groups rm OUTER --group INNER`")
}

fn no_group(name: &str) -> Problem {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    Problem::new(Code::UnknownGroup, format!("there is no group '{shown}'"))
        .hint("`muster groups list` lists the groups; `muster groups add NAME HOSTS…` makes one")
}

/// Checks what is said of a host.
pub(super) fn check(host: &HostRecord) -> Result<(), Problem> {
    if let Some(address) = &host.address {
        let named: Result<HostName, _> = address.parse();
        if named.is_err() {
            let shown: String = address.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err(wrong(format!("'{shown}' is not an address (host {})", host.name)));
        }
    }
    if host.port == Some(0) {
        return Err(wrong(format!(
            "port 0 of host {}: a port is a number from 1 to 65535",
            host.name
        )));
    }
    if let Some(user) = &host.user
        && (user.is_empty()
            || user.starts_with('-')
            || user.chars().any(|c| c.is_control() || c.is_whitespace()))
    {
        return Err(wrong(format!(
            "the user of host {} is not a user name",
            host.name
        )));
    }
    check_labels(host)
}
