//! `outputs`: output logs that are small enough to be kept with their run.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outputs")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) task_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) idx: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) attempt: i64,
    /// Frames of [`muster_model::output`]; empty where they are a blob.
    pub(crate) frames: Vec<u8>,
    /// The row of `output_blobs` that has the frames in place of this one.
    pub(crate) shared: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
