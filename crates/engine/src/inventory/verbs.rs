//! Adding, listing and removing hosts and groups.

use muster_model::host::HostRecord;
use muster_model::problem::Code;
use muster_model::wire::{GroupView, Targets};
use muster_model::{HostName, Problem, Target, pattern};

use crate::core::Core;
use crate::fault;

fn one(pattern: &str) -> Targets {
    Targets {
        hosts: vec![pattern.to_owned()],
        exclude: Vec::new(),
    }
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

impl Core {
    pub(crate) async fn hosts(&self, pattern: Option<&str>) -> Result<Vec<HostRecord>, Problem> {
        let inventory = &self.rooms.database.inventory;
        let Some(pattern) = pattern else {
            return inventory.hosts().await.map_err(|error| fault::of_store(&error));
        };
        let names = self.resolve(&one(pattern)).await?;
        let found = inventory
            .hosts_named(&names)
            .await
            .map_err(|error| fault::of_store(&error))?;
        let mut found: std::collections::HashMap<String, HostRecord> = found
            .into_iter()
            .map(|host| (host.name.to_string(), host))
            .collect();
        Ok(names.iter().filter_map(|name| found.remove(name)).collect())
    }

    pub(crate) async fn put_hosts(&self, hosts: Vec<HostRecord>, replace: bool) -> Result<(), Problem> {
        let mut names = Vec::with_capacity(hosts.len());
        for host in &hosts {
            check(host)?;
            names.push(host.name.to_string());
        }
        let inventory = &self.rooms.database.inventory;
        if !replace {
            let known = inventory
                .hosts_named(&names)
                .await
                .map_err(|error| fault::of_store(&error))?;
            if let Some(host) = known.first() {
                return Err(Problem::new(
                    Code::AlreadyExists,
                    format!("the host '{}' is in the inventory already", host.name),
                )
                .hint(format!("`muster hosts set {} …` changes it", host.name)));
            }
        }
        inventory
            .put_hosts(hosts)
            .await
            .map_err(|error| fault::of_store(&error))
    }

    pub(crate) async fn remove_hosts(&self, pattern: &str) -> Result<u64, Problem> {
        let names = self.resolve(&one(pattern)).await?;
        let inventory = &self.rooms.database.inventory;
        let known = inventory
            .hosts_named(&names)
            .await
            .map_err(|error| fault::of_store(&error))?;
        let known: std::collections::HashSet<&str> = known.iter().map(|host| host.name.as_str()).collect();
        if let Some(missing) = names.iter().find(|name| !known.contains(name.as_str())) {
            return Err(Problem::new(
                Code::UnknownHost,
                format!("there is no host '{missing}' in the inventory: nothing was removed"),
            )
            .hint("`muster hosts list` lists the hosts"));
        }
        inventory
            .remove_hosts(&names)
            .await
            .map_err(|error| fault::of_store(&error))
    }

    pub(crate) async fn groups(&self) -> Result<Vec<GroupView>, Problem> {
        let inventory = &self.rooms.database.inventory;
        let mut views = Vec::new();
        for group in inventory
            .groups()
            .await
            .map_err(|error| fault::of_store(&error))?
        {
            let hosts = inventory
                .group(&group.name)
                .await
                .map_err(|error| fault::of_store(&error))?;
            let hosts = pattern::fold(&hosts.unwrap_or_default());
            views.push(GroupView {
                name: group.name,
                count: group.count,
                hosts,
            });
        }
        Ok(views)
    }

    pub(crate) async fn group(&self, name: &str) -> Result<GroupView, Problem> {
        let found = self.rooms.database.inventory.group(name).await;
        let hosts = found
            .map_err(|error| fault::of_store(&error))?
            .ok_or_else(|| no_group(name))?;
        Ok(GroupView {
            name: name.to_owned(),
            count: u32::try_from(hosts.len()).unwrap_or(u32::MAX),
            hosts: pattern::fold(&hosts),
        })
    }

    pub(crate) async fn add_to_group(&self, name: &str, patterns: &[String]) -> Result<GroupView, Problem> {
        let fits = !name.is_empty()
            && name.len() <= 64
            && !name.starts_with('-')
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !fits {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err(wrong(format!("'{shown}' is not the name of a group"))
                .hint("up to 64 letters, digits and - _ . , not starting with -"));
        }
        let targets = Targets {
            hosts: patterns.to_vec(),
            exclude: Vec::new(),
        };
        let hosts = self.resolve(&targets).await?;
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
        }
        let inventory = &self.rooms.database.inventory;
        inventory
            .add_to_group(name, &hosts)
            .await
            .map_err(|error| fault::of_store(&error))?;
        self.group(name).await
    }

    pub(crate) async fn remove_from_group(&self, name: &str, patterns: &[String]) -> Result<u64, Problem> {
        let inventory = &self.rooms.database.inventory;
        let view = self.group(name).await?;
        if patterns.is_empty() {
            inventory
                .remove_group(name)
                .await
                .map_err(|error| fault::of_store(&error))?;
            return Ok(u64::from(view.count));
        }
        let targets = Targets {
            hosts: patterns.to_vec(),
            exclude: Vec::new(),
        };
        let hosts = self.resolve(&targets).await?;
        inventory
            .remove_from_group(name, &hosts)
            .await
            .map_err(|error| fault::of_store(&error))
    }
}

fn no_group(name: &str) -> Problem {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    Problem::new(Code::UnknownGroup, format!("there is no group '{shown}'"))
        .hint("`muster groups list` lists the groups; `muster groups add NAME HOSTS…` makes one")
}

fn check(host: &HostRecord) -> Result<(), Problem> {
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
    Ok(())
}
