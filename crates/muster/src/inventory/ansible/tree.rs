//! An inventory of Ansible in the making: its groups and hosts, and the variables as they were defined.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use muster_model::{HostName, limits};
use serde_json::Value;

use super::ranges;
use super::variables::{self, Meaning, Variable};
use crate::inventory::draft::Id;
use crate::inventory::fault::{Findings, Place, shown};

/// The group that every host is in.
pub(super) const ALL: &str = "all";
/// The group of the hosts that are in no other.
pub(super) const UNGROUPED: &str = "ungrouped";
/// How many names all patterns together may make, the same ones again and again included.
const NAMES: u64 = 4 * limits::HOSTS_PER_TASK;

pub(super) type Variables = BTreeMap<Rc<str>, Variable>;

#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: HostName,
    pub(super) place: Place,
    pub(super) own: Variables,
    pub(super) of_files: Variables,
    pub(super) groups: Vec<Id>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) own: Variables,
    pub(super) of_files: Variables,
    pub(super) hosts: Vec<Id>,
    pub(super) has: HashSet<Id>,
    pub(super) children: Vec<Id>,
    pub(super) has_children: HashSet<Id>,
    pub(super) priority: i64,
}

/// What variables are set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Host(Id),
    Group(Id),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) hosts: Vec<Host>,
    pub(super) hosts_by_name: HashMap<String, Id>,
    pub(super) groups: Vec<Group>,
    pub(super) groups_by_name: HashMap<String, Id>,
    pub(super) names: u64,
}

impl Tree {
    pub(super) fn new() -> Self {
        let mut tree = Self {
            hosts: Vec::new(),
            hosts_by_name: HashMap::new(),
            groups: Vec::new(),
            groups_by_name: HashMap::new(),
            names: 0,
        };
        tree.group(ALL, Place::default());
        tree.group(UNGROUPED, Place::default());
        tree
    }

    pub(super) fn find_group(&self, name: &str) -> Option<Id> {
        self.groups_by_name.get(name).copied()
    }

    pub(super) fn find_host(&self, name: &str) -> Option<Id> {
        self.hosts_by_name.get(name).copied()
    }

    /// Returns the group of this name, made where it was not there.
    pub(super) fn group(&mut self, name: &str, place: Place) -> Id {
        if let Some(id) = self.groups_by_name.get(name) {
            return *id;
        }
        self.groups.push(Group {
            name: name.to_owned(),
            place,
            own: Variables::new(),
            of_files: Variables::new(),
            hosts: Vec::new(),
            has: HashSet::new(),
            children: Vec::new(),
            has_children: HashSet::new(),
            priority: 1,
        });
        self.groups_by_name.insert(name.to_owned(), self.groups.len() - 1);
        self.groups.len() - 1
    }

    pub(super) fn add_child(&mut self, group: Id, child: Id) {
        let group = &mut self.groups[group];
        if group.has_children.insert(child) {
            group.children.push(child);
        }
    }

    /// Puts the hosts of a pattern into a group, and returns them.
    pub(super) fn add_hosts(
        &mut self,
        pattern: &str,
        group: Option<Id>,
        place: Place,
        findings: &mut Findings,
    ) -> Vec<Id> {
        let (names, port) = match ranges::expand(pattern) {
            Ok(expanded) => expanded,
            Err(why) => {
                findings.fault(place, why);
                return Vec::new();
            }
        };
        self.names += names.len() as u64;
        if self.names > NAMES {
            findings.fault(place, format!("the patterns so far make more than {NAMES} names"));
            return Vec::new();
        }
        let port = port.map(|port| Rc::new(Meaning::Port(port)));
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            match self.add_host(name, group, port.as_ref(), place, findings) {
                Some(id) => ids.push(id),
                // The next name of the same pattern would be no better.
                None => break,
            }
        }
        ids
    }

    /// Puts one host into a group.
    pub(super) fn add_host(
        &mut self,
        name: String,
        group: Option<Id>,
        port: Option<&Variable>,
        place: Place,
        findings: &mut Findings,
    ) -> Option<Id> {
        let id = match self.hosts_by_name.get(&name) {
            Some(id) => *id,
            None => self.new_host(name, port, place, findings)?,
        };
        if let Some(group) = group
            && self.groups[group].has.insert(id)
        {
            self.groups[group].hosts.push(id);
            self.hosts[id].groups.push(group);
        }
        Some(id)
    }

    fn new_host(
        &mut self,
        name: String,
        port: Option<&Variable>,
        place: Place,
        findings: &mut Findings,
    ) -> Option<Id> {
        if self.hosts.len() as u64 >= limits::HOSTS_PER_TASK {
            findings.fault(place, format!("more than {} hosts", limits::HOSTS_PER_TASK));
            return None;
        }
        let parsed = match name.parse::<HostName>() {
            Ok(parsed) => parsed,
            Err(error) => {
                findings.fault(place, error.to_string());
                return None;
            }
        };
        let mut own = Variables::new();
        if let Some(port) = port {
            own.insert(Rc::from("ansible_port"), Rc::clone(port));
        }
        self.hosts.push(Host {
            name: parsed,
            place,
            own,
            of_files: Variables::new(),
            groups: Vec::new(),
        });
        self.hosts_by_name.insert(name, self.hosts.len() - 1);
        Some(self.hosts.len() - 1)
    }

    /// Sets a variable that the inventory itself holds.
    pub(super) fn set(
        &mut self,
        owners: &[Owner],
        name: &str,
        value: Value,
        encrypted: bool,
        place: Place,
        findings: &mut Findings,
    ) {
        if let ([Owner::Group(id)], "ansible_group_priority") = (owners, name) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match text.trim().parse() {
                Ok(priority) => self.groups[*id].priority = priority,
                Err(_) => findings.fault(
                    place,
                    format!(
                        "'ansible_group_priority' is '{}': write a whole number",
                        shown(&text)
                    ),
                ),
            }
            return;
        }
        let name: Rc<str> = Rc::from(name);
        let variable = Rc::new(variables::meaning(&name, value, encrypted, place, findings));
        for owner in owners {
            let variables = match owner {
                Owner::Host(id) => &mut self.hosts[*id].own,
                Owner::Group(id) => &mut self.groups[*id].own,
            };
            variables.insert(Rc::clone(&name), Rc::clone(&variable));
        }
    }

    /// Sets a variable that a file of `group_vars` or `host_vars` holds.
    pub(super) fn set_from_file(
        &mut self,
        owner: Owner,
        name: &str,
        value: Value,
        encrypted: bool,
        place: Place,
        findings: &mut Findings,
    ) {
        let variable = Rc::new(variables::meaning(name, value, encrypted, place, findings));
        let variables = match owner {
            Owner::Host(id) => &mut self.hosts[id].of_files,
            Owner::Group(id) => &mut self.groups[id].of_files,
        };
        variables.insert(Rc::from(name), variable);
    }
}
