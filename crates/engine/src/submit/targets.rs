//! From patterns to hosts, and from hosts to how they are reached.

use std::collections::{BTreeSet, HashMap};

use muster_model::host::HostRecord;
use muster_model::pattern::{self, Groups};
use muster_model::problem::Code;
use muster_model::wire::Targets;
use muster_model::{Endpoint, Problem, Reach, Target, limits};

use crate::core::Core;
use crate::fault;

/// The inventory as far as a pattern needs it, read before the pattern is.
#[derive(Default)]
pub(crate) struct Inventory {
    groups: HashMap<String, Vec<String>>,
    all: Vec<String>,
}

impl Groups for Inventory {
    fn members(&self, group: &str) -> Option<Vec<String>> {
        self.groups.get(group).cloned()
    }

    fn all(&self) -> Vec<String> {
        self.all.clone()
    }
}

impl Core {
    /// Returns the hosts that patterns name, in the order of the pattern language; possibly none.
    pub(crate) async fn resolve(&self, targets: &Targets) -> Result<Vec<String>, Problem> {
        let inventory = self
            .inventory_for(targets.hosts.iter().chain(&targets.exclude))
            .await?;
        // A million hosts take half a second: not on a thread that others wait for.
        let Targets { hosts, exclude } = targets.clone();
        let expand = move || pattern::expand_all(&hosts, &exclude, &inventory);
        let expanded = self.tasks.blocking("expand a pattern", expand).await;
        expanded
            .ok_or_else(|| Problem::new(Code::Internal, "the pattern could not be expanded: see the log"))?
            .map_err(|error| Problem::new(error.code(), error.to_string()).hint(hint_for(error.code())))
    }

    /// Returns the hosts of a task: at least one, at most the limit.
    pub(crate) async fn targets(&self, targets: &Targets) -> Result<Vec<(String, Endpoint)>, Problem> {
        let hosts = self.resolve(targets).await?;
        if hosts.is_empty() {
            let named: String = targets.hosts.join(" ").chars().take(200).collect();
            let without: String = targets.exclude.join(" ").chars().take(200).collect();
            let without = if without.is_empty() {
                without
            } else {
                format!(" without '{without}'")
            };
            return Err(
                Problem::new(Code::EmptyTarget, format!("'{named}'{without} names no host"))
                    .hint("`muster hosts expand PATTERN` shows what a pattern names"),
            );
        }
        if hosts.len() as u64 > limits::HOSTS_PER_TASK {
            let count = hosts.len();
            return Err(Problem::new(
                Code::TargetTooLarge,
                format!(
                    "the targets are {count} hosts: a task has at most {}",
                    limits::HOSTS_PER_TASK
                ),
            )
            .hint("split the hosts over several tasks"));
        }
        self.endpoints(hosts).await
    }

    async fn endpoints(&self, hosts: Vec<String>) -> Result<Vec<(String, Endpoint)>, Problem> {
        let mut parsed = Vec::with_capacity(hosts.len());
        let mut names = BTreeSet::new();
        for host in hosts {
            let target: Target = host.parse().map_err(|error: muster_model::host::InvalidTarget| {
                Problem::new(Code::InvalidPattern, error.to_string())
                    .hint("a target is a name, an address, user@host:port or a pattern of these")
            })?;
            if target.reach == Some(Reach::Agent) {
                return Err(Problem::new(
                    Code::InvalidRequest,
                    format!("'{host}': this version does not reach hosts by an agent"),
                )
                .hint("use ssh:// or the plain name"));
            }
            names.insert(target.host.to_string());
            parsed.push((host, target));
        }
        let names: Vec<String> = names.into_iter().collect();
        let known = self.rooms.database.inventory.hosts_named(&names).await;
        let known: HashMap<String, HostRecord> = known
            .map_err(|error| fault::of_store(&error))?
            .into_iter()
            .map(|host| (host.name.to_string(), host))
            .collect();
        Ok(parsed
            .into_iter()
            .map(|(name, target)| {
                let record = known.get(target.host.as_str());
                (name, endpoint(target, record))
            })
            .collect())
    }

    /// Reads what the patterns may refer to: nothing, unless one speaks of groups or wildcards.
    pub(crate) async fn inventory_for(
        &self,
        patterns: impl Iterator<Item = &String>,
    ) -> Result<Inventory, Problem> {
        let mut groups_named = false;
        let mut all_named = false;
        for pattern in patterns {
            groups_named |= pattern.contains('@');
            all_named |= pattern.contains("@*") || pattern.contains(['*', '?']);
        }
        let store = &self.rooms.database.inventory;
        let mut inventory = Inventory::default();
        if groups_named {
            for group in store.groups().await.map_err(|error| fault::of_store(&error))? {
                let hosts = store
                    .group(&group.name)
                    .await
                    .map_err(|error| fault::of_store(&error))?;
                inventory.groups.insert(group.name, hosts.unwrap_or_default());
            }
        }
        if all_named {
            let hosts = store.hosts().await.map_err(|error| fault::of_store(&error))?;
            let mut all: BTreeSet<String> = hosts.into_iter().map(|host| host.name.to_string()).collect();
            all.extend(inventory.groups.values().flatten().cloned());
            inventory.all = all.into_iter().collect();
        }
        Ok(inventory)
    }
}

/// What was typed goes before what the inventory says.
fn endpoint(target: Target, record: Option<&HostRecord>) -> Endpoint {
    let reach = target
        .reach
        .or(record.and_then(|record| record.reach))
        .unwrap_or(Reach::Ssh);
    Endpoint {
        reach,
        host: target.host.to_string(),
        address: record.and_then(|record| record.address.clone()),
        user: target
            .user
            .or_else(|| record.and_then(|record| record.user.clone())),
        port: target.port.or_else(|| record.and_then(|record| record.port)),
        credential: None,
    }
}

fn hint_for(code: Code) -> &'static str {
    match code {
        Code::UnknownGroup => {
            "`muster groups list` lists the groups; `muster groups add NAME HOSTS…` makes one"
        }
        Code::TargetTooLarge => "a pattern names at most 1,000,000 hosts: split it over several tasks",
        _ => {
            "patterns look like web[01-20,25], rack[1-4]node[01-16], @group, a!b, a&b, a^b: see docs/guide/patterns.md"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_goes_before_the_inventory() {
        let record = HostRecord {
            name: "web1".parse().expect("a name"),
            address: Some("10.0.0.1".into()),
            user: Some("deploy".into()),
            port: Some(2222),
            reach: None,
            labels: Default::default(),
            credential: None,
        };
        let typed = endpoint("root@web1".parse().expect("a target"), Some(&record));
        assert_eq!(typed.user.as_deref(), Some("root"));
        assert_eq!(
            (typed.port, typed.address.as_deref()),
            (Some(2222), Some("10.0.0.1"))
        );
        let plain = endpoint("web2".parse().expect("a target"), None);
        assert_eq!((plain.reach, plain.user, plain.port), (Reach::Ssh, None, None));
        assert_eq!(
            endpoint("localhost".parse().expect("a target"), None).reach,
            Reach::Local
        );
    }
}
