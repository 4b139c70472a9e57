//! `runs`: a task on one host.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "runs")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) task_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) idx: i64,
    pub(crate) host: String,
    pub(crate) reach: String,
    /// The host's name for `ssh_config`; NULL where it is `host` itself, as it nearly always is.
    pub(crate) target: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) login: Option<String>,
    pub(crate) port: Option<i64>,
    /// The name of the credential to log in with.
    pub(crate) credential: Option<String>,
    pub(crate) state: String,
    pub(crate) attempt: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) executor: Option<String>,
    pub(crate) exit_code: Option<i64>,
    pub(crate) exit_signal: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) stdout_bytes: i64,
    pub(crate) stderr_bytes: i64,
    pub(crate) truncated: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
