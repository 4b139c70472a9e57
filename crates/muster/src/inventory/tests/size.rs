//! A large inventory is read in one go, and takes no longer for each host than a small one.

use std::fmt::Write;

use super::good;
use crate::inventory::{Format, write};

#[test]
fn ten_thousand_hosts_in_a_hundred_groups_are_read_and_written() {
    let mut text = String::from("[all:vars]\nntp=ntp.example.com\n");
    for group in 0..100 {
        let _ = write!(
            text,
            "[rack{group}]\nr{group}n[1:100].example.com ansible_user=deploy slot={group}\n"
        );
        let _ = write!(
            text,
            "[rack{group}:vars]\nrow={}\n[site{}:children]\nrack{group}\n",
            group / 10,
            group / 10
        );
    }
    for site in 0..10 {
        let _ = writeln!(text, "[site{site}]");
    }
    let document = good(&text, Format::AnsibleIni).document;
    assert_eq!((document.hosts.len(), document.groups.len()), (10_000, 110));
    assert_eq!(document.hosts[9_999].labels.len(), 3);
    for format in [Format::Json, Format::Csv, Format::AnsibleYaml, Format::AnsibleIni] {
        let written = write(format, &document).expect("writable");
        assert_eq!(
            good(&written.text, format).document.hosts,
            document.hosts,
            "{format}"
        );
    }
}
