//! What is wrong is said with its place, all of it at once.

use super::{data, good, read_text};
use crate::inventory::{self, Format};

#[test]
fn all_the_faults_of_a_file_are_said_with_their_lines() {
    let path = data("wrong/hosts.ini");
    let faults = inventory::read(&path, None, None).expect_err("it is wrong");
    let lines: Vec<u32> = faults.iter().filter_map(|fault| fault.line).collect();
    for line in [3, 5, 6, 7, 8, 9, 10, 11, 12, 16] {
        assert!(lines.contains(&line), "line {line}: {faults:#?}");
    }
    let told = faults[1].to_string();
    assert!(told.contains("hosts.ini:") && told.contains(": "), "{told}");
}

#[test]
fn a_circle_of_groups_is_named() {
    let faults = inventory::read(&data("wrong/cycle/hosts"), None, None).expect_err("a circle");
    let told = faults[0].to_string();
    assert!(
        told.contains("in a circle")
            && ["a > b", "b > c", "c > a"]
                .iter()
                .filter(|step| told.contains(**step))
                .count()
                >= 2,
        "{told}"
    );
    let json = r#"{"groups": [{"name": "a", "groups": ["b"]}, {"name": "b", "groups": ["a"]}]}"#;
    let faults = read_text(json, None).expect_err("a circle");
    assert!(faults[0].what.contains("in a circle"), "{faults:?}");
}

#[test]
fn no_more_than_fifty_faults_are_collected() {
    let faults = read_text(&"bad/name\n".repeat(1000), Some(Format::AnsibleIni)).expect_err("wrong");
    assert_eq!(faults.len(), 50);
}

#[test]
fn what_is_wrong_in_each_format_is_named_with_its_line() {
    for (format, text, line, part) in [
        (Format::List, "a\nb port=x\n", 2, "'x' is not a port"),
        (Format::List, "a colour=red", 1, "'colour' is none of"),
        (Format::List, "a user", 1, "'user' is not KEY=VALUE"),
        (
            Format::List,
            "a[1-2] address=10.0.0.1",
            1,
            "an address is of one host",
        ),
        (Format::List, "me@a", 1, "'me@a' is no name"),
        (Format::List, "a\na\n", 2, "twice, first in line 1"),
        (Format::Csv, "name,colour\na,b\n", 1, "'colour' is no column"),
        (Format::Csv, "address\na\n", 1, "no column 'name'"),
        (Format::Csv, "name,port\na,22\nb,0\n", 3, "'0' is not a port"),
        (Format::Csv, "name,port\n\"a\nb", 2, "a quote is not closed"),
        (Format::Csv, "name\na,b\n", 2, "2 cells"),
        (
            Format::Csv,
            "name,reach\na,telnet\n",
            2,
            "none of ssh, local, agent",
        ),
        (Format::Csv, "name,groups\na,we@b\n", 2, "rename it"),
        (
            Format::Json,
            "{\n\"hosts\": [{\"name\": \"a b\"}]}",
            2,
            "is not a host name",
        ),
        (Format::Json, "{\"host\": []}", 1, "unknown field"),
        (Format::Hosts, "10.0.0.1 a\nnonsense b\n", 2, "is no address"),
        (Format::Hosts, "10.0.0.1\n", 1, "a name is missing"),
        (
            Format::SshConfig,
            "Host a\n  Port many\n",
            2,
            "'many' is not a port",
        ),
        (Format::SshConfig, "Host \"a\n", 1, "a quote is not closed"),
        (Format::ClusterShell, "a: web[1-\n", 1, "["),
        (Format::ClusterShell, "a: @b\n", 1, "no group '@b'"),
        (
            Format::ClusterShell,
            "[local]\nmap: echo\nlist: ls\n",
            2,
            "'map' of the source 'local' is a command",
        ),
        (
            Format::AnsibleYaml,
            "all:\n  hosts: [a]\n",
            2,
            "a map is expected",
        ),
        (Format::AnsibleYaml, "all:\n\thosts:\n", 2, "not YAML"),
        (
            Format::AnsibleYaml,
            "all:\n  hosts:\n    a:\n      x: !odd 1\n",
            4,
            "the tag",
        ),
        (
            Format::AnsibleYaml,
            "a: {hosts: {x: 5}}\n",
            1,
            "a map of variables",
        ),
        (Format::AnsibleYaml, "plugin: aws_ec2\n", 1, "plugin"),
        (
            Format::AnsibleJson,
            "{\"web\": {\"hosts\": \"a\"}}",
            1,
            "a list of names",
        ),
        (Format::AnsibleIni, "#!/bin/sh\n", 1, "a program"),
        (Format::AnsibleIni, "[we@b]\nx\n", 1, "rename it"),
        (
            Format::AnsibleIni,
            "a ansible_port=many\n",
            1,
            "'many' is no port",
        ),
    ] {
        let faults = read_text(text, Some(format)).expect_err(text);
        let fits = faults
            .iter()
            .any(|fault| fault.line == Some(line) && fault.what.contains(part));
        assert!(fits, "{format} {text:?}: {faults:#?}");
    }
}

#[test]
fn long_labels_are_refused_where_they_are_written() {
    let text = format!("[web]\na\nb\n[web:vars]\nshort=1\nlong={}\n", "x".repeat(5000));
    let faults = read_text(&text, Some(Format::AnsibleIni)).expect_err("too long");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].line, Some(6));
    let many: String = (0..300).map(|n| format!(" v{n}=1")).collect();
    let faults = read_text(&format!("a{many}\n"), Some(Format::AnsibleIni)).expect_err("too many");
    assert!(faults[0].what.contains("at most 256"), "{faults:?}");
}

#[test]
fn aliases_that_multiply_and_values_that_nest_are_refused() {
    let mut text = String::from("a: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("b{level}: &a{level} [{before}]\n"));
    }
    let faults = read_text(&text, Some(Format::AnsibleYaml)).expect_err("a bomb");
    assert!(faults[0].what.contains("more than"), "{faults:?}");
    let deep = format!("a: {}", "[".repeat(5000));
    let faults = read_text(&deep, Some(Format::AnsibleYaml)).expect_err("deep");
    assert!(faults[0].what.contains("not YAML: recursion limit"), "{faults:?}");
    let deep = format!("a: {}1{}", "[".repeat(200), "]".repeat(200));
    let faults = read_text(&deep, Some(Format::AnsibleYaml)).expect_err("deep");
    assert!(faults[0].what.contains("deep"), "{faults:?}");
    let mut groups = String::new();
    for level in 0..100 {
        groups.push_str(&format!("[g{level}:children]\ng{}\n", level + 1));
    }
    groups.push_str("[g100]\nx\n");
    let faults = read_text(&groups, Some(Format::AnsibleIni)).expect_err("deep");
    assert!(faults[0].what.contains("groups deep"), "{faults:?}");
}

#[test]
fn secrets_are_left_out_and_never_shown() {
    let text =
        "a ansible_password=hunter2 ansible_become_pass=hunter2 ansible_ssh_private_key_file=/hunter2\n";
    let read = good(text, Format::AnsibleIni);
    assert!(read.document.hosts[0].labels.is_empty());
    assert_eq!(read.notes.len(), 3);
    assert!(
        read.notes[0].what.contains("muster credentials add"),
        "{:?}",
        read.notes
    );
    assert!(!format!("{read:?}").contains("hunter2"));
    let vault = "all:\n  hosts:\n    a:\n      db: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        313233\n      nested: {x: [!vault 'y']}\n";
    let read = good(vault, Format::AnsibleYaml);
    assert!(read.document.hosts[0].labels.is_empty(), "{read:?}");
    assert_eq!(read.notes.len(), 2);
    assert!(!format!("{read:?}").contains("313233"));
}
