//! `/etc/hosts`: an address, a name, and more names.

use std::collections::HashMap;
use std::net::IpAddr;

use super::draft::Draft;
use super::fault::{Findings, Place, shown};

/// The label that holds the names behind the first.
pub(super) const ALIAS: &str = "alias";

/// Reads the lines.
pub(super) fn read(text: &str, file: u32, findings: &mut Findings) -> Draft {
    let mut draft = Draft::default();
    let mut first: HashMap<String, usize> = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        if findings.is_full() {
            break;
        }
        let place = Place::line(file, number);
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(written) = words.next() else {
            continue;
        };
        let plain = written.split('%').next().unwrap_or_default();
        let Ok(address) = plain.parse::<IpAddr>() else {
            findings.fault(
                place,
                format!(
                    "'{}' is no address: write address, name, more names",
                    shown(written)
                ),
            );
            continue;
        };
        let Some(name) = words.next() else {
            findings.fault(place, "a name is missing: write address, name, more names");
            continue;
        };
        if is_passed_over(address) || name.starts_with("ip6-") {
            continue;
        }
        if let Some(line) = first.get(name) {
            findings.note(
                place,
                format!(
                    "'{}' has an address in line {line} already: this one is left out",
                    shown(name)
                ),
            );
            continue;
        }
        first.insert(name.to_owned(), number);
        let Some(id) = draft.host(name, place, findings) else {
            continue;
        };
        let aliases: Vec<&str> = words.collect();
        let record = draft.record(id);
        if written != name {
            record.address = Some(written.to_owned());
        }
        if !aliases.is_empty() {
            record.labels.insert(ALIAS.to_owned(), aliases.join(" "));
        }
    }
    draft
}

/// This machine, groups of machines and no machine at all.
fn is_passed_over(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    address.is_loopback() || address.is_multicast() || address.is_unspecified() || broadcast || {
        // The network of all multicast addresses, which Debian writes down.
        matches!(address, IpAddr::V6(address) if address.segments()[0] == 0xfe00)
    }
}
