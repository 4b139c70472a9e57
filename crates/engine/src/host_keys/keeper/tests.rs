//! Copies over one real database, which can be taken away.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use muster_store::{HostKeyRecord, KeysRevision, Opened};
use muster_testkit::wait;
use muster_transport::HostKeys as _;

use super::*;

/// The keys of a database, counted, and away when that is said.
struct Watched {
    database: Opened,
    is_away: AtomicBool,
    looks: AtomicUsize,
    writes: AtomicUsize,
}

impl Watched {
    fn here(&self) -> Result<(), muster_store::Error> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(muster_store::Error::new(ErrorKind::Unavailable, "reach it"));
        }
        Ok(())
    }

    fn is_away(&self, away: bool) {
        self.is_away.store(away, Ordering::SeqCst);
    }
}

#[async_trait]
impl muster_store::HostKeys for Watched {
    async fn revision(&self) -> Result<KeysRevision, muster_store::Error> {
        self.here()?;
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.database.host_keys.revision().await
    }

    async fn host_keys_since(&self, revision: i64) -> Result<Vec<HostKeyRecord>, muster_store::Error> {
        self.here()?;
        self.database.host_keys.host_keys_since(revision).await
    }

    async fn host_keys(&self, host: &str) -> Result<KnownHost, muster_store::Error> {
        self.here()?;
        self.database.host_keys.host_keys(host).await
    }

    async fn show(&self, shown: Vec<ShownKey>) -> Result<Vec<KnownHost>, muster_store::Error> {
        self.here()?;
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.database.host_keys.show(shown).await
    }

    async fn decide(
        &self,
        decisions: Vec<(String, Decision)>,
        at: Timestamp,
    ) -> Result<(), muster_store::Error> {
        self.here()?;
        self.database.host_keys.decide(decisions, at).await
    }
}

/// A database, and servers that share it.
struct House {
    tasks: Tasks,
    store: Arc<Watched>,
}

impl House {
    async fn new() -> Self {
        let tasks = Tasks::new();
        let database = muster_store::open("sqlite::memory:", &tasks)
            .await
            .expect("a database");
        let store = Arc::new(Watched {
            database,
            is_away: AtomicBool::new(false),
            looks: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
        });
        Self { tasks, store }
    }

    fn server(&self) -> HostKeys {
        let store = Arc::clone(&self.store) as Arc<dyn muster_store::HostKeys>;
        HostKeys::new(store, self.tasks.clone())
    }
}

fn key(seed: u8) -> HostKey {
    let name = b"ssh-ed25519";
    let mut blob = vec![0, 0, 0, 11];
    blob.extend_from_slice(name);
    blob.resize(blob.len() + 32, seed);
    HostKey::read(blob).expect("a key")
}

async fn known(server: &HostKeys, name: &str) -> KnownHost {
    server.known(name).await.expect("it is known what is known")
}

async fn learns(server: &HostKeys, name: &str, what: &str, holds: impl Fn(&KnownHost) -> bool) {
    let give_up = clock::monotonic() + Duration::from_secs(30);
    loop {
        let now = known(server, name).await;
        if holds(&now) {
            return;
        }
        assert!(clock::monotonic() < give_up, "{what}: {now:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_one_server_learnt_the_other_knows_a_moment_later() {
    let house = House::new().await;
    let (one, other) = (house.server(), house.server());
    assert!(known(&other, "web1").await.is_unknown());
    let pinned = one.show("web1", &key(1), true).await.expect("written");
    assert!(pinned.has_pinned(key(1).fingerprint()));
    assert_eq!(known(&one, "web1").await, pinned, "at once here");
    learns(&other, "web1", "the pin", |known| *known == pinned).await;
    assert!(
        other
            .show("web1", &key(2), true)
            .await
            .expect("written")
            .is_quarantined()
    );
    learns(&one, "web1", "the quarantine", KnownHost::is_quarantined).await;
    let decision = Decision::Accept(key(2).fingerprint().to_owned());
    one.decide(vec![("web1".into(), decision)], Timestamp(9))
        .await
        .expect("decided");
    let accepted = |known: &KnownHost| {
        known.has_pinned(key(2).fingerprint()) && known.pinned.len() == 1 && !known.is_quarantined()
    };
    assert!(accepted(&known(&one, "web1").await), "at once here");
    learns(&other, "web1", "the decision", accepted).await;
    one.decide(vec![("web1".into(), Decision::Forget)], Timestamp(9))
        .await
        .expect("decided");
    learns(&other, "web1", "that it is forgotten", KnownHost::is_unknown).await;
}

#[tokio::test]
async fn of_two_servers_that_meet_a_host_first_one_pins() {
    let house = House::new().await;
    let (one, other) = (house.server(), house.server());
    let (a, b) = (key(1), key(2));
    let (first, second) = tokio::join!(one.show("web1", &a, true), other.show("web1", &b, true));
    let met = [first.expect("written"), second.expect("written")];
    let quarantined = met.iter().filter(|known| known.is_quarantined()).count();
    assert_eq!(quarantined, 1, "{met:?}");
    assert_eq!(met[0].pinned, met[1].pinned);
}

#[tokio::test]
async fn logins_ask_the_memory_and_first_contacts_are_written_together() {
    let house = House::new().await;
    let server = house.server();
    let names: Vec<String> = (0..200).map(|host| format!("web{host}")).collect();
    let meet = |name: String| {
        let server = server.clone();
        async move {
            for _ in 0..5 {
                assert!(known(&server, &name).await.is_unknown());
            }
            let now = server.show(&name, &key(1), true).await.expect("written");
            assert!(now.has_pinned(key(1).fingerprint()));
        }
    };
    let started = clock::monotonic();
    futures_util::future::join_all(names.into_iter().map(meet)).await;
    let seconds = (clock::monotonic() - started).as_secs() as usize;
    let (looks, writes) = (
        house.store.looks.load(Ordering::SeqCst),
        house.store.writes.load(Ordering::SeqCst),
    );
    assert!(looks <= 1 + seconds + 1, "{looks} looks in {seconds} s");
    assert!(writes <= 20, "{writes} transactions for 200 hosts");
}

#[tokio::test]
async fn a_database_that_is_away_lets_nobody_in_who_was_not_known() {
    let house = House::new().await;
    house.store.is_away(true);
    let server = house.server();
    for _ in 0..2 {
        let error = server.known("web1").await.expect_err("nothing was ever read");
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }
    house.store.is_away(false);
    let back = || server.copy().failure().is_none() || !server.copy().is_fresh(clock::monotonic());
    wait::until(Duration::from_secs(10), "a second", back)
        .await
        .expect("it passes");
    server.known("web1").await.expect("it is back");
    server.show("web1", &key(1), true).await.expect("written");
    house.store.is_away(true);
    assert!(known(&server, "web1").await.has_pinned(key(1).fingerprint()));
    let error = server.show("web2", &key(1), true).await.expect_err("not written");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(
        known(&server, "web2").await.is_unknown(),
        "what is not durable is not pinned"
    );
}

#[tokio::test]
async fn a_changed_key_quarantines_its_host_though_it_cannot_be_written_down() {
    let house = House::new().await;
    let server = house.server();
    known(&server, "web1").await;
    server.show("web1", &key(1), true).await.expect("written");
    house.store.is_away(true);
    server
        .show("web1", &key(2), false)
        .await
        .expect_err("not written");
    assert!(known(&server, "web1").await.is_quarantined());
    // A server that dies before it is written: the next one meets the changed key again, or the old one.
    let next = house.server();
    house.store.is_away(false);
    assert!(!known(&next, "web1").await.is_quarantined());
    // The one that lives writes it down as soon as it can.
    learns(&server, "web1", "the quarantine", |_| {
        server.copy().unwritten().is_empty()
    })
    .await;
    learns(&next, "web1", "the quarantine", KnownHost::is_quarantined).await;
    let met = house.server().show("web1", &key(2), true).await.expect("written");
    assert!(met.is_quarantined() && met.offered.len() == 1);
}
