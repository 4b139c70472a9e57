//! The servers that share a database, who leads among them, and the secrets that they share of a task.

use std::time::Duration;

use muster_model::{ErrorKind, RunState, Timestamp};

use super::World;
use super::world::{executor, key, must, new_task, settle, start, submit};
use crate::types::vault::{TaskSecrets, VaultKey};
use crate::types::{Beat, Leadership, Member, NewTask};

fn beat(until: i64) -> Beat {
    Beat {
        until: Timestamp(until),
        runs: 3,
        tasks: 2,
        vault_key: "k1".into(),
        leaving: false,
    }
}

fn member(id: &str, until: i64) -> Member {
    Member {
        id: executor(id),
        home: "home'1".into(),
        machine: "web1".into(),
        pid: u32::MAX,
        roles: "api,executor".into(),
        version: "0.1.0".into(),
        since: Timestamp(5),
        lease: Duration::from_secs(10),
        slots: 1000,
        beat: beat(until),
        gone_at: None,
    }
}

pub(super) async fn servers_are_known_with_what_they_last_said(world: World) {
    let members = world.open().await.members;
    members.enter(member("b", 100)).await.unwrap();
    members.enter(member("a", 100)).await.unwrap();
    assert_eq!(
        members.enter(member("a", 100)).await.unwrap_err().kind,
        ErrorKind::AlreadyExists
    );
    assert!(members.renew(&executor("a"), beat(200)).await.unwrap());
    // The same again is a renewal as well.
    assert!(members.renew(&executor("a"), beat(200)).await.unwrap());
    assert!(!members.renew(&executor("nobody"), beat(200)).await.unwrap());
    let leaves = Beat {
        leaving: true,
        ..beat(100)
    };
    assert!(members.renew(&executor("b"), leaves.clone()).await.unwrap());
    let leaving = Member {
        beat: leaves,
        ..member("b", 100)
    };
    assert_eq!(members.members().await.unwrap(), [member("a", 200), leaving]);
}

pub(super) async fn who_was_buried_never_renews_its_lease(world: World) {
    let opened = world.open().await;
    let members = &opened.members;
    members.enter(member("a", 100)).await.unwrap();
    assert!(members.renew(&executor("a"), beat(200)).await.unwrap());
    let a = executor("a");
    let bury = |seen| members.bury(&a, seen, Timestamp(900));
    let late = bury(Some(Timestamp(100))).await.unwrap();
    assert!(!late, "it has renewed its lease since");
    assert!(bury(Some(Timestamp(200))).await.unwrap());
    assert!(bury(Some(Timestamp(200))).await.unwrap(), "it is gone already");
    assert!(bury(None).await.unwrap());
    assert!(!members.renew(&executor("a"), beat(300)).await.unwrap());
    let gone = members.members().await.unwrap().remove(0);
    assert_eq!(
        (gone.gone_at, gone.beat.until, gone.beat.runs),
        (Some(Timestamp(900)), Timestamp(0), 0)
    );
    // Who asks for executors by the older way does not see it.
    assert_eq!(opened.store.executors().await.unwrap(), []);
    members.forget_gone(Timestamp(900)).await.unwrap();
    assert_eq!(members.members().await.unwrap().len(), 1);
    members.forget_gone(Timestamp(901)).await.unwrap();
    assert_eq!(members.members().await.unwrap(), []);
}

pub(super) async fn a_lease_is_renewed_or_its_holder_is_buried_and_never_both(world: World) {
    let opened = world.open().await;
    for round in 0..20 {
        let id = format!("racer {round}");
        opened.members.enter(member(&id, 100)).await.unwrap();
        let (one, two) = (opened.clone(), opened.clone());
        let (renewing, burying) = (executor(&id), executor(&id));
        let renew = async move { one.members.renew(&renewing, beat(200)).await.unwrap() };
        let bury = async move {
            let seen = Some(Timestamp(100));
            two.members.bury(&burying, seen, Timestamp(900)).await.unwrap()
        };
        let both: [futures_util::future::BoxFuture<'static, bool>; 2] = [Box::pin(renew), Box::pin(bury)];
        let answers = world.at_once(both).await;
        assert!(answers[0] != answers[1], "{answers:?}");
    }
}

pub(super) async fn of_many_that_want_to_lead_one_does_and_terms_only_grow(world: World) {
    let opened = world.open().await;
    assert_eq!(opened.members.leadership("sweep").await.unwrap(), None);
    let mut seen = 0;
    for round in 0..3 {
        let racers = (0..12).map(|racer| {
            let opened = opened.clone();
            async move {
                let me = executor(&format!("racer {racer}"));
                opened.members.lead("sweep", &me, seen).await.unwrap()
            }
        });
        let answers = world.at_once(racers).await;
        let winners: Vec<usize> = (0..12).filter(|racer| answers[*racer]).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        let holder = executor(&format!("racer {}", winners[0]));
        let now = opened.members.leadership("sweep").await.unwrap().unwrap();
        let expected = Leadership {
            holder: Some(holder.clone()),
            term: seen + 1,
        };
        assert_eq!(now, expected);
        // Who led before cannot resign for who leads now.
        opened
            .members
            .resign("sweep", &holder, now.term - 1)
            .await
            .unwrap();
        assert_eq!(
            opened.members.leadership("sweep").await.unwrap(),
            Some(now.clone())
        );
        opened.members.resign("sweep", &holder, now.term).await.unwrap();
        let after = opened.members.leadership("sweep").await.unwrap().unwrap();
        assert_eq!((after.holder, after.term), (None, now.term));
        seen = now.term;
    }
    assert_eq!(opened.members.leadership("other").await.unwrap(), None);
}

pub(super) async fn cancelled_tasks_are_listed_until_they_are_done(world: World) {
    let opened = world.open().await;
    let (one, two) = (submit(&opened, "r", 1).await, submit(&opened, "s", 1).await);
    assert_eq!(opened.members.cancelled().await.unwrap(), []);
    opened.store.request_cancel(two, Timestamp(5)).await.unwrap();
    assert_eq!(opened.members.cancelled().await.unwrap(), [two]);
    must(&opened, vec![settle(key(two, 0), RunState::Cancelled)]).await;
    assert_eq!(opened.members.cancelled().await.unwrap(), []);
    assert_eq!(opened.store.open_tasks().await.unwrap().len(), 1, "{one} is open");
}

fn vault_key(id: &str, created_at: i64) -> VaultKey {
    VaultKey {
        id: id.to_owned(),
        canary: vec![1, 2].into(),
        created_at: Timestamp(created_at),
        retired_at: None,
    }
}

fn sealed(key_id: &str) -> TaskSecrets {
    TaskSecrets {
        key_id: key_id.to_owned(),
        sealed: (0..=255).collect::<Vec<u8>>().into(),
    }
}

pub(super) async fn secrets_of_a_task_are_there_until_it_is_done_and_not_longer(world: World) {
    let opened = world.open().await;
    assert!(opened.vault.add_vault_key(vault_key("k1", 1), &[]).await.unwrap());
    let with = |request: &str, key: &str| NewTask {
        secrets: Some(sealed(key)),
        ..new_task(request, 2)
    };
    let id = opened.store.submit(with("r", "k1")).await.unwrap().into_task().id;
    let found = opened.vault.task_secrets(id).await.unwrap().unwrap();
    assert_eq!((found.task, found.request_id.as_str()), (id, "r"));
    assert_eq!(
        (found.owner.as_str(), found.created_at),
        ("ada", Timestamp(1_000))
    );
    assert_eq!((found.key_id.as_str(), found.sealed), ("k1", sealed("k1").sealed));
    let other = submit(&opened, "plain", 1).await;
    assert_eq!(opened.vault.task_secrets(other).await.unwrap(), None);
    // The key is in use as long as they are there.
    assert!(
        opened
            .vault
            .add_vault_key(vault_key("k2", 2), &["k1".into()])
            .await
            .unwrap()
    );
    assert!(!opened.vault.retire_vault_key("k1", Timestamp(3)).await.unwrap());
    let old = opened.vault.all_task_secrets().await.unwrap().remove(0);
    opened.vault.reseal_task_secrets(old, sealed("k2")).await.unwrap();
    assert!(opened.vault.retire_vault_key("k1", Timestamp(3)).await.unwrap());
    let refused = opened.store.submit(with("late", "k1")).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict, "{refused}");
    must(&opened, vec![start(key(id, 0), "e")]).await;
    must(&opened, vec![settle(key(id, 1), RunState::Cancelled)]).await;
    assert!(opened.vault.task_secrets(id).await.unwrap().is_some());
    must(&opened, vec![settle(key(id, 0), RunState::Lost)]).await;
    assert_eq!(opened.vault.all_task_secrets().await.unwrap(), []);
}
