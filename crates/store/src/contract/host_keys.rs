//! The keys of hosts: pinned once, offered for ever, decided by people.

use muster_model::host_key::{Decision, HostKey, KEY_BYTES, KnownHost, OFFERED};
use muster_model::{ErrorKind, Timestamp};

use super::World;
use super::world::HOSTILE;
use crate::open::Opened;
use crate::types::ShownKey;

fn key(seed: u8) -> HostKey {
    sized(seed, 32)
}

fn sized(seed: u8, bytes: usize) -> HostKey {
    let name = "ssh-ed25519";
    let mut blob = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
    blob.extend_from_slice(name.as_bytes());
    blob.resize(blob.len() + bytes, seed);
    HostKey::read(blob).unwrap()
}

fn shown(host: &str, seed: u8, pin: bool, at: i64) -> ShownKey {
    ShownKey {
        host: host.to_owned(),
        key: key(seed),
        pin,
        at: Timestamp(at),
    }
}

async fn show(opened: &Opened, shown: ShownKey) -> KnownHost {
    let known = opened.host_keys.show(vec![shown]).await.unwrap();
    assert_eq!(known.len(), 1);
    known[0].clone()
}

async fn decide(opened: &Opened, host: &str, decision: Decision) -> Result<(), ErrorKind> {
    let decided = opened
        .host_keys
        .decide(vec![(host.to_owned(), decision)], Timestamp(9))
        .await;
    decided.map_err(|error| error.kind)
}

/// The seeds of a host's pinned and offered keys, of those that the cases use.
async fn seeds(opened: &Opened, host: &str) -> (Vec<u8>, Vec<u8>) {
    let known = opened.host_keys.host_keys(host).await.unwrap();
    let of = |keys: &[muster_model::host_key::SeenKey]| {
        let mut seeds: Vec<u8> = (0..20)
            .filter(|seed| {
                keys.iter()
                    .any(|seen| seen.fingerprint == key(*seed).fingerprint())
            })
            .collect();
        assert_eq!(seeds.len(), keys.len());
        seeds.sort_unstable();
        seeds
    };
    (of(&known.pinned), of(&known.offered))
}

pub(super) async fn a_first_key_is_pinned_only_where_that_is_wanted(world: World) {
    let opened = world.open().await;
    let before = opened.host_keys.revision().await.unwrap();
    assert!(show(&opened, shown("web1", 1, false, 5)).await.is_unknown());
    assert_eq!(opened.host_keys.revision().await.unwrap(), before);
    let known = show(&opened, shown("web1", 1, true, 5)).await;
    assert!(known.has_pinned(key(1).fingerprint()) && !known.is_quarantined());
    assert_eq!(known.pinned[0].seen_at, Timestamp(5));
    // Again: nothing changes, the first time stays.
    let pinned = opened.host_keys.revision().await.unwrap();
    assert!(pinned.changed > before.changed);
    assert_eq!(show(&opened, shown("web1", 1, true, 7)).await, known);
    assert_eq!(opened.host_keys.revision().await.unwrap(), pinned);
    assert_eq!(seeds(&opened, "web2").await, (vec![], vec![]));
}

pub(super) async fn another_key_is_offered_and_never_taken(world: World) {
    let opened = world.open().await;
    show(&opened, shown("web1", 1, true, 1)).await;
    for pin in [false, true] {
        let known = show(&opened, shown("web1", 2, pin, 2)).await;
        assert!(known.is_quarantined() && !known.has_pinned(key(2).fingerprint()));
    }
    // The old key that comes back ends nothing.
    assert!(show(&opened, shown("web1", 1, true, 3)).await.is_quarantined());
    assert_eq!(seeds(&opened, "web1").await, (vec![1], vec![2]));
}

pub(super) async fn of_a_stranger_the_latest_four_keys_are_kept(world: World) {
    let opened = world.open().await;
    show(&opened, shown("web1", 1, true, 1)).await;
    for seed in 2..10 {
        show(&opened, shown("web1", seed, true, i64::from(seed))).await;
    }
    let (pinned, offered) = seeds(&opened, "web1").await;
    assert_eq!(
        (pinned, offered.len(), offered),
        (vec![1], OFFERED, vec![6, 7, 8, 9])
    );
}

pub(super) async fn of_two_that_meet_a_host_first_one_pins(world: World) {
    let opened = world.open().await;
    let meetings = (1..9).map(|seed| {
        let opened = opened.clone();
        async move { show(&opened, shown("web1", seed, true, 1)).await }
    });
    let met = world.at_once(meetings).await;
    let pinned: Vec<&str> = met
        .iter()
        .map(|known| known.pinned[0].fingerprint.as_str())
        .collect();
    assert!(pinned.iter().all(|fingerprint| *fingerprint == pinned[0]));
    let (pinned, offered) = seeds(&opened, "web1").await;
    assert_eq!((pinned.len(), offered.len()), (1, OFFERED));
}

pub(super) async fn an_accepted_key_takes_the_place_of_all_others(world: World) {
    let opened = world.open().await;
    for seed in 1..4 {
        show(&opened, shown("web1", seed, true, 1)).await;
    }
    let accept = |seed| Decision::Accept(key(seed).fingerprint().to_owned());
    for wrong in [accept(9), accept(1)] {
        assert_eq!(
            decide(&opened, "web1", wrong).await,
            Err(ErrorKind::Conflict),
            "not offered, or pinned"
        );
        assert_eq!(seeds(&opened, "web1").await, (vec![1], vec![2, 3]));
    }
    decide(&opened, "web1", accept(3)).await.unwrap();
    assert_eq!(seeds(&opened, "web1").await, (vec![3], vec![]));
    // Once more, after an answer that was lost.
    decide(&opened, "web1", accept(3)).await.unwrap();
    assert!(show(&opened, shown("web1", 1, true, 5)).await.is_quarantined());
}

pub(super) async fn what_is_kept_or_forgotten_is_gone(world: World) {
    let opened = world.open().await;
    for seed in 1..4 {
        show(&opened, shown("web1", seed, true, 1)).await;
    }
    decide(&opened, "web1", Decision::Keep).await.unwrap();
    assert_eq!(seeds(&opened, "web1").await, (vec![1], vec![]));
    decide(&opened, "web1", Decision::Keep).await.unwrap();
    decide(&opened, "web1", Decision::Forget).await.unwrap();
    assert_eq!(seeds(&opened, "web1").await, (vec![], vec![]));
    for decision in [Decision::Keep, Decision::Forget] {
        assert_eq!(decide(&opened, "web1", decision).await, Err(ErrorKind::NotFound));
    }
    assert!(!show(&opened, shown("web1", 2, true, 5)).await.is_quarantined());
}

pub(super) async fn decisions_are_done_all_or_not_at_all(world: World) {
    let opened = world.open().await;
    for (host, seed) in [("a", 1), ("a", 2), ("b", 1)] {
        show(&opened, shown(host, seed, true, 1)).await;
    }
    let before = opened.host_keys.revision().await.unwrap();
    let wrong = vec![
        ("a".to_owned(), Decision::Keep),
        ("b".to_owned(), Decision::Accept(key(2).fingerprint().to_owned())),
    ];
    let error = opened.host_keys.decide(wrong, Timestamp(2)).await.unwrap_err();
    assert!(
        error.kind == ErrorKind::Conflict && error.to_string().contains("'b'"),
        "{error}"
    );
    assert_eq!(seeds(&opened, "a").await, (vec![1], vec![2]));
    assert_eq!(opened.host_keys.revision().await.unwrap(), before);
    let right = ["a", "b"].map(|host| (host.to_owned(), Decision::Forget));
    opened
        .host_keys
        .decide(right.to_vec(), Timestamp(2))
        .await
        .unwrap();
    assert_eq!(seeds(&opened, "a").await, (vec![], vec![]));
}

pub(super) async fn several_keys_are_pinned_together(world: World) {
    let opened = world.open().await;
    let pin = |seeds: &[u8]| Decision::Pin(seeds.iter().map(|seed| key(*seed)).collect());
    decide(&opened, "web1", pin(&[1, 2, 3, 2])).await.unwrap();
    assert_eq!(seeds(&opened, "web1").await, (vec![1, 2, 3], vec![]));
    decide(&opened, "web1", pin(&[3, 1])).await.unwrap();
    let other = decide(&opened, "web1", pin(&[1, 4])).await;
    assert_eq!(other, Err(ErrorKind::Conflict));
    assert_eq!(decide(&opened, "web2", pin(&[])).await, Err(ErrorKind::Invalid));
    for seed in [1, 2, 3] {
        let known = show(&opened, shown("web1", seed, false, 4)).await;
        assert!(known.has_pinned(key(seed).fingerprint()) && !known.is_quarantined());
    }
    show(&opened, shown("web1", 5, false, 4)).await;
    assert_eq!(
        decide(&opened, "web1", pin(&[1])).await,
        Err(ErrorKind::Conflict),
        "in quarantine"
    );
}

pub(super) async fn a_copy_follows_by_its_revision(world: World) {
    let opened = world.open().await;
    let keys = &opened.host_keys;
    let start = keys.revision().await.unwrap();
    assert_eq!(keys.host_keys_since(0).await.unwrap(), []);
    show(&opened, shown("web1", 1, true, 1)).await;
    let first = keys.revision().await.unwrap();
    assert!(first.changed > start.changed && first.removed == start.removed);
    show(&opened, shown("web2", 2, true, 2)).await;
    show(&opened, shown("web1", 3, true, 3)).await;
    let mut new = keys.host_keys_since(first.changed).await.unwrap();
    new.sort_by(|a, b| a.host.cmp(&b.host));
    let told: Vec<_> = new
        .iter()
        .map(|record| (record.host.as_str(), record.offered, record.key.seen_at.0))
        .collect();
    assert_eq!(told, [("web1", true, 3), ("web2", false, 2)]);
    assert_eq!(keys.host_keys_since(0).await.unwrap().len(), 3);
    let before = keys.revision().await.unwrap();
    assert_eq!(keys.host_keys_since(before.changed).await.unwrap(), []);
    decide(&opened, "web1", Decision::Keep).await.unwrap();
    let after = keys.revision().await.unwrap();
    assert!(after.removed > before.changed, "a copy knows that something went");
}

pub(super) async fn names_and_keys_are_data_and_bounded(world: World) {
    let opened = world.open().await;
    for (seed, name) in HOSTILE.into_iter().enumerate() {
        let seed = u8::try_from(seed).unwrap();
        show(&opened, shown(name, seed, true, 1)).await;
        assert_eq!(seeds(&opened, name).await, (vec![seed], vec![]), "{name}");
    }
    let largest = KEY_BYTES - 4 - "ssh-ed25519".len();
    let large = ShownKey {
        key: sized(1, largest),
        ..shown("large", 1, true, 1)
    };
    assert_eq!(show(&opened, large.clone()).await, show(&opened, large).await);
    for name in [String::new(), "x".repeat(513)] {
        let refused = opened.host_keys.show(vec![shown(&name, 1, true, 1)]).await;
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Invalid);
        assert_eq!(
            decide(&opened, &name, Decision::Keep).await,
            Err(ErrorKind::Invalid)
        );
    }
}
