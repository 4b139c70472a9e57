//! Hosts, their facts and their groups in the database.

mod change;
pub(super) mod lines;
mod membership;
mod read;
mod revision;

use std::sync::Arc;

use async_trait::async_trait;
use muster_model::host::HostRecord;
use muster_model::inventory::Group;

use super::Database;
use crate::error::Error;
use crate::port::Inventory;
use crate::types::{Changed, Edit, GroupRecord, HostChanges, HostFacts, Revision};

/// Names in one `IN (…)`.
const NAMES: usize = 1000;

#[async_trait]
impl Inventory for Database {
    async fn change(&self, edits: Vec<Edit>, seen: Option<Revision>) -> Result<Changed, Error> {
        let edits = Arc::new(edits);
        self.writer
            .repeat(
                "change the inventory",
                Box::new(move |transaction| {
                    let edits = Arc::clone(&edits);
                    Box::pin(async move { change::change(transaction, &edits, seen).await })
                }),
            )
            .await
    }

    async fn revision(&self) -> Result<Revision, Error> {
        revision::read(&self.readers).await
    }

    async fn host(&self, name: &str) -> Result<Option<HostRecord>, Error> {
        read::host(&self.readers, name).await
    }

    async fn hosts_named(&self, names: &[String]) -> Result<Vec<HostRecord>, Error> {
        read::hosts_named(&self.readers, names).await
    }

    async fn hosts(&self) -> Result<Vec<HostRecord>, Error> {
        read::hosts(&self.readers).await
    }

    async fn host_names(&self, prefix: &str, limit: u32) -> Result<Vec<String>, Error> {
        read::host_names(&self.readers, prefix, limit).await
    }

    async fn changed_since(&self, seen: Option<Revision>) -> Result<HostChanges, Error> {
        read::changed_since(&self.readers, seen).await
    }

    async fn put_facts(&self, facts: Vec<HostFacts>) -> Result<u64, Error> {
        if facts.is_empty() {
            return Ok(0);
        }
        let facts = Arc::new(facts);
        self.writer
            .repeat(
                "keep facts",
                Box::new(move |transaction| {
                    let facts = Arc::clone(&facts);
                    Box::pin(async move { change::put_facts(transaction, &facts).await })
                }),
            )
            .await
    }

    async fn facts_named(&self, names: &[String]) -> Result<Vec<HostFacts>, Error> {
        read::facts_named(&self.readers, names).await
    }

    async fn group(&self, name: &str) -> Result<Option<Group>, Error> {
        read::group(&self.readers, name).await
    }

    async fn groups(&self) -> Result<Vec<Group>, Error> {
        read::groups(&self.readers).await
    }

    async fn groups_counted(&self) -> Result<Vec<GroupRecord>, Error> {
        read::groups_counted(&self.readers).await
    }
}
