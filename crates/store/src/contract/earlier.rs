//! Databases of every earlier schema.

use sea_orm::ConnectionTrait;
use sea_orm_migration::MigratorTrait;

use super::fill::noise;
use super::world::World;
use crate::adapters::sql::migration::{self, Migrator};
use crate::adapters::sql::writer::begin;
use crate::adapters::sqlite;
use crate::schema::migrate;
use crate::transfer::insert;
use crate::transfer::pages::Pages;
use crate::transfer::plan::{Table, plan, plan_after};
use crate::transfer::prepare::drop_all;
use crate::transfer::side::Side;
use crate::transfer::sum::Sum;

pub(super) async fn rows_of_every_earlier_schema_survive(world: World) {
    let newest = plan().await.expect("the tables");
    for migrations in 1..=migration::known().len() {
        let tables = plan_after(migrations).await.expect("the tables of then");
        let side = Side::connect(&world.url).await.expect("a connection");
        make(&side, migrations).await;
        let before = sums(&side, &tables).await;
        side.close().await;

        let schema = migrate(&world.url).await.expect("it is brought up to date");
        assert!(schema.is_current(), "from {migrations}");
        let side = Side::connect(&world.url).await.expect("a connection");
        assert_eq!(
            sums(&side, &tables).await,
            before,
            "rows from version {migrations}"
        );
        side.close().await;
        let opened = world.open().await;
        opened.store.ping().await.expect("it is as it should be");
        opened.store.close().await;

        let side = Side::connect(&world.url).await.expect("a connection");
        drop_all(&newest, &side.db).await.expect("it is empty again");
        side.close().await;
    }
}

/// Makes a database as it was after so many migrations, with rows in every table.
async fn make(side: &Side, migrations: usize) {
    let steps = u32::try_from(migrations).expect("few migrations");
    let transaction = begin(&side.db, "make an earlier schema")
        .await
        .expect("a transaction");
    Migrator::up(&transaction, Some(steps)).await.expect("migrations");
    if transaction.get_database_backend() == sea_orm::DbBackend::Sqlite {
        let sql = sqlite::claim_as_ours();
        transaction
            .execute_unprepared(&sql)
            .await
            .expect("the mark of ours");
    }
    transaction.commit().await.expect("a commit");
    for table in plan_after(migrations).await.expect("the tables of then") {
        insert::rows(&side.db, &table, noise(&table, 50))
            .await
            .expect("rows");
    }
}

/// Counts and sums up the rows of tables, in the columns that they had then.
async fn sums(side: &Side, tables: &[Table]) -> Vec<(String, Sum)> {
    let mut sums = Vec::new();
    for table in tables {
        let mut pages = Pages::of(table, side.db.get_database_backend());
        let mut sum = Sum::default();
        loop {
            let page = pages.next(&side.db).await.expect("a page");
            if page.is_empty() {
                break;
            }
            page.iter().for_each(|row| sum.add(&table.name, row));
        }
        assert!(sum.rows >= 50, "{} has {} rows", table.name, sum.rows);
        sums.push((table.name.clone(), sum));
    }
    sums
}
