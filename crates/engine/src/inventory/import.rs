//! Taking over whole inventories, and giving ours out.

use muster_model::inventory::{Document, LABEL_KEY_BYTES, LABEL_VALUE_BYTES, LABELS};
use muster_model::problem::Code;
use muster_model::wire::{Import, ImportReport};
use muster_model::{ErrorKind, Problem, limits};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::plan::{Plan, plan};
use super::verbs::{check, wrong};
use crate::core::Core;
use crate::fault;

/// How often an import is compared anew where somebody else changes the inventory meanwhile.
const TRIES: u32 = 10;

impl Core {
    /// Returns the whole inventory, without facts.
    pub(crate) async fn document(&self) -> Result<Document, Problem> {
        let inventory = &self.rooms.database.inventory;
        let failed = |error: muster_store::Error| fault::of_store(&error);
        Ok(Document {
            hosts: inventory.hosts().await.map_err(failed)?,
            groups: inventory.groups().await.map_err(failed)?,
        })
    }

    /// Compares a document with the inventory, and takes it over in one transaction unless that is only to be said.
    pub(crate) async fn import(&self, import: Import) -> Result<ImportReport, Problem> {
        check_document(&import.document)?;
        // A large document is in memory once, however often it is compared.
        let import = Arc::new(import);
        let inventory = &self.rooms.database.inventory;
        let mut tries = 0;
        loop {
            tries += 1;
            let seen = inventory
                .revision()
                .await
                .map_err(|error| fault::of_store(&error))?;
            let Plan { edits, mut report } = self.compare(&import).await?;
            if import.dry_run {
                return Ok(report);
            }
            report.applied = true;
            if edits.is_empty() {
                return Ok(report);
            }
            match self.change(edits, Some(seen)).await {
                Ok(_) => return Ok(report),
                Err(error) if error.kind == ErrorKind::Conflict && tries < TRIES => {}
                Err(error) => return Err(fault::of_store(&error)),
            }
        }
    }

    async fn compare(&self, import: &Arc<Import>) -> Result<Plan, Problem> {
        let Document { hosts, groups } = self.document().await?;
        let import = Arc::clone(import);
        // A hundred thousand hosts take their time: not on a thread that others wait for.
        let compared = self.tasks.blocking("compare inventories", move || {
            plan(&import.document, hosts, groups, import.prune)
        });
        compared.await.ok_or_else(|| {
            Problem::new(
                Code::Internal,
                "the inventories could not be compared: see the log",
            )
        })
    }
}

fn check_document(document: &Document) -> Result<(), Problem> {
    if document.hosts.len() as u64 > limits::HOSTS_PER_TASK {
        return Err(Problem::new(
            Code::TooLarge,
            format!(
                "the document has {} hosts, the limit is {}",
                document.hosts.len(),
                limits::HOSTS_PER_TASK
            ),
        )
        .hint("import it in parts"));
    }
    let mut names = BTreeSet::new();
    for host in &document.hosts {
        check(host)?;
        if !names.insert(&host.name) {
            return Err(wrong(format!(
                "the host '{}' stands twice in the document",
                host.name
            )));
        }
    }
    let mut names = BTreeSet::new();
    for group in &document.groups {
        if !names.insert(&group.name) {
            return Err(wrong(format!(
                "the group '{}' stands twice in the document",
                group.name
            )));
        }
    }
    Ok(())
}

/// Checks the labels of a host against their limits.
pub(super) fn check_labels(host: &muster_model::host::HostRecord) -> Result<(), Problem> {
    if host.labels.len() > LABELS {
        return Err(wrong(format!(
            "the host {} has {} labels, the limit is {LABELS}",
            host.name,
            host.labels.len()
        )));
    }
    for (key, value) in &host.labels {
        if key.is_empty() || key.len() > LABEL_KEY_BYTES || value.len() > LABEL_VALUE_BYTES {
            let shown: String = key.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err(wrong(format!(
                "the label '{shown}' of host {}: a key has 1 to {LABEL_KEY_BYTES} bytes, a value at most \
                 {LABEL_VALUE_BYTES}",
                host.name
            )));
        }
    }
    Ok(())
}
