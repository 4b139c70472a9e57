//! `hosts`: the inventory.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "hosts")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) name: String,
    pub(crate) address: Option<String>,
    pub(crate) login: Option<String>,
    pub(crate) port: Option<i64>,
    pub(crate) reach: Option<String>,
    /// An object of texts, as JSON.
    pub(crate) labels: String,
    pub(crate) credential: Option<String>,
    /// The inventory's counter when it was written.
    pub(crate) revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
