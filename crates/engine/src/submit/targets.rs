//! From patterns to hosts, and from hosts to how they are reached.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use muster_model::host::HostRecord;
use muster_model::pattern::{self, Groups};
use muster_model::problem::Code;
use muster_model::wire::Targets;
use muster_model::{Endpoint, Problem, Reach, Target, limits};

use crate::core::Core;
use crate::fault;
use crate::inventory::Membership;

/// The inventory as far as a pattern needs it, read before the pattern is.
#[derive(Default)]
pub(crate) struct Inventory {
    membership: Option<Arc<Membership>>,
    all: Vec<String>,
}

impl Groups for Inventory {
    fn members(&self, group: &str) -> Option<Vec<String>> {
        self.membership.as_ref()?.members(group)
    }

    fn all(&self) -> Vec<String> {
        self.all.clone()
    }
}

impl Core {
    /// Returns the hosts that targets name, in the order of the pattern language; possibly none.
    pub(crate) async fn resolve(&self, targets: &Targets) -> Result<Vec<String>, Problem> {
        match &targets.selector {
            None => self.expand_patterns(&targets.hosts, &targets.exclude).await,
            Some(selector) if targets.hosts.is_empty() && targets.exclude.is_empty() => {
                self.select(None, selector).await
            }
            Some(selector) => {
                let all = ["@*".to_owned()];
                let hosts = if targets.hosts.is_empty() {
                    &all
                } else {
                    targets.hosts.as_slice()
                };
                let hosts = self.expand_patterns(hosts, &targets.exclude).await?;
                self.select(Some(hosts), selector).await
            }
        }
    }

    /// Returns the hosts that patterns name.
    pub(crate) async fn expand_patterns(
        &self,
        hosts: &[String],
        exclude: &[String],
    ) -> Result<Vec<String>, Problem> {
        let inventory = self.inventory_for(hosts.iter().chain(exclude)).await?;
        // A million hosts take half a second: not on a thread that others wait for.
        let (hosts, exclude) = (hosts.to_vec(), exclude.to_vec());
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
            return Err(Problem::new(Code::EmptyTarget, no_host(targets))
                .hint("`muster hosts expand PATTERN --where SELECTOR --explain` shows what a target names"));
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
        if groups_named || all_named {
            inventory.membership = Some(self.copy.membership(store.as_ref(), &self.tasks).await?);
        }
        if all_named {
            let hosts = store.host_names("", u32::MAX).await;
            let mut all: BTreeSet<String> = hosts
                .map_err(|error| fault::of_store(&error))?
                .into_iter()
                .collect();
            if let Some(membership) = &inventory.membership {
                all.extend(membership.hosts().map(ToString::to_string));
            }
            inventory.all = all.into_iter().collect();
        }
        Ok(inventory)
    }
}

/// Says that targets name no host.
fn no_host(targets: &Targets) -> String {
    let shown = |text: &str| text.chars().take(200).collect::<String>();
    let mut told = match targets.hosts.as_slice() {
        [] if targets.selector.is_none() => return "the targets name no host".to_owned(),
        [] => "the inventory".to_owned(),
        hosts => format!("'{}'", shown(&hosts.join(" "))),
    };
    if !targets.exclude.is_empty() {
        told.push_str(&format!(" without '{}'", shown(&targets.exclude.join(" "))));
    }
    match &targets.selector {
        None => told.push_str(" names no host"),
        Some(selector) => told.push_str(&format!(" has no host where {}", shown(selector))),
    }
    told
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
        credential: record.and_then(|record| record.credential.clone()),
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
