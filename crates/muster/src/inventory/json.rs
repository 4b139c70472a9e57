//! Our own JSON: a document, or an array of hosts as `muster hosts list --json` prints it.

use muster_model::host::HostRecord;
use muster_model::inventory::Document;
use serde::de::DeserializeOwned;

use super::draft::Draft;
use super::fault::{Findings, Place};

/// Reads a document or an array of hosts.
pub(super) fn read(text: &str, file: u32, findings: &mut Findings) -> Draft {
    let mut draft = Draft::default();
    let document = if text.trim_start().starts_with('[') {
        parse::<Vec<HostRecord>>(text, file, findings).map(|hosts| Document {
            hosts,
            groups: Vec::new(),
        })
    } else {
        parse::<Document>(text, file, findings)
    };
    let Some(document) = document else {
        return draft;
    };
    let place = Place::whole(file);
    for record in document.hosts {
        if record.port == Some(0) {
            findings.fault(
                place,
                format!("the host '{}' has the port 0: a port is 1 to 65535", record.name),
            );
        }
        draft.add(record, place, findings);
    }
    for group in &document.groups {
        if draft.find_group(group.name.as_str()).is_some() {
            findings.fault(
                place,
                format!("the group '{}' is there twice: one is enough", group.name),
            );
        }
        draft.group(group.name.as_str(), place, findings);
    }
    for group in document.groups {
        let Some(id) = draft.find_group(group.name.as_str()) else {
            continue;
        };
        for host in group.hosts {
            draft.add_host(id, host);
        }
        for inner in &group.groups {
            match draft.find_group(inner.as_str()) {
                Some(inner) => draft.add_group(id, inner),
                None => findings.fault(
                    place,
                    format!(
                        "the group '{}' holds '{inner}', which is not there: write it too",
                        group.name
                    ),
                ),
            }
        }
    }
    draft
}

fn parse<T: DeserializeOwned>(text: &str, file: u32, findings: &mut Findings) -> Option<T> {
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(error) => {
            let place = Place {
                column: u32::try_from(error.column()).unwrap_or_default(),
                ..Place::line(file, error.line())
            };
            let told = error.to_string();
            let what = told
                .rsplit_once(" at line ")
                .map_or(told.as_str(), |(what, _)| what);
            findings.fault(
                place,
                format!("{what}: a document as `muster hosts export --format json` writes it is expected"),
            );
            None
        }
    }
}
