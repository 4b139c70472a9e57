//! What the server may ask about the inventory.

use muster_model::Problem;
use muster_model::host::HostRecord;
use muster_model::inventory::Document;
use muster_model::wire::{
    Explanations, GroupCount, GroupView, HostFacts, Import, ImportReport, Members, Targets,
};

use crate::Engine;

impl Engine {
    /// Returns the hosts of the inventory among the targets, in their order; all of them by name where nothing is named.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::expand`].
    pub async fn hosts(&self, targets: &Targets) -> Result<Vec<HostRecord>, Problem> {
        self.core.hosts(targets).await
    }

    /// Returns at most `limit` names of hosts that begin with a text, by name; behind `@`, of groups. For completion.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn names(&self, prefix: &str, limit: u32) -> Result<Vec<String>, Problem> {
        self.core.names(prefix, limit).await
    }

    /// Returns what hosts said of themselves, where they did.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::expand`].
    pub async fn facts(&self, targets: &Targets) -> Result<Vec<HostFacts>, Problem> {
        self.core.facts(targets).await
    }

    /// Returns which part of the targets lets each host in or keeps it out.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::expand`].
    pub async fn explain(&self, targets: &Targets) -> Result<Explanations, Problem> {
        self.core.explain(targets).await
    }

    /// Returns the whole inventory.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn document(&self) -> Result<Document, Problem> {
        self.core.document().await
    }

    /// Takes over an inventory, all of it or nothing; or says what that would do.
    ///
    /// # Errors
    ///
    /// `invalid-request` naming what is wrong in the document.
    pub async fn import(&self, import: Import) -> Result<ImportReport, Problem> {
        self.core.import(import).await
    }

    /// Adds hosts; with `replace` those that exist are replaced, else the request is refused whole.
    ///
    /// # Errors
    ///
    /// `already-exists` naming the host.
    pub async fn put_hosts(&self, hosts: Vec<HostRecord>, replace: bool) -> Result<(), Problem> {
        self.core.put_hosts(hosts, replace).await
    }

    /// Removes the hosts that a pattern names; returns how many.
    ///
    /// # Errors
    ///
    /// `unknown-host` naming one that does not exist; nothing is removed then.
    pub async fn remove_hosts(&self, pattern: &str) -> Result<u64, Problem> {
        self.core.remove_hosts(pattern).await
    }

    /// Returns all groups, counted.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn groups(&self) -> Result<Vec<GroupCount>, Problem> {
        self.core.groups().await
    }

    /// Returns one group.
    ///
    /// # Errors
    ///
    /// `unknown-group`.
    pub async fn group(&self, name: &str) -> Result<GroupView, Problem> {
        self.core.group(name).await
    }

    /// Adds hosts and groups to a group, making it where it is missing.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::expand`]; `invalid-request` for a name that is none, and for a group that would hold itself.
    pub async fn add_to_group(&self, name: &str, members: &Members) -> Result<GroupView, Problem> {
        self.core.add_to_group(name, members).await
    }

    /// Takes hosts and groups out of a group; removes the whole group where nothing is named.
    ///
    /// # Errors
    ///
    /// `unknown-group`.
    pub async fn remove_from_group(&self, name: &str, members: &Members) -> Result<u64, Problem> {
        self.core.remove_from_group(name, members).await
    }
}
