//! Hosts and groups.

use std::collections::BTreeMap;

use muster_model::host::HostRecord;
use muster_model::{ErrorKind, Reach};

use super::World;
use super::world::HOSTILE;
use crate::open::Opened;
use crate::types::GroupRecord;

fn host(name: &str) -> HostRecord {
    HostRecord {
        name: name.parse().unwrap(),
        address: None,
        user: None,
        port: None,
        reach: None,
        labels: BTreeMap::new(),
        credential: None,
    }
}

fn full(name: &str) -> HostRecord {
    HostRecord {
        address: Some("10.4.3.4".into()),
        user: Some("o'brien".into()),
        port: Some(65_535),
        reach: Some(Reach::Agent),
        labels: HOSTILE
            .into_iter()
            .map(|text| (text.to_owned(), text.to_owned()))
            .collect(),
        ..host(name)
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn counts(opened: &Opened) -> Vec<(String, u32)> {
    let groups = opened.inventory.groups().await.unwrap();
    groups
        .into_iter()
        .map(|GroupRecord { name, count }| (name, count))
        .collect()
}

pub(super) async fn a_host_is_read_back_as_it_was_added(world: World) {
    let opened = world.open().await;
    for record in [full("web1"), host("db-ü.example"), host("fe80::1%eth0")] {
        opened.inventory.add_host(record.clone()).await.unwrap();
        let read = opened.inventory.host(record.name.as_str()).await.unwrap();
        assert_eq!(read, Some(record));
    }
    assert_eq!(opened.inventory.host("web2").await.unwrap(), None);
    assert_eq!(opened.inventory.host("WEB1").await.unwrap(), None);
    let all = opened.inventory.hosts().await.unwrap();
    let all: Vec<&str> = all.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(all, ["db-ü.example", "fe80::1%eth0", "web1"]);
}

pub(super) async fn a_name_is_taken_once(world: World) {
    let opened = world.open().await;
    opened.inventory.add_host(full("web1")).await.unwrap();
    let error = opened.inventory.add_host(host("web1")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("web1"), "{error}");
    assert_eq!(opened.inventory.host("web1").await.unwrap(), Some(full("web1")));
}

pub(super) async fn hosts_are_added_or_replaced_together(world: World) {
    let opened = world.open().await;
    opened.inventory.add_host(full("web1")).await.unwrap();
    let mut many: Vec<HostRecord> = (1..=1_500).map(|number| host(&format!("web{number}"))).collect();
    many.push(full("web2"));
    opened.inventory.put_hosts(many).await.unwrap();
    assert_eq!(opened.inventory.hosts().await.unwrap().len(), 1_500);
    assert_eq!(opened.inventory.host("web1").await.unwrap(), Some(host("web1")));
    let twice = opened.inventory.host("web2").await.unwrap();
    assert_eq!(twice, Some(full("web2")), "the last of a name counts");
    opened.inventory.put_hosts(Vec::new()).await.unwrap();
}

pub(super) async fn hosts_are_found_by_many_names(world: World) {
    let opened = world.open().await;
    let many = (0..2_500).map(|number| host(&format!("web{number}"))).collect();
    opened.inventory.put_hosts(many).await.unwrap();
    let mut asked: Vec<String> = (1_000..5_000).map(|number| format!("web{number}")).collect();
    asked.extend(names(&["web1000", "nobody"]));
    let found = opened.inventory.hosts_named(&asked).await.unwrap();
    assert_eq!(found.len(), 1_500);
    assert_eq!(opened.inventory.hosts_named(&[]).await.unwrap(), []);
}

pub(super) async fn hosts_and_groups_are_many_to_many(world: World) {
    let opened = world.open().await;
    let inventory = &opened.inventory;
    for name in ["a", "b", "c"] {
        inventory.add_host(host(name)).await.unwrap();
    }
    inventory
        .add_to_group("web", &names(&["b", "a", "a"]))
        .await
        .unwrap();
    inventory.add_to_group("db", &names(&["b", "c"])).await.unwrap();
    inventory.add_to_group("web", &names(&["a", "c"])).await.unwrap();
    assert_eq!(
        inventory.group("web").await.unwrap(),
        Some(names(&["a", "b", "c"]))
    );
    assert_eq!(inventory.group("db").await.unwrap(), Some(names(&["b", "c"])));
    let removed = inventory.remove_from_group("web", &names(&["a", "x", "b"])).await;
    assert_eq!(removed.unwrap(), 2);
    assert_eq!(inventory.group("web").await.unwrap(), Some(names(&["c"])));
    assert_eq!(inventory.group("db").await.unwrap(), Some(names(&["b", "c"])));
    assert!(inventory.remove_group("web").await.unwrap());
    assert!(!inventory.remove_group("web").await.unwrap());
    assert_eq!(inventory.group("web").await.unwrap(), None);
    assert_eq!(
        inventory.remove_from_group("web", &names(&["c"])).await.unwrap(),
        0
    );
    inventory.add_to_group("web", &[]).await.unwrap();
    assert_eq!(
        inventory.group("web").await.unwrap(),
        Some(Vec::new()),
        "a group that is made again is empty"
    );
}

pub(super) async fn groups_are_counted_empty_ones_too(world: World) {
    let opened = world.open().await;
    let many: Vec<String> = (0..1_200).map(|number| format!("h{number}")).collect();
    opened.inventory.add_to_group("many", &many).await.unwrap();
    opened.inventory.add_to_group("empty", &[]).await.unwrap();
    opened
        .inventory
        .add_to_group("one", &names(&["h1"]))
        .await
        .unwrap();
    let expected = [("empty", 0), ("many", 1_200), ("one", 1)];
    assert_eq!(
        counts(&opened).await,
        expected.map(|(name, count)| (name.to_owned(), count))
    );
    let removed = opened.inventory.remove_from_group("many", &many).await.unwrap();
    assert_eq!(removed, 1_200);
    assert_eq!(opened.inventory.group("many").await.unwrap(), Some(Vec::new()));
}

pub(super) async fn a_removed_host_is_in_no_group(world: World) {
    let opened = world.open().await;
    let inventory = &opened.inventory;
    for name in ["a", "b"] {
        inventory.add_host(host(name)).await.unwrap();
        inventory.add_to_group("g", &names(&[name])).await.unwrap();
    }
    inventory.add_to_group("h", &names(&["a"])).await.unwrap();
    let removed = inventory.remove_hosts(&names(&["a", "nobody"])).await;
    assert_eq!(removed.unwrap(), 1);
    assert_eq!(inventory.host("a").await.unwrap(), None);
    assert_eq!(inventory.group("g").await.unwrap(), Some(names(&["b"])));
    assert_eq!(inventory.group("h").await.unwrap(), Some(Vec::new()));
}

pub(super) async fn a_group_may_name_hosts_that_are_not_in_the_inventory(world: World) {
    let opened = world.open().await;
    let members = names(&["known-to-ssh-config", "me@db:2222"]);
    opened.inventory.add_to_group("g", &members).await.unwrap();
    assert_eq!(opened.inventory.group("g").await.unwrap(), Some(members));
    assert_eq!(opened.inventory.hosts().await.unwrap(), []);
}

pub(super) async fn names_are_data_and_never_statements(world: World) {
    let opened = world.open().await;
    for text in HOSTILE {
        opened
            .inventory
            .add_to_group(text, &names(&[text]))
            .await
            .unwrap();
        assert_eq!(opened.inventory.group(text).await.unwrap(), Some(names(&[text])));
        assert_eq!(opened.inventory.host(text).await.unwrap(), None);
    }
    assert_eq!(counts(&opened).await.len(), HOSTILE.len());
    for text in HOSTILE {
        let removed = opened.inventory.remove_hosts(&names(&[text])).await;
        assert_eq!(removed.unwrap(), 0);
        assert_eq!(opened.inventory.group(text).await.unwrap(), Some(Vec::new()));
        assert!(opened.inventory.remove_group(text).await.unwrap());
    }
    assert_eq!(counts(&opened).await, []);
}

pub(super) async fn a_wrong_name_is_refused(world: World) {
    let opened = world.open().await;
    let long = "x".repeat(10_000);
    for (group, host) in [("", "a"), (long.as_str(), "a"), ("g", ""), ("g", long.as_str())] {
        let error = opened.inventory.add_to_group(group, &names(&[host])).await;
        assert_eq!(error.unwrap_err().kind, ErrorKind::Invalid);
    }
    assert_eq!(counts(&opened).await, [], "a refusal changes nothing");
}
