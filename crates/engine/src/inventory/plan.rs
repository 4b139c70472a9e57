//! What an import would do: the document and the inventory compared, without the database.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::HostName;
use muster_model::host::HostRecord;
use muster_model::inventory::{Document, Group, GroupName};
use muster_model::wire::{Difference, Does, ImportReport, Step};
use muster_store::Edit;

/// What is to be done, and what is told of it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) edits: Vec<Edit>,
    pub(super) report: ImportReport,
}

/// Compares a document with the inventory. Without `prune` nothing goes away: what the document does not speak of
/// stays, down to single labels.
pub(super) fn plan(document: &Document, hosts: Vec<HostRecord>, groups: Vec<Group>, prune: bool) -> Plan {
    let mut plan = Plan::default();
    plan.hosts(&document.hosts, hosts, prune);
    plan.groups(&document.groups, groups, prune);
    plan
}

impl Plan {
    fn step(&mut self, what: &str, name: &str, does: Does, details: Vec<String>) {
        if self.report.steps.len() < ImportReport::MOST_STEPS {
            self.report.steps.push(Step {
                what: what.to_owned(),
                name: name.to_owned(),
                does,
                details,
            });
        }
    }

    fn hosts(&mut self, new: &[HostRecord], known: Vec<HostRecord>, prune: bool) {
        let new: BTreeMap<&HostName, &HostRecord> = new.iter().map(|host| (&host.name, host)).collect();
        let mut known: BTreeMap<HostName, HostRecord> =
            known.into_iter().map(|host| (host.name.clone(), host)).collect();
        let mut tally = Difference::default();
        let (mut added, mut put) = (Vec::new(), Vec::new());
        for (name, host) in new {
            let Some(before) = known.remove(name) else {
                tally.added += 1;
                self.step("host", name.as_str(), Does::Add, Vec::new());
                added.push(host.clone());
                continue;
            };
            let host = host.clone();
            let after = if prune { host } else { merged(&before, host) };
            if after == before {
                tally.unchanged += 1;
                continue;
            }
            tally.changed += 1;
            self.step("host", name.as_str(), Does::Change, differences(&before, &after));
            put.push(after);
        }
        if prune {
            tally.removed = known.len() as u64;
            for name in known.keys() {
                self.step("host", name.as_str(), Does::Remove, Vec::new());
            }
            let gone: Vec<String> = known.into_keys().map(String::from).collect();
            self.edit(gone, Edit::RemoveHosts);
        } else {
            tally.left = known.len() as u64;
        }
        self.edit(added, Edit::AddHosts);
        self.edit(put, Edit::PutHosts);
        self.report.hosts = tally;
    }

    fn groups(&mut self, new: &[Group], known: Vec<Group>, prune: bool) {
        let mut known: BTreeMap<GroupName, Group> = known
            .into_iter()
            .map(|group| (group.name.clone(), group))
            .collect();
        let new: BTreeMap<&GroupName, &Group> = new.iter().map(|group| (&group.name, group)).collect();
        let mut tally = Difference::default();
        let mut made: BTreeSet<GroupName> = BTreeSet::new();
        let mut moves = Moves::default();
        for (name, group) in new {
            // A group that is only named as being in another is one, too.
            made.extend(
                group
                    .groups
                    .iter()
                    .filter(|inner| !known.contains_key(*inner))
                    .cloned(),
            );
            let before = known.get(name);
            let change = moves.compare(name, before, group, prune);
            match before {
                None => {
                    tally.added += 1;
                    self.step("group", name.as_str(), Does::Add, change);
                    made.insert(name.clone());
                }
                Some(_) if change.is_empty() => tally.unchanged += 1,
                Some(_) => {
                    tally.changed += 1;
                    self.step("group", name.as_str(), Does::Change, change);
                }
            }
            moves.named.insert(group.name.clone());
            moves.named.extend(group.groups.iter().cloned());
        }
        known.retain(|name, _| !moves.named.contains(name));
        if prune {
            tally.removed = known.len() as u64;
            for name in known.keys() {
                self.step("group", name.as_str(), Does::Remove, Vec::new());
            }
            self.edit(known.into_keys().collect(), Edit::RemoveGroups);
        } else {
            tally.left = known.len() as u64;
        }
        self.edit(made.into_iter().collect(), Edit::AddGroups);
        self.edit(moves.out, Edit::RemoveMembers);
        self.edit(moves.groups_out, Edit::RemoveChildren);
        self.edit(moves.into, Edit::AddMembers);
        self.edit(moves.groups_into, Edit::AddChildren);
        self.report.groups = tally;
    }

    fn edit<T>(&mut self, what: Vec<T>, edit: impl FnOnce(Vec<T>) -> Edit) {
        if !what.is_empty() {
            self.edits.push(edit(what));
        }
    }
}

/// Who goes into which group and out of it.
#[derive(Default)]
struct Moves {
    into: Vec<(GroupName, HostName)>,
    out: Vec<(GroupName, HostName)>,
    groups_into: Vec<(GroupName, GroupName)>,
    groups_out: Vec<(GroupName, GroupName)>,
    /// Groups that the document speaks of.
    named: BTreeSet<GroupName>,
}

impl Moves {
    /// Takes note of what is different in a group; returns it in words.
    fn compare(
        &mut self,
        name: &GroupName,
        before: Option<&Group>,
        after: &Group,
        prune: bool,
    ) -> Vec<String> {
        let (before_hosts, before_groups) = before.map_or_else(Default::default, |group| {
            (
                group.hosts.iter().collect::<BTreeSet<_>>(),
                group.groups.iter().collect::<BTreeSet<_>>(),
            )
        });
        let hosts: BTreeSet<&HostName> = after.hosts.iter().collect();
        let groups: BTreeSet<&GroupName> = after.groups.iter().collect();
        let mut words = Vec::new();
        let mut told = |count: usize, what: &str| {
            if count > 0 {
                words.push(format!("{what}: {count}"));
            }
        };
        let new: Vec<_> = hosts.difference(&before_hosts).copied().cloned().collect();
        told(new.len(), "hosts put in");
        self.into.extend(new.into_iter().map(|host| (name.clone(), host)));
        let new: Vec<_> = groups.difference(&before_groups).copied().cloned().collect();
        told(new.len(), "groups put in");
        self.groups_into
            .extend(new.into_iter().map(|group| (name.clone(), group)));
        if prune {
            let gone: Vec<_> = before_hosts.difference(&hosts).copied().cloned().collect();
            told(gone.len(), "hosts taken out");
            self.out.extend(gone.into_iter().map(|host| (name.clone(), host)));
            let gone: Vec<_> = before_groups.difference(&groups).copied().cloned().collect();
            told(gone.len(), "groups taken out");
            self.groups_out
                .extend(gone.into_iter().map(|group| (name.clone(), group)));
        }
        words
    }
}

/// Returns what is known of a host with what the document says over it.
fn merged(before: &HostRecord, new: HostRecord) -> HostRecord {
    let mut labels = before.labels.clone();
    labels.extend(new.labels);
    HostRecord {
        name: new.name,
        address: new.address.or_else(|| before.address.clone()),
        user: new.user.or_else(|| before.user.clone()),
        port: new.port.or(before.port),
        reach: new.reach.or(before.reach),
        credential: new.credential.or_else(|| before.credential.clone()),
        labels,
    }
}

/// Returns what is other about a host, in words.
fn differences(before: &HostRecord, after: &HostRecord) -> Vec<String> {
    let mut words = Vec::new();
    let mut compare = |what: &str, before: Option<String>, after: Option<String>| {
        if before != after {
            let shown = |value: Option<String>| value.map_or_else(|| "-".to_owned(), clipped);
            words.push(format!("{what}: {} -> {}", shown(before), shown(after)));
        }
    };
    compare("address", before.address.clone(), after.address.clone());
    compare("user", before.user.clone(), after.user.clone());
    let port = |host: &HostRecord| host.port.map(|port| port.to_string());
    compare("port", port(before), port(after));
    let reach = |host: &HostRecord| host.reach.map(|reach| format!("{reach:?}").to_lowercase());
    compare("reach", reach(before), reach(after));
    let credential = |host: &HostRecord| host.credential.as_ref().map(ToString::to_string);
    compare("credential", credential(before), credential(after));
    let keys: BTreeSet<&String> = before.labels.keys().chain(after.labels.keys()).collect();
    for key in keys {
        let value = |host: &HostRecord| host.labels.get(key).cloned();
        compare(
            &format!("label {}", clipped(key.clone())),
            value(before),
            value(after),
        );
    }
    words
}

/// The most characters of a value that a report shows.
const SHOWN: usize = 60;

fn clipped(text: String) -> String {
    if text.chars().count() <= SHOWN {
        return text;
    }
    let mut clipped: String = text.chars().take(SHOWN).collect();
    clipped.push('…');
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: Option<u16>, labels: &[(&str, &str)]) -> HostRecord {
        HostRecord {
            name: name.parse().expect("a name"),
            address: None,
            user: None,
            port,
            reach: None,
            credential: None,
            labels: labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

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

    fn document() -> Document {
        Document {
            hosts: vec![
                host("new", None, &[]),
                host("other", Some(2222), &[("role", "db")]),
                host("same", None, &[]),
            ],
            groups: vec![
                group("made", &["new"], &["inner"]),
                group("kept", &["same"], &[]),
                group("more", &["same", "other"], &[]),
            ],
        }
    }

    fn inventory() -> (Vec<HostRecord>, Vec<Group>) {
        let hosts = vec![
            host("gone", None, &[]),
            host("other", Some(22), &[("rack", "7")]),
            host("same", None, &[]),
        ];
        let groups = vec![
            group("kept", &["same"], &[]),
            group("more", &["same", "gone"], &["kept"]),
            group("old", &[], &[]),
        ];
        (hosts, groups)
    }

    #[test]
    fn without_prune_nothing_goes_away() {
        let (hosts, groups) = inventory();
        let plan = plan(&document(), hosts, groups, false);
        let tally = |added, changed, unchanged, removed, left| Difference {
            added,
            changed,
            unchanged,
            removed,
            left,
        };
        assert_eq!(plan.report.hosts, tally(1, 1, 1, 0, 1));
        assert_eq!(plan.report.groups, tally(1, 1, 1, 0, 1));
        assert_eq!(
            plan.edits,
            [
                Edit::AddHosts(vec![host("new", None, &[])]),
                Edit::PutHosts(vec![host("other", Some(2222), &[("rack", "7"), ("role", "db")])]),
                Edit::AddGroups(vec![
                    "inner".parse().expect("a name"),
                    "made".parse().expect("a name")
                ]),
                Edit::AddMembers(vec![
                    ("made".parse().expect("a name"), "new".parse().expect("a name")),
                    ("more".parse().expect("a name"), "other".parse().expect("a name")),
                ]),
                Edit::AddChildren(vec![(
                    "made".parse().expect("a name"),
                    "inner".parse().expect("a name")
                )]),
            ]
        );
        let other = plan
            .report
            .steps
            .iter()
            .find(|step| step.name == "other")
            .expect("a step");
        assert_eq!(other.details, ["port: 22 -> 2222", "label role: - -> db"]);
    }

    #[test]
    fn with_prune_the_inventory_is_what_the_document_says() {
        let (hosts, groups) = inventory();
        let plan = plan(&document(), hosts, groups, true);
        assert_eq!((plan.report.hosts.removed, plan.report.groups.removed), (1, 1));
        assert!(plan.edits.contains(&Edit::RemoveHosts(vec!["gone".to_owned()])));
        assert!(
            plan.edits
                .contains(&Edit::RemoveGroups(vec!["old".parse().expect("a name")]))
        );
        let out = ("more".parse().expect("a name"), "gone".parse().expect("a name"));
        assert!(plan.edits.contains(&Edit::RemoveMembers(vec![out])));
        let put = host("other", Some(2222), &[("role", "db")]);
        assert!(plan.edits.contains(&Edit::PutHosts(vec![put])));
    }

    #[test]
    fn what_is_there_already_is_left_untouched() {
        let (hosts, groups) = inventory();
        let same = Document {
            hosts: hosts.clone(),
            groups: groups.clone(),
        };
        for prune in [false, true] {
            let plan = plan(&same, hosts.clone(), groups.clone(), prune);
            assert_eq!(plan.edits, []);
            assert_eq!(plan.report.steps, []);
        }
    }
}
