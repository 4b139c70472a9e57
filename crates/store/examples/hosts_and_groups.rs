//! Hosts and groups, many to many, through the ORM: joins, grouped counts and a transaction.
//!
//! `cargo run -p muster-store --example hosts_and_groups -- [URL]`
//!
//! Without a URL the database is SQLite in a temporary file. With `--all-features` and `mariadb://user:password@host/name`
//! or `postgres://user:password@host/name` the same lines run on a server; its database has to have no hosts and no
//! groups yet, and has none afterwards.
//!
//! The entities below are the crate's own: the same files. What is written goes through the port, as everywhere, since
//! Muster has one writer, which counts each change. What is read shows how SeaORM says it.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use muster_model::host::HostRecord;
use muster_runtime::Tasks;
use muster_store::{Edit, Inventory, open};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectOptions, Database, DatabaseConnection, DbErr,
    EntityTrait, ExprTrait, ModelTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Related,
    RelationDef, RelationTrait, Select, TransactionTrait,
};

#[path = "../src/adapters/sql/entity/group.rs"]
mod group;
#[path = "../src/adapters/sql/entity/host.rs"]
mod host;
#[path = "../src/adapters/sql/entity/member.rs"]
mod member;

type Failure = Box<dyn Error + Send + Sync>;

const HOSTS: [&str; 5] = ["web1", "web2", "web3", "db1", "db2"];
const GROUPS: [(&str, &[&str]); 5] = [
    ("berlin", &["web1", "db1"]),
    ("db", &["db1", "db2"]),
    ("retired", &[]),
    // A group may name a host that only somebody's ssh_config knows.
    ("office", &["laptop", "web1"]),
    ("web", &["web1", "web2", "web3"]),
];

/// A member is a host by its name. There is no foreign key, so that groups may hold hosts that the inventory does not
/// know; a relation needs none.
fn member_to_host() -> RelationDef {
    member::Entity::belongs_to(host::Entity)
        .from(member::Column::Host)
        .to(host::Column::Name)
        .into()
}

/// Many to many: from a group over its members to the hosts, ...
impl Related<host::Entity> for group::Entity {
    fn to() -> RelationDef {
        member_to_host()
    }

    fn via() -> Option<RelationDef> {
        Some(group::Relation::Member.def())
    }
}

/// ... and the same way back.
impl Related<group::Entity> for host::Entity {
    fn to() -> RelationDef {
        member::Relation::Group.def()
    }

    fn via() -> Option<RelationDef> {
        Some(member_to_host().rev())
    }
}

/// Every group, its number of members, and how many of those the inventory knows.
///
/// With inner joins the group without members would be missing. `COUNT` of a column passes over NULL, which is what a
/// left join has where there is nothing to join: so the empty group counts 0, and the laptop is no known host.
fn counted() -> Select<group::Entity> {
    group::Entity::find()
        .left_join(host::Entity)
        .select_only()
        .column(group::Column::Name)
        .column_as(member::Column::Host.count(), "members")
        .column_as(host::Column::Name.count(), "known")
        // PostgreSQL wants every column that is not counted; with the id alone two groups of one name would be two.
        .group_by(group::Column::Id)
        .group_by(group::Column::Name)
        .order_by_asc(group::Column::Name)
}

/// The hosts that are in more than one group.
fn in_several_groups() -> Select<host::Entity> {
    host::Entity::find()
        .inner_join(group::Entity)
        .select_only()
        .column(host::Column::Name)
        .column_as(group::Column::Id.count(), "groups")
        .group_by(host::Column::Name)
        // `WHERE` chooses rows before they are counted, `HAVING` groups afterwards.
        .having(group::Column::Id.count().gt(1))
        .order_by_asc(host::Column::Name)
}

/// Asks the database for all of it.
async fn ask(db: &DatabaseConnection, out: &mut impl Write) -> Result<Vec<(String, i64)>, Failure> {
    writeln!(out, "{}", counted().build(db.get_database_backend()))?;
    let groups: Vec<(String, i64, i64)> = counted().into_tuple().all(db).await?;
    for (name, members, known) in &groups {
        writeln!(out, "group {name}: {members} members, {known} known")?;
    }

    let web = group_named(db, "web").await?;
    let hosts = web.find_related(host::Entity).order_by_asc(host::Column::Name);
    let names: Vec<String> = hosts.all(db).await?.into_iter().map(|host| host.name).collect();
    writeln!(out, "hosts of web: {}", names.join(", "))?;

    let web1 = host::Entity::find_by_id("web1")
        .one(db)
        .await?
        .ok_or("web1 is gone")?;
    let groups_of = web1.find_related(group::Entity).order_by_asc(group::Column::Name);
    let names: Vec<String> = groups_of
        .all(db)
        .await?
        .into_iter()
        .map(|group| group.name)
        .collect();
    writeln!(out, "groups of web1: {}", names.join(", "))?;

    let several: Vec<(String, i64)> = in_several_groups().into_tuple().all(db).await?;
    for (name, groups) in several {
        writeln!(out, "{name} is in {groups} groups")?;
    }

    // One question for all groups with all their hosts, and not one more for each group.
    let mut whole = group::Entity::find()
        .find_with_related(host::Entity)
        .all(db)
        .await?;
    whole.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    for (group, hosts) in whole {
        let mut names: Vec<String> = hosts.into_iter().map(|host| host.name).collect();
        names.sort();
        writeln!(out, "{}: [{}]", group.name, names.join(", "))?;
    }
    Ok(groups
        .into_iter()
        .map(|(name, members, _)| (name, members))
        .collect())
}

/// Adds a host to a group in a transaction, and takes it back: what is not committed nobody else has seen.
async fn take_back(db: &DatabaseConnection, out: &mut impl Write) -> Result<(), Failure> {
    let web = group_named(db, "web").await?;
    let transaction = db.begin().await?;
    let new = host::ActiveModel {
        name: Set("web4".to_owned()),
        labels: Set("{}".to_owned()),
        revision: Set(0),
        ..Default::default()
    };
    new.insert(&transaction).await?;
    let new = member::ActiveModel {
        group_id: Set(web.id),
        host: Set("web4".to_owned()),
    };
    new.insert(&transaction).await?;
    let inside = web.find_related(host::Entity).all(&transaction).await?.len();
    transaction.rollback().await?;
    let outside = web.find_related(host::Entity).all(db).await?.len();
    writeln!(
        out,
        "hosts of web in the transaction: {inside}, after it is rolled back: {outside}"
    )?;
    Ok(())
}

async fn group_named(db: &DatabaseConnection, name: &str) -> Result<group::Model, Failure> {
    let found = group::Entity::find()
        .filter(group::Column::Name.eq(name))
        .one(db)
        .await?;
    found.ok_or_else(|| format!("the group {name} is gone").into())
}

/// Connects the ORM to the database that the port has opened.
async fn connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    // The ORM knows one word for MySQL and MariaDB.
    let url = match url.strip_prefix("mariadb://") {
        Some(rest) => format!("mysql://{rest}"),
        None => url.to_owned(),
    };
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await
}

async fn fill(inventory: &dyn Inventory) -> Result<(), Failure> {
    let mut hosts = Vec::new();
    for name in HOSTS {
        hosts.push(HostRecord::named(name.parse()?));
    }
    let (mut groups, mut members) = (Vec::new(), Vec::new());
    for (group, hosts) in GROUPS {
        groups.push(group.parse()?);
        for host in hosts {
            members.push((group.parse()?, host.parse()?));
        }
    }
    // Either all of it is there, or nothing.
    let edits = vec![
        Edit::AddHosts(hosts),
        Edit::AddGroups(groups),
        Edit::AddMembers(members),
    ];
    inventory.change(edits, None).await?;
    Ok(())
}

async fn empty(inventory: &dyn Inventory) -> Result<(), Failure> {
    let mut groups = Vec::new();
    for (group, _) in GROUPS {
        groups.push(group.parse()?);
    }
    let hosts = HOSTS.map(str::to_owned).to_vec();
    inventory
        .change(vec![Edit::RemoveGroups(groups), Edit::RemoveHosts(hosts)], None)
        .await?;
    Ok(())
}

/// Shows it on the inventory of an open database that has none yet.
async fn lesson(
    inventory: &dyn Inventory,
    db: &DatabaseConnection,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let groups = ask(db, out).await?;
    take_back(db, out).await?;
    let port = inventory.groups_counted().await?;
    let port: Vec<(String, i64)> = port
        .into_iter()
        .map(|group| (group.name.to_string(), i64::from(group.count)))
        .collect();
    if port != groups {
        return Err(format!("the port counts {port:?}, and the lesson {groups:?}").into());
    }
    writeln!(out, "Inventory::groups_counted says the same")?;
    Ok(())
}

/// Shows it on the database of a URL.
pub(crate) async fn show(url: &str, out: &mut impl Write) -> Result<(), Failure> {
    let tasks = Tasks::new();
    let opened = open(url, &tasks).await?;
    let inventory = opened.inventory.as_ref();
    let shown = async {
        if !opened.capabilities.shared {
            return Err("only who opened this database sees it: give the lesson a file or a server".into());
        }
        if !inventory.hosts().await?.is_empty() || !inventory.groups().await?.is_empty() {
            return Err("this database has hosts or groups: give the lesson one without any".into());
        }
        fill(inventory).await?;
        let shown = match connect(url).await {
            Ok(db) => {
                let shown = lesson(inventory, &db, out).await;
                db.close().await?;
                shown
            }
            Err(error) => Err(error.into()),
        };
        empty(inventory).await?;
        shown
    }
    .await;
    opened.store.close().await;
    tasks.close(Duration::from_secs(5)).await;
    shown
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let here = || format!("sqlite://{}", folder.path().join("lesson.db").display());
    let url = std::env::args().nth(1).unwrap_or_else(here);
    show(&url, &mut std::io::stdout()).await
}
