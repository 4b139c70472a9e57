//! `tasks`: what was asked for, and how many of its runs stand where.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tasks")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    #[sea_orm(unique)]
    pub(crate) request_id: String,
    /// [`muster_model::Kind`] as JSON.
    pub(crate) spec: String,
    /// [`muster_model::Options`] as JSON.
    pub(crate) options: String,
    /// The title in lower case, for the text filter.
    pub(crate) search: String,
    pub(crate) owner: String,
    /// The executor that dispatches it.
    pub(crate) dispatcher: String,
    /// 1 where `task_secrets` has something of it.
    pub(crate) sealed: i64,
    pub(crate) retry_of: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) finished_at: Option<i64>,
    pub(crate) cancelled_at: Option<i64>,
    pub(crate) runs_total: i64,
    pub(crate) runs_queued: i64,
    pub(crate) runs_started: i64,
    pub(crate) runs_succeeded: i64,
    pub(crate) runs_failed: i64,
    pub(crate) runs_timed_out: i64,
    pub(crate) runs_unreachable: i64,
    pub(crate) runs_cancelled: i64,
    pub(crate) runs_expired: i64,
    pub(crate) runs_lost: i64,
    pub(crate) runs_skipped: i64,
    /// What its output takes, in bytes; what it shares with earlier output left out.
    pub(crate) kept_bytes: i64,
    /// Somebody reads its output until then.
    pub(crate) held_until: Option<i64>,
    /// Since when its output is not kept any more.
    pub(crate) outputs_removed_at: Option<i64>,
    /// Since when it is being removed, and not to be found any more.
    pub(crate) removing_since: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
