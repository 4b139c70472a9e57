//! The lesson in `examples`, on each database that two may have open: what it prints is what it teaches.

#[path = "../../examples/hosts_and_groups.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod hosts_and_groups;

use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use muster_model::host::HostRecord;
use muster_runtime::{Tasks, clock};
use muster_store::Edit;

use super::{ADAPTERS, Adapter};

const PATIENCE: Duration = Duration::from_secs(60);

/// What it prints, but for the quotes that an engine puts around names.
const SAYS: &str = "\
    SELECT 'host_groups'.'name', COUNT('host_group_members'.'host') AS 'members', \
    COUNT('hosts'.'name') AS 'known' FROM 'host_groups' \
    LEFT JOIN 'host_group_members' ON 'host_groups'.'id' = 'host_group_members'.'group_id' \
    LEFT JOIN 'hosts' ON 'host_group_members'.'host' = 'hosts'.'name' \
    GROUP BY 'host_groups'.'id', 'host_groups'.'name' ORDER BY 'host_groups'.'name' ASC\n\
    group berlin: 2 members, 2 known\n\
    group db: 2 members, 2 known\n\
    group office: 2 members, 1 known\n\
    group retired: 0 members, 0 known\n\
    group web: 3 members, 3 known\n\
    hosts of web: web1, web2, web3\n\
    groups of web1: berlin, office, web\n\
    db1 is in 2 groups\n\
    web1 is in 3 groups\n\
    berlin: [db1, web1]\n\
    db: [db1, db2]\n\
    office: [web1]\n\
    retired: []\n\
    web: [web1, web2, web3]\n\
    hosts of web in the transaction: 4, after it is rolled back: 3\n\
    Inventory::groups_counted says the same\n";

/// Runs the lesson and returns what it printed, or why it stopped.
async fn told(url: &str) -> Result<String, String> {
    let mut out = Vec::new();
    let show = Box::pin(hosts_and_groups::show(url, &mut out));
    let shown = clock::deadline(PATIENCE, show).await;
    shown
        .map_err(|_| "it did not end".to_owned())?
        .map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).expect("text").replace(['"', '`'], "'"))
}

/// Twice: what one leaves behind does not disturb the next. Then on an inventory that somebody has, which it leaves alone.
async fn check(url: &str) {
    for _ in 0..2 {
        assert_eq!(told(url).await.as_deref(), Ok(SAYS));
    }
    let tasks = Tasks::new();
    let opened = muster_store::open(url, &tasks).await.unwrap();
    let mine = HostRecord::named("web1".parse().unwrap());
    let edit = Edit::AddHosts(vec![mine.clone()]);
    opened.inventory.change(vec![edit], None).await.unwrap();
    let refused = told(url).await.unwrap_err();
    assert_eq!(
        refused,
        "this database has hosts or groups: give the lesson one without any"
    );
    assert_eq!(opened.inventory.hosts().await.unwrap(), [mine]);
    opened.store.close().await;
    tasks.close(PATIENCE).await;
}

fn run(adapter: &'static Adapter) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let Some(url) = muster_testkit::require::or_ignored((adapter.url)(&folder)) else {
        return Ok(());
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        if adapter.capabilities.shared {
            check(&url).await;
        } else {
            let refused = told(&url).await.unwrap_err();
            assert!(
                refused.starts_with("only who opened this database sees it"),
                "{refused}"
            );
        }
    });
    Ok(())
}

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |adapter: &'static Adapter| {
        let name = format!("lessons::hosts_and_groups_on_{}", adapter.name);
        Trial::test(name, move || run(adapter))
    };
    ADAPTERS.iter().map(trial).collect()
}
