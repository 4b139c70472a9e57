//! Hosts and groups over a real socket.

use muster_model::host::HostRecord;
use muster_model::inventory::Document;
use muster_model::problem::Code;
use muster_model::wire::{Import, Members, Targets};

use super::bench::{api, targets};

fn members(hosts: &[&str], groups: &[&str]) -> Members {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Members {
        hosts: texts(hosts),
        groups: texts(groups),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_hold_groups_and_never_themselves() {
    let api = api().await;
    let client = &api.client;
    for (name, members) in [
        ("web", members(&["web[1-2]"], &[])),
        ("db", members(&["db1", "web1"], &[])),
        ("empty", members(&[], &[])),
        ("site", members(&["lb"], &["web", "@db"])),
    ] {
        client.add_to_group(name, &members).await.expect("a group");
    }
    let counted = client.groups().await.expect("groups");
    let counted: Vec<(&str, u32, u32)> = counted
        .iter()
        .map(|group| (group.name.as_str(), group.count, group.groups))
        .collect();
    assert_eq!(
        counted,
        [("db", 2, 0), ("empty", 0, 0), ("site", 4, 2), ("web", 2, 0)]
    );
    let site = client.group("site").await.expect("a group");
    assert_eq!((site.count, site.hosts.as_str()), (4, "db1,lb,web[1-2]"));
    let expanded = client.expand(&targets(&["@site!@web"])).await.expect("hosts");
    assert_eq!(expanded.hosts, ["db1", "lb"]);
    let circle = client
        .add_to_group("web", &members(&["web9"], &["site"]))
        .await
        .expect_err("a circle");
    assert_eq!(circle.code, Code::InvalidRequest);
    assert!(circle.detail.contains("site > web > site") || circle.detail.contains("web > site > web"));
    assert_eq!(
        client.group("web").await.expect("a group").count,
        2,
        "nothing was done"
    );
    let unknown = client
        .add_to_group("web", &members(&[], &["nobody"]))
        .await
        .expect_err("no such group");
    assert_eq!(unknown.code, Code::UnknownGroup);
    client
        .remove_from_group("site", &members(&[], &["db"]))
        .await
        .expect("taken out");
    assert_eq!(client.group("site").await.expect("a group").count, 3);
    assert_eq!(client.names("we", 10).await.expect("names"), Vec::<String>::new());
    assert_eq!(
        client.names("@", 10).await.expect("names"),
        ["@db", "@empty", "@site", "@web"]
    );
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_says_what_it_does_and_does_it_once() {
    let api = api().await;
    let client = &api.client;
    let document: Document = serde_json::from_str(
        r#"{"hosts": [{"name": "web1", "port": 2222, "labels": {"rack": "7"}}, {"name": "db1"}],
            "groups": [{"name": "web", "hosts": ["web1", "web2"], "groups": ["inner"]}]}"#,
    )
    .expect("a document");
    let import = |prune, dry_run| Import {
        document: document.clone(),
        prune,
        dry_run,
    };
    let planned = client.import(&import(false, true)).await.expect("a plan");
    assert!(!planned.applied);
    assert_eq!((planned.hosts.added, planned.groups.added), (2, 1));
    assert_eq!(client.hosts(None, None).await.expect("hosts").len(), 0);
    let done = client.import(&import(false, false)).await.expect("done");
    assert!(done.applied);
    assert_eq!(done.steps, planned.steps);
    let again = client.import(&import(false, false)).await.expect("done");
    assert_eq!((again.hosts.unchanged, again.groups.unchanged), (2, 1));
    assert_eq!(again.steps, []);
    let mut other: Vec<HostRecord> = client.hosts(Some("web1"), None).await.expect("hosts");
    other[0].labels.insert("owner".into(), "ops".into());
    other.push(serde_json::from_str(r#"{"name": "old"}"#).expect("a host"));
    client.set_hosts(&other).await.expect("set");
    let kept = client.import(&import(false, false)).await.expect("done");
    assert_eq!(
        (kept.hosts.unchanged, kept.hosts.left),
        (2, 1),
        "labels of others stay"
    );
    let pruned = client.import(&import(true, false)).await.expect("done");
    assert_eq!((pruned.hosts.changed, pruned.hosts.removed), (1, 1));
    assert_eq!(client.document().await.expect("a document").hosts, {
        let mut hosts = document.hosts.clone();
        hosts.sort_by(|one, other| one.name.cmp(&other.name));
        hosts
    });
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_choose_among_what_patterns_name_and_say_why() {
    let api = api().await;
    let client = &api.client;
    let hosts: Vec<HostRecord> = serde_json::from_str(
        r#"[{"name": "web1", "labels": {"env": "prod"}}, {"name": "web2", "labels": {"env": "test"}},
            {"name": "db1", "labels": {"env": "prod"}}]"#,
    )
    .expect("hosts");
    client.add_hosts(&hosts).await.expect("added");
    client
        .add_to_group("web", &members(&["web[1-2]"], &[]))
        .await
        .expect("a group");
    let chosen = |hosts: &[&str], selector: &str| Targets {
        selector: Some(selector.to_owned()),
        ..targets(hosts)
    };
    let prod = r#"labels.env == "prod""#;
    let table: [(&[&str], &str, &[&str]); 4] = [
        (&[], prod, &["db1", "web1"]),
        (&["web[1-9]"], prod, &["web1"]),
        (&["@web"], r#"not ("web" in groups)"#, &[]),
        (&["web9", "db1"], r#"name == "web9""#, &["web9"]),
    ];
    for (hosts, selector, expected) in table {
        let found = client.expand(&chosen(hosts, selector)).await.expect("hosts");
        assert_eq!(found.hosts, expected, "{hosts:?} {selector}");
    }
    let mut asked = chosen(&["web[1-2]", "db1"], prod);
    asked.exclude.push("db*".into());
    let told = client.explain(&asked).await.expect("explained");
    assert_eq!((told.chosen, told.left_out), (1, 2));
    let why = |host: &str| {
        let found = told.hosts.iter().find(|told| told.host == host).expect("told");
        (found.chosen, found.why.join("; "))
    };
    assert!(why("web1").0);
    assert!(why("web2").1.contains("test"), "{:?}", why("web2"));
    assert_eq!(why("db1"), (false, "left out by -x db*".to_owned()));
    let wrong = client
        .expand(&chosen(&[], "labels.env = prod"))
        .await
        .expect_err("wrong");
    assert_eq!(wrong.code, Code::InvalidSelector);
    assert!(wrong.detail.contains("column 12"), "{wrong}");
    client.remove_hosts("web2").await.expect("removed");
    let left = client
        .expand(&chosen(&[], r#"labels.env == "test""#))
        .await
        .expect("hosts");
    assert_eq!(left.hosts, Vec::<String>::new(), "what is gone is chosen no more");
    api.connected.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inventory_is_kept_and_patterns_are_read() {
    let api = api().await;
    let client = &api.client;
    let host = |name: &str| HostRecord {
        name: name.parse().expect("a name"),
        address: None,
        user: None,
        port: None,
        reach: None,
        labels: Default::default(),
        credential: None,
    };
    client
        .add_hosts(&[host("web1"), host("web2"), host("db1")])
        .await
        .expect("added");
    let problem = client
        .add_hosts(&[host("web3"), host("web1")])
        .await
        .expect_err("there");
    assert_eq!(problem.code, Code::AlreadyExists);
    assert_eq!(client.hosts(None, None).await.expect("hosts").len(), 3);
    client
        .set_hosts(&[host("web1"), host("web3")])
        .await
        .expect("set");
    let group = client
        .add_to_group("web", &members(&["web[1-3]"], &[]))
        .await
        .expect("a group");
    assert_eq!((group.count, group.hosts.as_str()), (3, "web[1-3]"));
    client
        .remove_from_group("web", &members(&["web2"], &[]))
        .await
        .expect("removed");
    assert_eq!(
        client.expand(&targets(&["@web"])).await.expect("hosts").hosts,
        ["web1", "web3"]
    );
    assert_eq!(
        client
            .fold(&targets(&["n3", "n1", "n2"]))
            .await
            .expect("hosts")
            .folded,
        "n[1-3]"
    );
    client.remove_hosts("web[1-3]").await.expect("removed");
    assert_eq!(client.hosts(None, None).await.expect("hosts").len(), 1);
    client.remove_group("web").await.expect("removed");
    assert_eq!(client.groups().await.expect("groups").len(), 0);
    let (answer, problem) = api.get("/openapi.json").await;
    assert!(answer.starts_with("HTTP/1.1 200") && problem.is_none());
    assert!(
        client
            .doctor()
            .await
            .expect("checks")
            .iter()
            .all(|check| check.ok)
    );
    api.connected.close().await;
}
