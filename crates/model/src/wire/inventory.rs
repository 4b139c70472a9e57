//! What the API says of hosts, their facts and their groups.

use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::inventory::{Document, GroupName};
use crate::{HostName, Timestamp};

/// `POST /api/v1/groups/{name}/hosts`: what to put into a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Members {
    /// Host patterns.
    pub hosts: Vec<String>,
    /// Names of groups, which must be there.
    pub groups: Vec<String>,
}

/// A group, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupCount {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: GroupName,
    /// How many different hosts are in it and in the groups that it holds.
    pub count: u32,
    /// How many groups are directly in it.
    pub groups: u32,
}

/// A group with what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupView {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: GroupName,
    /// How many different hosts are in it and in the groups that it holds.
    pub count: u32,
    /// All of these hosts, folded.
    pub hosts: String,
    /// The groups that are directly in it.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub groups: Vec<GroupName>,
}

/// `POST /api/v1/inventory`: a document to take over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// What the inventory is to hold.
    pub document: Document,
    /// Make the inventory what the document says and nothing else: what is not in it is removed, down to single
    /// labels and who is in which group. Without it, what the document does not speak of stays.
    #[serde(default)]
    pub prune: bool,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What an import did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportReport {
    /// Whether it was done.
    pub applied: bool,
    /// The hosts.
    pub hosts: Difference,
    /// The groups.
    pub groups: Difference,
    /// What happens to whom, hosts first, by name: at most [`ImportReport::MOST_STEPS`].
    pub steps: Vec<Step>,
}

impl ImportReport {
    /// The most steps that a report tells one by one.
    pub const MOST_STEPS: usize = 1000;
}

/// What an import does, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Difference {
    /// New.
    pub added: u64,
    /// There, and other.
    pub changed: u64,
    /// There, and the same.
    pub unchanged: u64,
    /// Not in the document, and removed.
    pub removed: u64,
    /// Not in the document, and left alone.
    pub left: u64,
}

/// What an import does to one host or group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Step {
    /// `host` or `group`.
    pub what: String,
    /// Its name.
    pub name: String,
    /// What happens to it.
    pub does: Does,
    /// What is other, `port: 22 -> 2222`; nothing for what is added or removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// What happens to a host or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Does {
    /// It is new.
    Add,
    /// It is changed.
    Change,
    /// It is removed.
    Remove,
}

/// What a host of the inventory said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostFacts {
    /// The host.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub host: HostName,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub gathered_at: Timestamp,
    /// What.
    pub facts: Facts,
}

/// Why a host is or is not among the targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explained {
    /// The host.
    pub host: String,
    /// Whether it is a target.
    pub chosen: bool,
    /// The parts that decided it, each with what it saw.
    pub why: Vec<String>,
}

/// `POST /api/v1/hosts/explain`: which part of the targets let each host in or kept it out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanations {
    /// How many hosts are targets.
    pub chosen: u64,
    /// How many are not.
    pub left_out: u64,
    /// Hosts in order: at most [`Explanations::MOST`].
    pub hosts: Vec<Explained>,
}

impl Explanations {
    /// The most hosts that an answer explains.
    pub const MOST: usize = 10_000;
}
