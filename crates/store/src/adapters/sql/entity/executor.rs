//! `executors`: processes that run things, and until when they are known to live.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "executors")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) home: String,
    pub(crate) pid: i64,
    pub(crate) lease_until: i64,
    pub(crate) machine: String,
    pub(crate) roles: String,
    pub(crate) version: String,
    pub(crate) since: i64,
    pub(crate) lease_ms: i64,
    pub(crate) slots: i64,
    pub(crate) runs: i64,
    pub(crate) tasks: i64,
    pub(crate) vault_key: String,
    pub(crate) leaving: i64,
    pub(crate) gone_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
