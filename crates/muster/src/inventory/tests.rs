//! Tests of reading and writing inventories.

mod faults;
mod formats;
mod peer;
mod size;
mod writing;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use muster_model::inventory::Document;

use super::{Fault, Format, Read};

/// Returns a file of the test data.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/inventory")
        .join(name)
}

fn read_text(text: &str, format: Option<Format>) -> Result<Read, Vec<Fault>> {
    super::read(
        Path::new("-"),
        format,
        Some(Bytes::copy_from_slice(text.as_bytes())),
    )
}

#[track_caller]
fn good(text: &str, format: Format) -> Read {
    read_text(text, Some(format)).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"))
}

/// Puts the members of groups and the groups in an order: it means nothing.
fn sorted(mut document: Document) -> Document {
    for group in &mut document.groups {
        group.hosts.sort();
        group.groups.sort();
    }
    document.groups.sort_by(|left, right| left.name.cmp(&right.name));
    document.hosts.sort_by(|left, right| left.name.cmp(&right.name));
    document
}
