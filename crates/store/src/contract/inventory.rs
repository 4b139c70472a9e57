//! Hosts, their facts and their groups.

use std::collections::BTreeMap;

use muster_model::facts::Facts;
use muster_model::host::HostRecord;
use muster_model::inventory::{Group, GroupName};
use muster_model::{ErrorKind, HostName, Reach, Timestamp};

use super::World;
use super::world::HOSTILE;
use crate::open::Opened;
use crate::types::{Changed, Edit, HostChanges, HostFacts};

fn named(text: &str) -> HostName {
    text.parse().unwrap()
}

fn group_named(text: &str) -> GroupName {
    text.parse().unwrap()
}

fn host(name: &str) -> HostRecord {
    HostRecord {
        name: named(name),
        address: None,
        user: None,
        port: None,
        reach: None,
        credential: None,
        labels: BTreeMap::new(),
    }
}

fn full(name: &str) -> HostRecord {
    HostRecord {
        address: Some("10.4.3.4".into()),
        user: Some("o'brien".into()),
        port: Some(65_535),
        reach: Some(Reach::Agent),
        credential: Some("deploy-key".parse().unwrap()),
        labels: HOSTILE
            .into_iter()
            .map(|text| (text.to_owned(), text.to_owned()))
            .collect(),
        ..host(name)
    }
}

fn facts(name: &str, at: i64) -> HostFacts {
    HostFacts {
        host: named(name),
        facts: Facts {
            cpus: Some(8),
            mem_bytes: Some(u64::from(u32::MAX) * 7),
            hostname: Some("o'brien\"; DROP TABLE hosts".into()),
            addresses: vec!["fe80::1".parse().unwrap()],
            ..Facts::default()
        },
        gathered_at: Timestamp(at),
    }
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn change(opened: &Opened, edits: impl Into<Vec<Edit>>) -> Changed {
    opened.inventory.change(edits.into(), None).await.unwrap()
}

async fn refused(opened: &Opened, edits: impl Into<Vec<Edit>>) -> crate::Error {
    opened.inventory.change(edits.into(), None).await.unwrap_err()
}

fn add_groups(names: &[&str]) -> Edit {
    Edit::AddGroups(names.iter().map(|name| group_named(name)).collect())
}

fn members(group: &str, hosts: &[&str]) -> Vec<(GroupName, HostName)> {
    hosts
        .iter()
        .map(|host| (group_named(group), named(host)))
        .collect()
}

fn children(pairs: &[(&str, &str)]) -> Vec<(GroupName, GroupName)> {
    pairs
        .iter()
        .map(|(parent, child)| (group_named(parent), group_named(child)))
        .collect()
}

async fn hosts_of(opened: &Opened, name: &str) -> Option<Vec<String>> {
    let group = opened.inventory.group(name).await.unwrap()?;
    Some(group.hosts.into_iter().map(String::from).collect())
}

async fn counts(opened: &Opened) -> Vec<(String, u32, u32)> {
    let groups = opened.inventory.groups_counted().await.unwrap();
    groups
        .into_iter()
        .map(|group| (group.name.to_string(), group.count, group.groups))
        .collect()
}

fn counted(table: &[(&str, u32, u32)]) -> Vec<(String, u32, u32)> {
    table
        .iter()
        .map(|(name, hosts, groups)| ((*name).to_owned(), *hosts, *groups))
        .collect()
}

pub(super) async fn a_host_is_read_back_as_it_was_added(world: World) {
    let opened = world.open().await;
    for record in [full("web1"), host("db-ü.example"), host("fe80::1%eth0")] {
        change(&opened, [Edit::AddHosts(vec![record.clone()])]).await;
        let read = opened.inventory.host(record.name.as_str()).await.unwrap();
        assert_eq!(read, Some(record));
    }
    assert_eq!(opened.inventory.host("web2").await.unwrap(), None);
    assert_eq!(opened.inventory.host("WEB1").await.unwrap(), None);
    assert_eq!(opened.inventory.host("web1 ").await.unwrap(), None);
    let all = opened.inventory.hosts().await.unwrap();
    let all: Vec<&str> = all.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(all, ["db-ü.example", "fe80::1%eth0", "web1"]);
}

pub(super) async fn a_name_is_taken_once(world: World) {
    let opened = world.open().await;
    change(&opened, [Edit::AddHosts(vec![full("web1")])]).await;
    let many = vec![host("web0"), host("web1")];
    let error = refused(&opened, [Edit::AddHosts(many)]).await;
    assert_eq!(error.kind, ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("web1"), "{error}");
    assert_eq!(opened.inventory.hosts().await.unwrap(), [full("web1")]);
    let error = refused(&opened, [Edit::AddHosts(vec![host("a"), host("a")])]).await;
    assert_eq!(error.kind, ErrorKind::AlreadyExists);
    // A name in another case is another name.
    change(&opened, [Edit::AddHosts(vec![host("Web1")])]).await;
    assert_eq!(opened.inventory.hosts().await.unwrap().len(), 2);
}

pub(super) async fn hosts_are_added_or_replaced_together(world: World) {
    let opened = world.open().await;
    change(&opened, [Edit::AddHosts(vec![full("web1")])]).await;
    let mut many: Vec<HostRecord> = (1..=1_500).map(|number| host(&format!("web{number}"))).collect();
    many.push(full("web2"));
    let changed = change(&opened, [Edit::PutHosts(many)]).await;
    assert_eq!(changed.counts, [1_500]);
    assert_eq!(opened.inventory.hosts().await.unwrap().len(), 1_500);
    assert_eq!(opened.inventory.host("web1").await.unwrap(), Some(host("web1")));
    let twice = opened.inventory.host("web2").await.unwrap();
    assert_eq!(twice, Some(full("web2")), "the last of a name counts");
    change(&opened, [Edit::PutHosts(Vec::new())]).await;
}

pub(super) async fn a_change_is_done_as_a_whole_or_not_at_all(world: World) {
    let opened = world.open().await;
    change(&opened, [Edit::AddHosts(vec![host("a")]), add_groups(&["g"])]).await;
    let before = opened.inventory.revision().await.unwrap();
    let edits = [
        Edit::AddHosts((0..3_000).map(|number| host(&format!("web{number}"))).collect()),
        Edit::RemoveHosts(texts(&["a"])),
        Edit::AddMembers(members("g", &["web1"])),
        Edit::AddMembers(members("nobody", &["web1"])),
    ];
    let error = refused(&opened, edits).await;
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.to_string().contains("nobody"), "{error}");
    assert_eq!(opened.inventory.hosts().await.unwrap(), [host("a")]);
    assert_eq!(hosts_of(&opened, "g").await, Some(Vec::new()));
    assert_eq!(opened.inventory.revision().await.unwrap(), before);
}

pub(super) async fn a_change_of_what_somebody_else_has_changed_is_a_conflict(world: World) {
    let opened = world.open().await;
    let seen = opened.inventory.revision().await.unwrap();
    let add = |name: &str| vec![Edit::AddHosts(vec![host(name)])];
    let changed = opened.inventory.change(add("a"), Some(seen)).await.unwrap();
    let error = opened.inventory.change(add("b"), Some(seen)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert_eq!(opened.inventory.hosts().await.unwrap(), [host("a")]);
    let after = opened.inventory.revision().await.unwrap();
    assert_eq!(after, changed.revision);
    opened.inventory.change(add("b"), Some(after)).await.unwrap();
}

pub(super) async fn of_many_that_change_what_they_saw_one_does(world: World) {
    let opened = world.open().await;
    let seen = opened.inventory.revision().await.unwrap();
    let work = (0..20).map(|number| {
        let inventory = std::sync::Arc::clone(&opened.inventory);
        async move {
            let edits = vec![Edit::AddHosts(vec![host(&format!("h{number}"))])];
            inventory.change(edits, Some(seen)).await.is_ok()
        }
    });
    let done = world.at_once(work).await;
    assert_eq!(done.into_iter().filter(|done| *done).count(), 1);
    assert_eq!(opened.inventory.hosts().await.unwrap().len(), 1);
}

pub(super) async fn hosts_are_found_by_many_names(world: World) {
    let opened = world.open().await;
    let many = (0..2_500).map(|number| host(&format!("web{number}"))).collect();
    change(&opened, [Edit::PutHosts(many)]).await;
    let mut asked: Vec<String> = (1_000..5_000).map(|number| format!("web{number}")).collect();
    asked.extend(texts(&["web1000", "nobody"]));
    let found = opened.inventory.hosts_named(&asked).await.unwrap();
    assert_eq!(found.len(), 1_500);
    assert_eq!(opened.inventory.hosts_named(&[]).await.unwrap(), []);
}

pub(super) async fn names_are_completed_in_order_and_to_the_letter(world: World) {
    let opened = world.open().await;
    let names = [
        "Web1", "db1", "we", "web1", "web10", "web2", "web_", "wez", "wüb", "x",
    ];
    change(
        &opened,
        [Edit::AddHosts(names.iter().map(|name| host(name)).collect())],
    )
    .await;
    let table: [(&str, u32, &[&str]); 7] = [
        ("web", 10, &["web1", "web10", "web2", "web_"]),
        ("web", 2, &["web1", "web10"]),
        ("web1", 10, &["web1", "web10"]),
        ("W", 10, &["Web1"]),
        ("wü", 10, &["wüb"]),
        ("web%", 10, &[]),
        ("", 3, &["Web1", "db1", "we"]),
    ];
    for (prefix, limit, expected) in table {
        let found = opened.inventory.host_names(prefix, limit).await.unwrap();
        assert_eq!(found, texts(expected), "{prefix}");
    }
}

pub(super) async fn hosts_and_groups_are_many_to_many(world: World) {
    let opened = world.open().await;
    let hosts = ["a", "b", "c"].map(host).to_vec();
    change(&opened, [Edit::AddHosts(hosts), add_groups(&["web", "db"])]).await;
    let added = [
        Edit::AddMembers(members("web", &["b", "a", "a"])),
        Edit::AddMembers(members("db", &["b", "c"])),
        Edit::AddMembers(members("web", &["a", "c"])),
    ];
    change(&opened, added).await;
    assert_eq!(hosts_of(&opened, "web").await, Some(texts(&["a", "b", "c"])));
    assert_eq!(hosts_of(&opened, "db").await, Some(texts(&["b", "c"])));
    let removed = change(&opened, [Edit::RemoveMembers(members("web", &["a", "x", "b"]))]).await;
    assert_eq!(removed.counts, [2]);
    assert_eq!(hosts_of(&opened, "web").await, Some(texts(&["c"])));
    assert_eq!(hosts_of(&opened, "db").await, Some(texts(&["b", "c"])));
    let gone = Edit::RemoveGroups(vec![group_named("web")]);
    assert_eq!(change(&opened, [gone.clone()]).await.counts, [1]);
    assert_eq!(change(&opened, [gone]).await.counts, [0]);
    assert_eq!(hosts_of(&opened, "web").await, None);
    change(&opened, [add_groups(&["web", "db"])]).await;
    assert_eq!(
        hosts_of(&opened, "web").await,
        Some(Vec::new()),
        "a group that is made again is empty"
    );
    assert_eq!(hosts_of(&opened, "db").await, Some(texts(&["b", "c"])));
}

pub(super) async fn groups_are_counted_empty_ones_too(world: World) {
    let opened = world.open().await;
    let many: Vec<HostName> = (0..1_200).map(|number| named(&format!("h{number}"))).collect();
    let all = |group: &str| {
        many.iter()
            .map(|host| (group_named(group), host.clone()))
            .collect::<Vec<_>>()
    };
    let edits = [
        add_groups(&["many", "empty", "one"]),
        Edit::AddMembers(all("many")),
        Edit::AddMembers(members("one", &["h1"])),
    ];
    change(&opened, edits).await;
    assert_eq!(
        counts(&opened).await,
        counted(&[("empty", 0, 0), ("many", 1_200, 0), ("one", 1, 0)])
    );
    let removed = change(&opened, [Edit::RemoveMembers(all("many"))]).await;
    assert_eq!(removed.counts, [1_200]);
    assert_eq!(hosts_of(&opened, "many").await, Some(Vec::new()));
}

pub(super) async fn groups_hold_groups_and_each_host_counts_once(world: World) {
    let opened = world.open().await;
    let edits = [
        add_groups(&["eu", "fr", "de", "web", "none"]),
        Edit::AddMembers(members("fr", &["a", "b"])),
        Edit::AddMembers(members("de", &["b", "c"])),
        Edit::AddMembers(members("eu", &["c", "d"])),
        Edit::AddMembers(members("web", &["x"])),
        Edit::AddChildren(children(&[
            ("eu", "fr"),
            ("eu", "de"),
            ("fr", "web"),
            ("de", "web"),
        ])),
    ];
    change(&opened, edits).await;
    let all = [
        ("de", 3, 1),
        ("eu", 5, 2),
        ("fr", 3, 1),
        ("none", 0, 0),
        ("web", 1, 0),
    ];
    assert_eq!(counts(&opened).await, counted(&all));
    let eu = Group {
        name: group_named("eu"),
        hosts: vec![named("c"), named("d")],
        groups: vec![group_named("de"), group_named("fr")],
    };
    assert_eq!(opened.inventory.group("eu").await.unwrap(), Some(eu.clone()));
    let whole = opened.inventory.groups().await.unwrap();
    assert_eq!(whole.len(), 5);
    assert_eq!(whole[1], eu);
    let edits = [
        Edit::RemoveChildren(children(&[("eu", "fr"), ("web", "eu")])),
        Edit::RemoveGroups(vec![group_named("web")]),
    ];
    assert_eq!(change(&opened, edits).await.counts, [1, 1]);
    let left = [("de", 2, 0), ("eu", 3, 1), ("fr", 2, 0), ("none", 0, 0)];
    assert_eq!(counts(&opened).await, counted(&left));
}

pub(super) async fn a_group_never_holds_itself(world: World) {
    let opened = world.open().await;
    let edits = [
        add_groups(&["a", "b", "c"]),
        Edit::AddChildren(children(&[("a", "b"), ("b", "c")])),
    ];
    change(&opened, edits).await;
    for circle in [("c", "a"), ("a", "a"), ("c", "b")] {
        let error = refused(&opened, [Edit::AddChildren(children(&[circle]))]).await;
        assert_eq!(error.kind, ErrorKind::Invalid, "{circle:?}");
        assert!(error.to_string().contains(circle.0), "{error}");
    }
    assert_eq!(
        opened.inventory.group("c").await.unwrap().unwrap().groups,
        [],
        "a refusal changes nothing"
    );
}

pub(super) async fn two_changes_at_once_make_no_circle(world: World) {
    let opened = world.open().await;
    let names: Vec<String> = (0..12).map(|number| format!("g{number}")).collect();
    let texts: Vec<&str> = names.iter().map(String::as_str).collect();
    change(&opened, [add_groups(&texts)]).await;
    let work = (0..12).map(|number| {
        let inventory = std::sync::Arc::clone(&opened.inventory);
        let pair = (
            group_named(&format!("g{number}")),
            group_named(&format!("g{}", (number + 1) % 12)),
        );
        async move {
            inventory
                .change(vec![Edit::AddChildren(vec![pair])], None)
                .await
                .is_ok()
        }
    });
    let done = world.at_once(work).await;
    assert_eq!(done.into_iter().filter(|done| *done).count(), 11);
}

pub(super) async fn a_removed_host_is_in_no_group(world: World) {
    let opened = world.open().await;
    let edits = [
        Edit::AddHosts(vec![host("a"), host("b")]),
        add_groups(&["g", "h"]),
        Edit::AddMembers(members("g", &["a", "b"])),
        Edit::AddMembers(members("h", &["a"])),
    ];
    change(&opened, edits).await;
    let removed = change(&opened, [Edit::RemoveHosts(texts(&["a", "nobody"]))]).await;
    assert_eq!(removed.counts, [1]);
    assert_eq!(opened.inventory.host("a").await.unwrap(), None);
    assert_eq!(hosts_of(&opened, "g").await, Some(texts(&["b"])));
    assert_eq!(hosts_of(&opened, "h").await, Some(Vec::new()));
}

pub(super) async fn a_group_may_name_hosts_that_are_not_in_the_inventory(world: World) {
    let opened = world.open().await;
    let edits = [
        add_groups(&["g"]),
        Edit::AddMembers(members("g", &["known-to-ssh-config"])),
    ];
    change(&opened, edits).await;
    assert_eq!(
        hosts_of(&opened, "g").await,
        Some(texts(&["known-to-ssh-config"]))
    );
    assert_eq!(opened.inventory.hosts().await.unwrap(), []);
}

pub(super) async fn facts_are_kept_for_hosts_of_the_inventory(world: World) {
    let opened = world.open().await;
    change(&opened, [Edit::AddHosts(vec![host("a"), host("b")])]).await;
    let said = vec![facts("a", 5), facts("nobody", 5), facts("a", 7)];
    assert_eq!(opened.inventory.put_facts(said).await.unwrap(), 1);
    let asked = texts(&["a", "b", "nobody"]);
    let kept = opened.inventory.facts_named(&asked).await.unwrap();
    assert_eq!(kept, [facts("a", 7)]);
    opened.inventory.put_facts(vec![facts("a", 9)]).await.unwrap();
    let kept = opened.inventory.facts_named(&asked).await.unwrap();
    assert_eq!(kept, [facts("a", 9)]);
    change(&opened, [Edit::RemoveHosts(texts(&["a"]))]).await;
    change(&opened, [Edit::AddHosts(vec![host("a")])]).await;
    assert_eq!(
        opened.inventory.facts_named(&asked).await.unwrap(),
        [],
        "a host that is added again has said nothing"
    );
}

/// Returns what has changed as records, by name.
fn told(changes: &HostChanges) -> (Vec<HostRecord>, Vec<HostFacts>) {
    let mut hosts: Vec<HostRecord> = changes.hosts.iter().map(|host| host.record().unwrap()).collect();
    hosts.sort_by(|one, other| one.name.cmp(&other.name));
    let facts = changes.facts.iter().map(|said| HostFacts {
        host: said.host.clone(),
        facts: said.facts.record(),
        gathered_at: said.gathered_at,
    });
    let mut facts: Vec<HostFacts> = facts.collect();
    facts.sort_by(|one, other| one.host.cmp(&other.host));
    (hosts, facts)
}

/// More rows than travel at once are read whole, each once, and those that have changed since.
pub(super) async fn a_large_inventory_is_told_whole_and_once(world: World) {
    let opened = world.open().await;
    let name = |number: usize| format!("node{number:04}");
    let mut hosts: Vec<HostRecord> = (0..2_500).map(|number| host(&name(number))).collect();
    hosts[7] = full(&name(7));
    let said: Vec<HostFacts> = (0..2_500).map(|number| facts(&name(number), 5)).collect();
    let names: Vec<String> = (0..2_500).map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let edits = [
        Edit::AddHosts(hosts.clone()),
        add_groups(&["all", "few"]),
        Edit::AddMembers(members("few", &names[..3])),
        Edit::AddMembers(members("all", &names)),
    ];
    change(&opened, edits).await;
    opened.inventory.put_facts(said.clone()).await.unwrap();
    let whole = opened.inventory.changed_since(None).await.unwrap();
    assert!(whole.whole);
    assert_eq!(told(&whole), (hosts.clone(), said.clone()));
    assert_eq!(opened.inventory.hosts().await.unwrap(), hosts);
    let groups = opened.inventory.groups().await.unwrap();
    let inside = |group: usize| -> Vec<&str> { groups[group].hosts.iter().map(HostName::as_str).collect() };
    assert_eq!((inside(0), inside(1)), (names.clone(), names[..3].to_vec()));

    change(&opened, [Edit::PutHosts(hosts.clone())]).await;
    opened.inventory.put_facts(said.clone()).await.unwrap();
    let again = opened
        .inventory
        .changed_since(Some(whole.revision))
        .await
        .unwrap();
    assert!(!again.whole);
    assert_eq!(told(&again), (hosts, said));
}

/// Whoever reads while others write sees each change: at once, or the next time.
pub(super) async fn no_change_during_a_reading_is_missed(world: World) {
    let opened = world.open().await;
    let hosts = |from: usize| {
        (from..from + 400)
            .map(|number| host(&format!("n{number}")))
            .collect()
    };
    change(&opened, [Edit::AddHosts(hosts(0))]).await;
    let mut seen = None;
    let mut known: BTreeMap<String, HostRecord> = BTreeMap::new();
    for round in 1..8 {
        let (told_now, _) = tokio::join!(
            opened.inventory.changed_since(seen),
            change(&opened, [Edit::AddHosts(hosts(round * 400))])
        );
        let changes = told_now.unwrap();
        seen = Some(changes.revision);
        known.extend(
            told(&changes)
                .0
                .into_iter()
                .map(|host| (host.name.to_string(), host)),
        );
    }
    let last = opened.inventory.changed_since(seen).await.unwrap();
    known.extend(
        told(&last)
            .0
            .into_iter()
            .map(|host| (host.name.to_string(), host)),
    );
    assert_eq!(known.len(), 3_200);
}

pub(super) async fn what_has_changed_is_told_once(world: World) {
    let opened = world.open().await;
    let inventory = &opened.inventory;
    change(&opened, [Edit::AddHosts(vec![host("a"), host("b")])]).await;
    let first = inventory.changed_since(None).await.unwrap();
    assert!(first.whole);
    assert_eq!(first.hosts.len(), 2);
    let nothing = inventory.changed_since(Some(first.revision)).await.unwrap();
    assert_eq!(
        (nothing.whole, nothing.hosts.len(), nothing.facts.len()),
        (false, 0, 0)
    );
    assert_eq!(nothing.revision, first.revision);

    change(&opened, [Edit::PutHosts(vec![full("b")])]).await;
    inventory.put_facts(vec![facts("a", 5)]).await.unwrap();
    let second = inventory.changed_since(Some(first.revision)).await.unwrap();
    assert!(!second.whole);
    assert_eq!(told(&second), (vec![full("b")], vec![facts("a", 5)]));
    assert_eq!(second.revision.groups, first.revision.groups);

    change(&opened, [Edit::RemoveHosts(texts(&["b"]))]).await;
    let third = inventory.changed_since(Some(second.revision)).await.unwrap();
    assert!(third.whole, "what is gone cannot be told otherwise");
    assert_eq!(told(&third), (vec![host("a")], vec![facts("a", 5)]));
    assert!(third.revision.groups > second.revision.groups);
}
