//! Hosts and groups, many to many.

use sea_orm_migration::prelude::*;

use super::tables::{create_index, create_table};
use super::{long_text, maybe_number, maybe_short, number, short};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut hosts = Table::create();
        hosts
            .table(Alias::new("hosts"))
            .col(short("name", 255).primary_key())
            .col(maybe_short("address", 512))
            .col(maybe_short("login", 512))
            .col(maybe_number("port"))
            .col(maybe_short("reach", 16))
            .col(long_text(manager, "labels").not_null());
        create_table(manager, "hosts", hosts).await?;

        let mut groups = Table::create();
        groups
            .table(Alias::new("host_groups"))
            .col(number("id").auto_increment().primary_key())
            .col(short("name", 255).unique_key());
        create_table(manager, "host_groups", groups).await?;

        let mut members = Table::create();
        members
            .table(Alias::new("host_group_members"))
            .col(number("group_id"))
            .col(short("host", 512))
            .primary_key(
                Index::create()
                    .col(Alias::new("group_id"))
                    .col(Alias::new("host")),
            )
            .foreign_key(
                ForeignKey::create()
                    .name("host_group_members_group")
                    .from(Alias::new("host_group_members"), Alias::new("group_id"))
                    .to(Alias::new("host_groups"), Alias::new("id"))
                    .on_delete(ForeignKeyAction::Cascade),
            );
        create_table(manager, "host_group_members", members).await?;
        let mut of_host = Index::create();
        of_host.col(Alias::new("host"));
        create_index(manager, "host_group_members", "host_group_members_host", of_host).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["host_group_members", "host_groups", "hosts"] {
            manager
                .drop_table(Table::drop().table(Alias::new(table)).take())
                .await?;
        }
        Ok(())
    }
}
