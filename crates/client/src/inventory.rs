//! The inventory's routes: hosts, facts, groups, whole inventories.

use hyper::Method;
use muster_model::Problem;
use muster_model::host::HostRecord;
use muster_model::inventory::Document;
use muster_model::wire::{
    Explanations, GroupCount, GroupView, HostFacts, Import, ImportReport, Members, Targets,
};
use serde::Deserialize;

use crate::Client;
use crate::request::{Query, encode};
use crate::send::{Again, Call};

impl Client {
    /// Returns the hosts of the inventory that a pattern and a selector name; all of them without both.
    ///
    /// # Errors
    ///
    /// Those of [`Client::expand`].
    pub async fn hosts(
        &self,
        pattern: Option<&str>,
        selector: Option<&str>,
    ) -> Result<Vec<HostRecord>, Problem> {
        self.json(Call::get(format!("/hosts{}", which(pattern, selector))))
            .await
    }

    /// Returns at most `limit` names of hosts that begin with a text, by name; behind `@`, of groups.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn names(&self, prefix: &str, limit: u32) -> Result<Vec<String>, Problem> {
        let mut query = Query::default();
        query.add("prefix", Some(prefix));
        query.add("limit", Some(limit));
        self.json(Call::get(format!("/names{}", query.0))).await
    }

    /// Returns what hosts said of themselves, where they did.
    ///
    /// # Errors
    ///
    /// Those of [`Client::expand`].
    pub async fn facts(
        &self,
        pattern: Option<&str>,
        selector: Option<&str>,
    ) -> Result<Vec<HostFacts>, Problem> {
        self.json(Call::get(format!("/facts{}", which(pattern, selector))))
            .await
    }

    /// Returns which part of the targets lets each host in or keeps it out.
    ///
    /// # Errors
    ///
    /// Those of [`Client::expand`].
    pub async fn explain(&self, targets: &Targets) -> Result<Explanations, Problem> {
        self.json(Call::new(Method::POST, "/patterns/explain", Again::Yes).json(targets)?)
            .await
    }

    /// Returns the whole inventory, without facts.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn document(&self) -> Result<Document, Problem> {
        self.json(Call::get("/inventory")).await
    }

    /// Takes over an inventory, all of it or nothing; or says what that would do.
    ///
    /// # Errors
    ///
    /// `invalid-request` naming what is wrong in the document.
    pub async fn import(&self, import: &Import) -> Result<ImportReport, Problem> {
        // A second time finds it done.
        self.json(Call::new(Method::POST, "/inventory", Again::Yes).json(import)?)
            .await
    }

    /// Adds hosts to the inventory.
    ///
    /// # Errors
    ///
    /// `already-exists` naming one; nothing was added then.
    pub async fn add_hosts(&self, hosts: &[HostRecord]) -> Result<(), Problem> {
        self.done(Call::new(Method::POST, "/hosts", Again::No).json(&hosts)?)
            .await
    }

    /// Adds hosts to the inventory, replacing those that exist.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn set_hosts(&self, hosts: &[HostRecord]) -> Result<(), Problem> {
        self.done(Call::new(Method::PUT, "/hosts", Again::Yes).json(&hosts)?)
            .await
    }

    /// Removes the hosts that a pattern names from the inventory; returns how many.
    ///
    /// # Errors
    ///
    /// `unknown-host` naming one that is not there; nothing was removed then.
    pub async fn remove_hosts(&self, pattern: &str) -> Result<u64, Problem> {
        let path = format!("/hosts{}", which(Some(pattern), None));
        self.removed(Call::new(Method::DELETE, path, Again::No)).await
    }

    /// Returns all groups, counted.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub async fn groups(&self) -> Result<Vec<GroupCount>, Problem> {
        self.json(Call::get("/groups")).await
    }

    /// Returns one group.
    ///
    /// # Errors
    ///
    /// `unknown-group`.
    pub async fn group(&self, name: &str) -> Result<GroupView, Problem> {
        self.json(Call::get(format!("/groups/{}", encode(name)))).await
    }

    /// Puts hosts and groups into a group, making it where it is missing.
    ///
    /// # Errors
    ///
    /// Those of [`Client::expand`]; `invalid-request` for a name that is none, and for a group that would hold itself.
    pub async fn add_to_group(&self, name: &str, members: &Members) -> Result<GroupView, Problem> {
        let path = format!("/groups/{}/members", encode(name));
        self.json(Call::new(Method::POST, path, Again::Yes).json(members)?)
            .await
    }

    /// Takes hosts and groups out of a group; returns how many.
    ///
    /// # Errors
    ///
    /// `unknown-group`; `invalid-request` where nothing is named.
    pub async fn remove_from_group(&self, name: &str, members: &Members) -> Result<u64, Problem> {
        let path = format!("/groups/{}/members", encode(name));
        self.removed(Call::new(Method::DELETE, path, Again::No).json(members)?)
            .await
    }

    /// Removes a group; its hosts stay. Returns how many it had.
    ///
    /// # Errors
    ///
    /// `unknown-group`.
    pub async fn remove_group(&self, name: &str) -> Result<u64, Problem> {
        let path = format!("/groups/{}", encode(name));
        self.removed(Call::new(Method::DELETE, path, Again::No)).await
    }

    async fn removed(&self, call: Call) -> Result<u64, Problem> {
        #[derive(Deserialize)]
        struct Removed {
            removed: u64,
        }
        let Removed { removed } = self.json(call).await?;
        Ok(removed)
    }
}

fn which(pattern: Option<&str>, selector: Option<&str>) -> String {
    let mut query = Query::default();
    query.add("pattern", pattern);
    query.add("where", selector);
    query.0
}
