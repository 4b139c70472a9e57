//! `host_keys`: the keys by which hosts are known, and those that they have shown instead.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "host_keys")]
pub(crate) struct Model {
    /// The name, as `known_hosts` writes it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) host: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) fingerprint: String,
    pub(crate) algorithm: String,
    /// The key as on the wire.
    pub(crate) public_key: Vec<u8>,
    /// `pinned` or `offered`.
    pub(crate) state: String,
    pub(crate) seen_at: i64,
    /// The change that wrote it last.
    pub(crate) revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
