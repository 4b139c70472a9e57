//! What the variables of an inventory of Ansible come to for each host.
//!
//! The order, the weakest first: the variables of `all`, then of the groups from the outermost inwards (within one
//! depth by priority and then by name), then `group_vars/all`, then `group_vars` of the groups in the same order,
//! then the host's own, then `host_vars`. Of two files the later one counts.

use std::collections::HashMap;
use std::rc::Rc;

use muster_model::host::HostRecord;
use muster_model::inventory::LABELS;

use super::tree::{ALL, Group, Tree, UNGROUPED, Variables};
use super::variables::{self, Meaning};
use crate::inventory::draft::{self, Draft, Id};
use crate::inventory::fault::{Findings, shown};

/// How many steps finding the groups around each group may take, and putting their variables together.
const STEPS: usize = 50_000_000;

/// The groups around each group.
struct Around {
    /// For each group, itself and those around it.
    of: Vec<Vec<Id>>,
    /// The order in which the variables of groups count.
    rank: Vec<usize>,
}

impl Tree {
    /// Turns the tree into a draft of ours.
    pub(super) fn finish(mut self, findings: &mut Findings) -> Draft {
        let mut draft = Draft::default();
        self.reconcile();
        let children: Vec<&[Id]> = self
            .groups
            .iter()
            .map(|group| group.children.as_slice())
            .collect();
        let (sorted, depths) = match draft::order(&children) {
            Ok(found) => found,
            Err(cycle) => {
                let mut names: Vec<&str> = cycle.iter().map(|id| self.groups[*id].name.as_str()).collect();
                names.push(names[0]);
                findings.fault(self.groups[cycle[0]].place, draft::cycle_text(&names));
                return draft;
            }
        };
        let Some(around) = self.around(&sorted, &depths, findings) else {
            return draft;
        };
        if !findings.is_clean() {
            return draft;
        }
        self.add_hosts_to(&mut draft, &around, findings);
        self.add_groups(&mut draft, findings);
        draft
    }

    fn add_hosts_to(&self, draft: &mut Draft, around: &Around, findings: &mut Findings) {
        let mut merged: HashMap<&[Id], Variables> = HashMap::new();
        let mut steps = 0;
        for host in &self.hosts {
            let of_groups = merged
                .entry(host.groups.as_slice())
                .or_insert_with(|| self.merge(&host.groups, around, &mut steps));
            // Fields and secrets are no labels: whether those are too many is asked of the record.
            let count = of_groups.len() + host.own.len() + host.of_files.len();
            if count > 4 * LABELS || steps > STEPS {
                findings.fault(
                    host.place,
                    format!(
                        "the host '{}' has too many variables: at most {LABELS} become labels",
                        host.name
                    ),
                );
                return;
            }
            if let Some(id) = draft.host(host.name.as_str(), host.place, findings) {
                fill(draft.record(id), of_groups, &host.own, &host.of_files);
            }
        }
    }

    fn add_groups(&self, draft: &mut Draft, findings: &mut Findings) {
        let is_ours = |group: &&Group| group.name != ALL && group.name != UNGROUPED;
        for group in self.groups.iter().filter(is_ours) {
            draft.group(&group.name, group.place, findings);
        }
        for group in self.groups.iter().filter(is_ours) {
            let Some(id) = draft.find_group(&group.name) else {
                continue;
            };
            for host in &group.hosts {
                draft.add_host(id, self.hosts[*host].name.clone());
            }
            for child in &group.children {
                if let Some(child) = draft.find_group(&self.groups[*child].name) {
                    draft.add_group(id, child);
                }
            }
        }
    }

    /// Puts every group into `all`, and the hosts that are in no other group into `ungrouped`.
    fn reconcile(&mut self) {
        let mut has_parent = vec![false; self.groups.len()];
        for group in &self.groups {
            for child in &group.children {
                has_parent[*child] = true;
            }
        }
        let (all, ungrouped) = (0, 1);
        for (id, _) in has_parent.iter().enumerate().filter(|(_, has)| !**has) {
            if id != all {
                self.add_child(all, id);
            }
        }
        for host in &mut self.hosts {
            host.groups.retain(|group| *group != all && *group != ungrouped);
            if host.groups.is_empty() {
                host.groups.push(ungrouped);
            }
            host.groups.sort_unstable();
        }
    }

    /// Returns, for each group, itself and the groups around it in the order in which their variables count.
    fn around(&self, sorted: &[Id], depths: &[usize], findings: &mut Findings) -> Option<Around> {
        if let Some(deep) = (0..depths.len()).find(|id| depths[*id] > draft::NESTING + 1) {
            let group = &self.groups[deep];
            findings.fault(
                group.place,
                format!(
                    "the group '{}' stands more than {} groups deep",
                    shown(&group.name),
                    draft::NESTING
                ),
            );
            return None;
        }
        let mut order: Vec<Id> = (0..self.groups.len()).collect();
        order.sort_by(|left, right| {
            let key = |id: Id| {
                (
                    depths[id],
                    self.groups[id].priority,
                    self.groups[id].name.as_str(),
                )
            };
            key(*left).cmp(&key(*right))
        });
        let mut rank = vec![0; order.len()];
        for (position, id) in order.iter().enumerate() {
            rank[*id] = position;
        }
        let mut around: Vec<Vec<usize>> = vec![Vec::new(); self.groups.len()];
        let mut steps = 0;
        for id in sorted.iter().copied() {
            let mut mine = std::mem::take(&mut around[id]);
            mine.push(rank[id]);
            mine.sort_unstable();
            mine.dedup();
            for child in &self.groups[id].children {
                around[*child].extend_from_slice(&mine);
                steps += mine.len();
            }
            if steps > STEPS {
                findings.fault(
                    self.groups[id].place,
                    "the groups stand in each other in too many ways: make fewer of them parents of so many",
                );
                return None;
            }
            around[id] = mine;
        }
        for id in around.iter_mut().flatten() {
            *id = order[*id];
        }
        Some(Around { of: around, rank })
    }

    /// Returns what the groups that a host is in, and those around them, say together.
    fn merge(&self, groups: &[Id], around: &Around, steps: &mut usize) -> Variables {
        let mut ids: Vec<Id> = groups
            .iter()
            .flat_map(|id| around.of[*id].iter().copied())
            .collect();
        ids.sort_unstable_by_key(|id| around.rank[*id]);
        ids.dedup();
        *steps += ids.len();
        let mut merged = Variables::new();
        let mut put = |variables: &Variables| {
            *steps += variables.len();
            if *steps > STEPS {
                return;
            }
            for (name, variable) in variables {
                merged.insert(Rc::clone(name), Rc::clone(variable));
            }
        };
        ids.iter().for_each(|id| put(&self.groups[*id].own));
        ids.iter().for_each(|id| put(&self.groups[*id].of_files));
        merged
    }
}

/// Writes variables into a record, the later ones over the earlier.
fn fill(record: &mut HostRecord, of_groups: &Variables, own: &Variables, of_files: &Variables) {
    let layers = [of_files, own, of_groups];
    let find = |names: &[&str]| {
        let mut found = names
            .iter()
            .filter_map(|name| layers.iter().find_map(|layer| layer.get(*name)));
        found.find(|variable| !matches!(***variable, Meaning::LeftOut | Meaning::Label(_)))
    };
    if let Some(Meaning::Address(address)) = find(variables::ADDRESS).map(Rc::as_ref) {
        record.address = Some(address.clone());
    }
    if let Some(Meaning::Port(port)) = find(variables::PORT).map(Rc::as_ref) {
        record.port = Some(*port);
    }
    if let Some(Meaning::User(user)) = find(variables::USER).map(Rc::as_ref) {
        record.user = Some(user.clone());
    }
    if let Some(Meaning::Reach(reach)) = find(variables::WAY).map(Rc::as_ref) {
        record.reach = Some(*reach);
    }
    if let Some(Meaning::Credential(name)) = find(&[variables::CREDENTIAL]).map(Rc::as_ref) {
        record.credential = Some(name.clone());
    }
    for layer in [of_groups, own, of_files] {
        for (name, variable) in layer {
            match &**variable {
                Meaning::Label(text) => {
                    record.labels.insert(name.to_string(), text.clone());
                }
                // A stronger value that is no label takes a weaker one away.
                _ => {
                    record.labels.remove(&**name);
                }
            }
        }
    }
}
