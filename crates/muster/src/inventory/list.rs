//! A list: one host pattern a line, with fields behind it.

use muster_model::host::HostRecord;
use muster_model::inventory::CredentialName;
use muster_model::pattern::{self, NoGroups};
use muster_model::{HostName, limits};

use super::draft::Draft;
use super::fault::{Findings, Place, shown};

/// Reads the lines.
pub(super) fn read(text: &str, file: u32, findings: &mut Findings) -> Draft {
    let mut draft = Draft::default();
    for (number, line) in (1..).zip(text.lines()) {
        if findings.is_full() {
            break;
        }
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            let place = Place::line(file, number);
            if let Err(why) = read_line(line, place, &mut draft, findings) {
                findings.fault(place, why);
            }
        }
    }
    draft
}

/// Returns the names that a pattern without groups stands for.
pub(super) fn names(pattern: &str) -> Result<Vec<HostName>, String> {
    if pattern.contains('@') {
        return Err(format!(
            "'{}' is no name for a host of the inventory: write names and patterns such as web[01-20]; the user is \
             a field of its own",
            shown(pattern)
        ));
    }
    let names = pattern::expand(pattern, &NoGroups).map_err(|error| error.to_string())?;
    if names.is_empty() {
        return Err(format!("'{}' names no host", shown(pattern)));
    }
    debug_assert!(names.len() as u64 <= limits::HOSTS_PER_TASK);
    let parsed = names.into_iter().map(|name| name.parse::<HostName>());
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

/// Returns a port.
pub(super) fn port(text: &str) -> Result<u16, String> {
    let port = text.parse::<u16>().ok().filter(|port| *port > 0);
    port.ok_or_else(|| {
        format!(
            "'{}' is not a port: a port is a number from 1 to 65535",
            shown(text)
        )
    })
}

fn read_line(line: &str, place: Place, draft: &mut Draft, findings: &mut Findings) -> Result<(), String> {
    let mut words = line.split_whitespace();
    let names = names(words.next().unwrap_or_default())?;
    let mut fields = HostRecord::named(names.first().cloned().ok_or("no host is named")?);
    for word in words {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| format!("'{}' is not KEY=VALUE", shown(word)))?;
        match key {
            "address" if names.len() > 1 => return Err("an address is of one host".to_owned()),
            "address" => fields.address = Some(value.to_owned()),
            "user" => fields.user = Some(value.to_owned()),
            "port" => fields.port = Some(port(value)?),
            "credential" => {
                fields.credential = Some(
                    value
                        .parse::<CredentialName>()
                        .map_err(|error| error.to_string())?,
                );
            }
            _ => match key.strip_prefix("label:") {
                Some(label) if !label.is_empty() => {
                    fields.labels.insert(label.to_owned(), value.to_owned());
                }
                _ => {
                    return Err(format!(
                        "'{}' is none of address, user, port, credential, label:NAME, as in user=deploy port=2222 \
                         label:rack=r7",
                        shown(key)
                    ));
                }
            },
        }
    }
    for name in names {
        let mut record = fields.clone();
        record.name = name;
        draft.add(record, place, findings);
    }
    Ok(())
}
