//! The inventory is read before somebody asks.

use std::sync::Arc;

use async_trait::async_trait;
use muster_engine::Database;
use muster_model::host::HostRecord;
use muster_model::inventory::{Document, Group};
use muster_model::wire::{Import, Targets};
use muster_store::types::{Changed, Edit, GroupRecord, HostChanges, HostFacts, Revision};
use muster_store::{Error, Inventory};
use tokio::sync::watch;

use crate::support::{Bench, PATIENCE};

/// An inventory that tells how many hosts were read of it each time when all changes were.
struct Watched {
    inventory: Arc<dyn Inventory>,
    readings: watch::Sender<Vec<usize>>,
}

#[async_trait]
impl Inventory for Watched {
    async fn change(&self, edits: Vec<Edit>, seen: Option<Revision>) -> Result<Changed, Error> {
        self.inventory.change(edits, seen).await
    }
    async fn revision(&self) -> Result<Revision, Error> {
        self.inventory.revision().await
    }
    async fn host(&self, name: &str) -> Result<Option<HostRecord>, Error> {
        self.inventory.host(name).await
    }
    async fn hosts_named(&self, names: &[String]) -> Result<Vec<HostRecord>, Error> {
        self.inventory.hosts_named(names).await
    }
    async fn hosts(&self) -> Result<Vec<HostRecord>, Error> {
        self.inventory.hosts().await
    }
    async fn host_names(&self, prefix: &str, limit: u32) -> Result<Vec<String>, Error> {
        self.inventory.host_names(prefix, limit).await
    }
    async fn changed_since(&self, seen: Option<Revision>) -> Result<HostChanges, Error> {
        let changes = self.inventory.changed_since(seen).await?;
        self.readings
            .send_modify(|readings| readings.push(changes.hosts.len()));
        Ok(changes)
    }
    async fn put_facts(&self, facts: Vec<HostFacts>) -> Result<u64, Error> {
        self.inventory.put_facts(facts).await
    }
    async fn facts_named(&self, names: &[String]) -> Result<Vec<HostFacts>, Error> {
        self.inventory.facts_named(names).await
    }
    async fn group(&self, name: &str) -> Result<Option<Group>, Error> {
        self.inventory.group(name).await
    }
    async fn groups(&self) -> Result<Vec<Group>, Error> {
        self.inventory.groups().await
    }
    async fn groups_counted(&self) -> Result<Vec<GroupRecord>, Error> {
        self.inventory.groups_counted().await
    }
}

fn hosts(names: &[&str]) -> Vec<HostRecord> {
    let named = |name: &&str| HostRecord::named(name.parse().expect("a name"));
    names.iter().map(named).collect()
}

#[tokio::test]
async fn a_server_has_read_the_inventory_and_its_changes_before_it_is_asked() {
    let (readings, mut seen) = watch::channel(Vec::new());
    let bench = Bench::wrapped(|database| Database {
        inventory: Arc::new(Watched {
            inventory: Arc::clone(&database.inventory),
            readings,
        }),
        ..database
    })
    .await;
    let mut become_read = async |count: usize, what: &str| {
        let all = seen.wait_for(|readings: &Vec<usize>| readings.iter().sum::<usize>() >= count);
        let read = tokio::time::timeout(PATIENCE, all).await;
        assert!(read.is_ok(), "{what}");
    };
    let import = Import {
        document: Document {
            hosts: hosts(&["a", "b", "c"]),
            groups: Vec::new(),
        },
        prune: false,
        dry_run: false,
    };
    bench.engine.import(import).await.expect("imported");
    become_read(3, "what was imported").await;
    bench.engine.put_hosts(hosts(&["d"]), false).await.expect("added");
    become_read(4, "what was added").await;
    // Nothing is left to read for who asks.
    let chosen = Targets {
        selector: Some("name == \"d\"".to_owned()),
        ..Targets::default()
    };
    let told = bench.engine.explain(&chosen).await.expect("explained");
    assert_eq!(told.chosen, 1);
    assert_eq!(seen.borrow().last(), Some(&0), "{:?}", *seen.borrow());
    bench.close().await;
}

#[tokio::test]
async fn an_inventory_that_was_there_is_read_at_the_start() {
    let bench = Bench::new().await;
    bench
        .engine
        .put_hosts(hosts(&["a", "b"]), false)
        .await
        .expect("added");
    let (readings, mut seen) = watch::channel(Vec::new());
    let beside = bench
        .beside_wrapped(|database| Database {
            inventory: Arc::new(Watched {
                inventory: Arc::clone(&database.inventory),
                readings,
            }),
            ..database
        })
        .await;
    let read = seen.wait_for(|readings| readings.first() == Some(&2));
    let read = tokio::time::timeout(PATIENCE, read).await;
    assert!(
        read.is_ok_and(|read| read.is_ok()),
        "nobody asked, and nothing was read"
    );
    beside.close().await;
    bench.close().await;
}
