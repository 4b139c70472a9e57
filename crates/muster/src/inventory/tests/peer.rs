//! What we read is what `ansible-inventory --list` says: hosts, groups, children and variables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use muster_model::Reach;
use muster_model::inventory::Document;
use muster_testkit::{ansible, require};
use serde_json::Value;

use super::{data, good, sorted};
use crate::inventory::{self, Format};

const INVENTORIES: &[&str] = &[
    "simple/hosts",
    "ranges/hosts",
    "nested/hosts",
    "quoting/hosts.ini",
    "precedence/hosts",
    "addresses/hosts",
    "yaml/inventory.yml",
    "aliases/hosts.yaml",
    "folder",
    "priority/hosts",
    "reach/hosts",
];

#[test]
fn every_inventory_is_read_as_ansible_reads_it() {
    let program = require!(ansible::inventory());
    let home = tempfile::tempdir().expect("a folder");
    for name in INVENTORIES {
        let path = data("ansible").join(name);
        let listed = ansible::list(&program, &path, home.path()).expect(name);
        let read = inventory::read(&path, None, None).expect(name);
        compare(name, &read.document, &listed);
        // Its output is a format of its own, and says the same.
        let text = String::from_utf8(listed.clone()).expect("UTF-8");
        let again = good(&text, Format::AnsibleJson).document;
        compare(&format!("{name} as JSON"), &again, &listed);
    }
}

#[test]
fn what_is_written_for_ansible_is_read_by_it() {
    let program = require!(ansible::inventory());
    let home = tempfile::tempdir().expect("a folder");
    for name in INVENTORIES {
        let document = inventory::read(&data("ansible").join(name), None, None)
            .expect(name)
            .document;
        for (format, file) in [
            (Format::AnsibleIni, "hosts.ini"),
            (Format::AnsibleYaml, "hosts.yml"),
        ] {
            let written = inventory::write(format, &document).expect("writable");
            let path = home.path().join(file);
            std::fs::write(&path, &written.text).expect("written");
            let listed = ansible::list(&program, &path, home.path()).expect(name);
            let told = format!("{name} as {format}");
            compare(&told, &document, &listed);
            let again = inventory::read(&path, Some(format), None).expect(&told).document;
            assert_eq!(
                sorted(again),
                sorted(document.clone()),
                "{told}\n{}",
                written.text
            );
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Members {
    hosts: BTreeSet<String>,
    groups: BTreeSet<String>,
}

#[track_caller]
fn compare(name: &str, document: &Document, listed: &[u8]) {
    let listed: Value = serde_json::from_slice(listed).expect("JSON");
    let mut groups: BTreeMap<String, Members> = BTreeMap::new();
    let mut hosts = BTreeSet::new();
    for (group, value) in listed.as_object().expect("groups") {
        let names = |key: &str| -> BTreeSet<String> {
            let list = value[key].as_array().cloned().unwrap_or_default();
            list.iter()
                .map(|name| name.as_str().expect("a name").to_owned())
                .collect()
        };
        hosts.extend(names("hosts"));
        for child in names("children") {
            groups.entry(child).or_default();
        }
        let members = groups.entry(group.clone()).or_default();
        members.hosts = names("hosts");
        members.groups = names("children");
    }
    groups.retain(|group, _| !["all", "ungrouped", "_meta"].contains(&group.as_str()));
    let ours: BTreeMap<String, Members> = document
        .groups
        .iter()
        .map(|group| {
            let members = Members {
                hosts: group.hosts.iter().map(ToString::to_string).collect(),
                groups: group.groups.iter().map(ToString::to_string).collect(),
            };
            (group.name.to_string(), members)
        })
        .collect();
    assert_eq!(ours, groups, "the groups of {name}");
    let names: BTreeSet<String> = document.hosts.iter().map(|host| host.name.to_string()).collect();
    assert_eq!(names, hosts, "the hosts of {name}");
    for host in &document.hosts {
        let theirs = listed["_meta"]["hostvars"][host.name.as_str()]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let theirs: BTreeMap<String, String> = theirs
            .into_iter()
            .filter(|(key, _)| !is_left_out(key))
            .map(|(key, value)| (current(&key).to_owned(), label(&key, &value)))
            .collect();
        assert_eq!(
            variables(host),
            theirs,
            "the variables of {} in {name}",
            host.name
        );
    }
}

/// What Ansible would have for one of our hosts.
fn variables(host: &muster_model::host::HostRecord) -> BTreeMap<String, String> {
    let mut all = host.labels.clone();
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            all.insert(key.to_owned(), value);
        }
    };
    put("ansible_host", host.address.clone());
    put("ansible_port", host.port.map(|port| port.to_string()));
    put("ansible_user", host.user.clone());
    put(
        "ansible_connection",
        host.reach
            .map(|reach| if reach == Reach::Local { "local" } else { "ssh" }.to_owned()),
    );
    all
}

/// Returns a value as a label has it. There is one way of SSH for us.
fn label(key: &str, value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (key, text.as_str()) {
        ("ansible_connection", "paramiko") => "ssh".to_owned(),
        _ => text,
    }
}

fn is_left_out(key: &str) -> bool {
    [
        "ansible_password",
        "ansible_become_password",
        "ansible_ssh_private_key_file",
    ]
    .contains(&key)
}

fn current(key: &str) -> &str {
    match key {
        "ansible_ssh_host" => "ansible_host",
        "ansible_ssh_port" => "ansible_port",
        "ansible_ssh_user" => "ansible_user",
        other => other,
    }
}

#[test]
fn what_ansible_refuses_is_refused() {
    let program = require!(ansible::inventory());
    let home = tempfile::tempdir().expect("a folder");
    for (name, text) in [
        ("novalue", "web1 novalue\n"),
        ("quote", "web1 a='b\n"),
        ("ghost", "[ghost:vars]\na=1\n"),
        ("child", "[a:children]\nghost\n"),
        ("cycle", "[a:children]\nb\n[b:children]\na\n"),
        ("self", "[a:children]\na\n"),
        ("padding", "w[01:100]\n"),
        ("section", "[a b]\nweb1\n"),
        ("kind", "[a:hots]\nweb1\n"),
    ] {
        let path = home.path().join(name);
        std::fs::write(&path, text).expect("written");
        assert!(
            ansible::list(&program, Path::new(&path), home.path()).is_err(),
            "{name}"
        );
        assert!(
            inventory::read(&path, Some(Format::AnsibleIni), None).is_err(),
            "{name}"
        );
    }
}
