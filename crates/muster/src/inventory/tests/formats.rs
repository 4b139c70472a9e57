//! What is taken from where.

use std::path::Path;

use muster_model::Reach;

use super::{data, good};
use crate::inventory::{self, Format, Read};

fn told(read: &Read) -> Vec<String> {
    let hosts = read.document.hosts.iter().map(|host| {
        let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let port = host.port.map_or_else(|| "-".to_owned(), |port| port.to_string());
        format!("{} {} {} {port}", host.name, or(&host.address), or(&host.user))
    });
    hosts.collect()
}

fn groups(read: &Read) -> Vec<String> {
    let groups = read.document.groups.iter().map(|group| {
        let hosts: Vec<String> = group.hosts.iter().map(ToString::to_string).collect();
        let inner: Vec<String> = group.groups.iter().map(|name| format!("@{name}")).collect();
        format!("{}: {}", group.name, [inner, hosts].concat().join(" "))
    });
    groups.collect()
}

fn read(name: &str, format: Format) -> Read {
    let read =
        inventory::read(&data(name), None, None).unwrap_or_else(|faults| panic!("{name}: {faults:#?}"));
    assert_eq!(read.format, format, "{name}");
    assert!(read.guessed);
    read
}

#[test]
fn ssh_config_names_hosts() {
    let read = read("ssh/config", Format::SshConfig);
    assert_eq!(
        told(&read),
        [
            "included 192.0.2.77 - -",
            "web1 web1.example.com deploy 2222",
            "web2 web2.example.com deploy 2222",
            "web3 web3.example.com deploy 2222",
            "bastion 192.0.2.1 - -",
        ]
    );
    let notes: Vec<&str> = read.notes.iter().map(|note| note.what.as_str()).collect();
    assert!(notes.iter().any(|note| note.contains("Match")), "{notes:?}");
    assert!(
        notes.iter().any(|note| note.contains("pattern is no host")),
        "{notes:?}"
    );
}

#[test]
fn clustershell_names_groups_of_nodesets() {
    let read = read("clustershell/groups.d", Format::ClusterShell);
    assert_eq!(read.document.hosts.len(), 131);
    let compute = read
        .document
        .groups
        .iter()
        .find(|group| group.name.as_str() == "all");
    assert_eq!(compute.expect("a group").groups.len(), 3);
    let cpu = read
        .document
        .groups
        .iter()
        .find(|group| group.name.as_str() == "cpu");
    assert_eq!(cpu.expect("a group").hosts.len(), 124);
    let read = self::read("clustershell/static.cfg", Format::ClusterShell);
    assert_eq!(
        groups(&read),
        ["web: old web1 web2 web3", "db: db1 db2", "prod: @web @db"]
    );
    let faults = inventory::read(&data("clustershell/groups.conf"), None, None).expect_err("commands");
    let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [Some(6), Some(7)]);
}

#[test]
fn groups_of_several_sources_are_named_with_their_source() {
    let text = "rack:\n  r1: 'n[1-2]'\nrole:\n  web: '@rack:r1,x'\n  both: ['@web', y]\n";
    let read = good(text, Format::ClusterShell);
    assert_eq!(
        groups(&read),
        ["rack.r1: n1 n2", "role.web: @rack.r1 x", "role.both: @role.web y"]
    );
}

#[test]
fn etc_hosts_names_addresses_and_aliases() {
    let read = read("hosts", Format::Hosts);
    assert_eq!(
        told(&read),
        [
            "web1.example.com 10.0.0.1 - -",
            "db1 10.0.0.2 - -",
            "link fe80::1%eth0 - -"
        ]
    );
    assert_eq!(read.document.hosts[0].labels["alias"], "web1 www");
    assert!(
        read.notes[0].what.contains("in line 8 already"),
        "{:?}",
        read.notes
    );
}

#[test]
fn tables_hold_everything() {
    let text = "name,address,user,port,reach,credential,groups,label.rack,label.note\n\
        @prod,,,,,,,,\n@web,,,,,,prod,,\n\
        web1,10.0.0.1,deploy,2222,ssh,key-1,web prod,r7,\"a, \"\"b\"\"\n c\"\n\
        db[1-2],,,,agent,,db,\"\",\n# a comment\n\nlone\n";
    let read = good(text, Format::Csv);
    assert_eq!(
        told(&read),
        [
            "web1 10.0.0.1 deploy 2222",
            "db1 - - -",
            "db2 - - -",
            "lone - - -"
        ]
    );
    let first = &read.document.hosts[0];
    assert_eq!(first.labels["note"], "a, \"b\"\n c");
    assert_eq!(first.credential.as_ref().map(|name| name.as_str()), Some("key-1"));
    assert_eq!(
        read.document.hosts[1].labels.get("rack").map(String::as_str),
        Some("")
    );
    assert_eq!(read.document.hosts[1].reach, Some(Reach::Agent));
    assert_eq!(groups(&read), ["prod: @web web1", "web: web1", "db: db1 db2"]);
}

#[test]
fn lists_are_read_as_before() {
    let text = "# racks\nweb[1-2]  user=deploy port=2222 label:rack=r7 # left\n\ndb1 address=10.4.3.9\n";
    let read = good(text, Format::List);
    assert_eq!(
        told(&read),
        ["web1 - deploy 2222", "web2 - deploy 2222", "db1 10.4.3.9 - -"]
    );
    assert_eq!(read.document.hosts[0].labels["rack"], "r7");
    let array = serde_json::to_string(&read.document.hosts).expect("JSON");
    assert_eq!(good(&array, Format::Json).document, read.document);
}

#[test]
fn how_ansible_reaches_hosts_becomes_ours() {
    let read = inventory::read(&data("ansible/reach/hosts"), None, None).expect("it is good");
    assert_eq!(
        told(&read),
        [
            "localhost - - -",
            "other1 - myuser -",
            "other2 - - -",
            "win - - -",
            "tmpl - - -",
            "old 192.0.2.7 legacy 2022",
        ]
    );
    let host = |at: usize| &read.document.hosts[at];
    assert_eq!(host(0).reach, Some(Reach::Local));
    assert_eq!(host(1).reach, Some(Reach::Ssh));
    assert_eq!(host(2).labels["ansible_become"], "true");
    assert_eq!(host(3).labels["ansible_connection"], "winrm");
    assert_eq!(host(4).labels["ansible_host"], "{{ address }}");
    assert_eq!(read.notes.len(), 5, "{:#?}", read.notes);
}

#[test]
fn json_with_characters_in_two_halves_is_read() {
    let text = r#"{"_meta": {"hostvars": {"a": {"x": "\ud83d\ude00 \\ud83d \u00e9\/"}}}, "web": ["a"]}"#;
    let read = good(text, Format::AnsibleJson);
    assert_eq!(read.document.hosts[0].labels["x"], "😀 \\ud83d é/");
    assert_eq!(groups(&read), ["web: a"]);
}

#[test]
fn a_file_that_is_not_there_or_empty_is_named() {
    let faults = inventory::read(Path::new("no/such/file"), None, None).expect_err("missing");
    assert!(
        faults[0]
            .to_string()
            .starts_with("no/such/file: it cannot be read"),
        "{faults:?}"
    );
    let faults = super::read_text("# nothing\n", None).expect_err("empty");
    assert!(faults[0].what.contains("no host and no group"), "{faults:?}");
}
