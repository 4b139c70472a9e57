//! What only the inside of the embedded cache shows, and that it agrees with a plain map.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_model::ErrorKind;
use proptest::prelude::*;
use tokio::time::Instant;

use super::Embedded;
use crate::port::Cache;

const HOUR: Duration = Duration::from_secs(3600);

/// One call, with its key's number.
#[derive(Clone, Debug)]
enum Call {
    Get(u8),
    Set(u8, Vec<u8>, u64),
    Add(u8, Vec<u8>, u64),
    Delete(u8),
    Increment(u8, i64, u64),
    Append(u8, bool, Vec<u8>, u64),
    Range(u8, u64, usize),
    Touch(u8, u64),
    Wait(u64),
}

fn call() -> impl Strategy<Value = Call> {
    let key = 0..4u8;
    let value = || {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            (-50..50i64).prop_map(|number| number.to_string().into_bytes()),
            Just(i64::MAX.to_string().into_bytes()),
            Just(vec![b'x'; 20_000]),
        ]
    };
    let seconds = 1..20u64;
    prop_oneof![
        key.clone().prop_map(Call::Get),
        (key.clone(), value(), seconds.clone()).prop_map(|(k, v, s)| Call::Set(k, v, s)),
        (key.clone(), value(), seconds.clone()).prop_map(|(k, v, s)| Call::Add(k, v, s)),
        key.clone().prop_map(Call::Delete),
        (key.clone(), -100..100i64, seconds.clone()).prop_map(|(k, by, s)| Call::Increment(k, by, s)),
        (key.clone(), any::<bool>(), value(), seconds.clone())
            .prop_map(|(k, at, v, s)| Call::Append(k, at, v, s)),
        (key.clone(), 0..50_000u64, 0..50_000usize).prop_map(|(k, from, most)| Call::Range(k, from, most)),
        (key, seconds.clone()).prop_map(|(k, s)| Call::Touch(k, s)),
        seconds.prop_map(Call::Wait),
    ]
}

/// The plain map that the cache has to agree with.
#[derive(Default)]
struct Model(HashMap<u8, (Vec<u8>, Instant)>);

impl Model {
    fn live(&mut self, key: u8) -> Option<&mut (Vec<u8>, Instant)> {
        if self
            .0
            .get(&key)
            .is_some_and(|(_, expires)| *expires <= Instant::now())
        {
            self.0.remove(&key);
        }
        self.0.get_mut(&key)
    }

    fn put(&mut self, key: u8, value: Vec<u8>, seconds: u64) {
        self.0
            .insert(key, (value, Instant::now() + Duration::from_secs(seconds)));
    }

    fn value(&mut self, key: u8) -> Option<Vec<u8>> {
        self.live(key).map(|(value, _)| value.clone())
    }
}

fn part(value: &[u8], from: u64, most: usize) -> Vec<u8> {
    value.iter().skip(from as usize).take(most).copied().collect()
}

/// Makes one call of both and compares their answers.
async fn compare(cache: &Embedded, model: &mut Model, call: Call) -> Result<(), TestCaseError> {
    let name = |key: u8| format!("key.{key}");
    let life = Duration::from_secs;
    match call {
        Call::Get(key) => {
            let answer = cache.get(&name(key)).await.unwrap();
            prop_assert_eq!(answer.map(|value| value.to_vec()), model.value(key));
        }
        Call::Set(key, value, seconds) => {
            cache
                .set(&name(key), value.clone().into(), life(seconds))
                .await
                .unwrap();
            model.put(key, value, seconds);
        }
        Call::Add(key, value, seconds) => {
            let is_new = model.value(key).is_none();
            let answer = cache
                .add(&name(key), value.clone().into(), life(seconds))
                .await
                .unwrap();
            prop_assert_eq!(answer, is_new);
            if is_new {
                model.put(key, value, seconds);
            }
        }
        Call::Delete(key) => {
            let was_there = model.value(key).is_some();
            model.0.remove(&key);
            prop_assert_eq!(cache.delete(&name(key)).await.unwrap(), was_there);
        }
        Call::Increment(key, by, seconds) => {
            let answer = cache.increment(&name(key), by, life(seconds)).await;
            let text = model.value(key).unwrap_or_else(|| b"0".to_vec());
            let text = String::from_utf8_lossy(&text).into_owned();
            let count = text.parse::<i64>().ok().filter(|count| count.to_string() == text);
            match count.and_then(|count| count.checked_add(by)) {
                Some(count) => {
                    prop_assert_eq!(answer.unwrap(), count);
                    model.put(key, count.to_string().into_bytes(), seconds);
                }
                None => prop_assert_eq!(answer.unwrap_err().kind, ErrorKind::Invalid),
            }
        }
        Call::Append(key, rightly, bytes, seconds) => {
            let mut value = model.value(key).unwrap_or_default();
            let at = value.len() as u64 + u64::from(!rightly);
            let answer = cache
                .append(&name(key), at, bytes.clone().into(), life(seconds))
                .await;
            if rightly {
                value.extend_from_slice(&bytes);
                prop_assert_eq!(answer.unwrap(), value.len() as u64);
                model.put(key, value, seconds);
            } else {
                prop_assert_eq!(answer.unwrap_err().kind, ErrorKind::Conflict);
            }
        }
        Call::Range(key, from, most) => {
            let answer = cache.range(&name(key), from, most).await.unwrap();
            let expected = model.value(key).map(|value| part(&value, from, most));
            prop_assert_eq!(answer.map(|value| value.to_vec()), expected);
        }
        Call::Touch(key, seconds) => {
            let value = model.value(key);
            prop_assert_eq!(
                cache.touch(&name(key), life(seconds)).await.unwrap(),
                value.is_some()
            );
            if let Some(value) = value {
                model.put(key, value, seconds);
            }
        }
        Call::Wait(seconds) => tokio::time::advance(life(seconds)).await,
    }
    Ok(())
}

async fn agree(calls: Vec<Call>) -> Result<(), TestCaseError> {
    let cache = Embedded::new(64 << 20);
    let mut model = Model::default();
    for call in calls {
        compare(&cache, &mut model, call).await?;
    }
    for key in 0..4u8 {
        cache.delete(&format!("key.{key}")).await.unwrap();
    }
    prop_assert_eq!(cache.store.used(), 0, "it counts what it holds to the byte");
    Ok(())
}

proptest! {
    #[test]
    fn it_agrees_with_a_plain_map(calls in prop::collection::vec(call(), 1..80)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(agree(calls))?;
    }
}

#[tokio::test]
async fn the_least_recently_used_goes_first() {
    let cache = Embedded::new(1 << 20);
    let value = || Bytes::from(vec![1; 100_000]);
    for number in 0..10 {
        cache.set(&format!("key.{number}"), value(), HOUR).await.unwrap();
    }
    cache.get("key.0").await.unwrap();
    cache.set("key.10", value(), HOUR).await.unwrap();
    assert!(cache.get("key.0").await.unwrap().is_some());
    assert!(cache.get("key.1").await.unwrap().is_none());
    assert!(cache.get("key.2").await.unwrap().is_some());
    assert!(cache.get("key.10").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_expired_goes_before_what_is_alive() {
    let cache = Embedded::new(1 << 20);
    let value = || Bytes::from(vec![1; 100_000]);
    for number in 0..9 {
        cache.set(&format!("old.{number}"), value(), HOUR).await.unwrap();
    }
    cache.set("brief", value(), Duration::from_secs(1)).await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    cache.set("new", value(), HOUR).await.unwrap();
    for number in 0..9 {
        assert!(
            cache.get(&format!("old.{number}")).await.unwrap().is_some(),
            "{number}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ended_lifetimes_are_cleared_away_by_later_calls() {
    let cache = Embedded::new(64 << 20);
    for number in 0..1000 {
        let key = format!("key.{number}");
        cache
            .set(&key, "value".into(), Duration::from_secs(1))
            .await
            .unwrap();
    }
    tokio::time::advance(Duration::from_secs(2)).await;
    for number in 0..2000 {
        cache.get(&format!("other.{number}")).await.unwrap();
    }
    assert_eq!(cache.store.used(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_together_stay_within_the_limit() {
    let limit = 2 << 20;
    let cache = Arc::new(Embedded::new(limit));
    let tasks = muster_runtime::Tasks::new();
    for writer in 0..4u64 {
        let cache = Arc::clone(&cache);
        tasks.spawn("writer", async move {
            let mut at = 0;
            for number in 0..2000u64 {
                let value = Bytes::from(vec![1; (number * 7 % 5000) as usize]);
                let key = format!("key.{writer}.{number}");
                cache.set(&key, value.clone(), HOUR).await.unwrap();
                let key = format!("log.{writer}");
                // A log that was evicted begins anew.
                at = cache.append(&key, at, value, HOUR).await.unwrap_or_default();
                // What the four have in their hands at the moment may be above it.
                assert!(cache.store.used() < limit + 4 * 200_000);
            }
        });
    }
    let ended = async {
        while tasks.running() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let limit_of_time = Duration::from_secs(60);
    muster_runtime::clock::deadline(limit_of_time, ended)
        .await
        .expect("the writers end");
    assert_eq!(tasks.panics(), 0);
    assert!(cache.store.used() <= limit);
    // The last that went may have been one of the logs, which are large: small values fill its place again, and
    // none of them goes before it must.
    for number in 0..1000u64 {
        let value = Bytes::from(vec![1; 4000]);
        cache.set(&format!("after.{number}"), value, HOUR).await.unwrap();
    }
    assert!(cache.store.used() <= limit);
    assert!(cache.store.used() > limit / 2);
}
