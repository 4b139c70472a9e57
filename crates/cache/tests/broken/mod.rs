//! Adapters that are broken on purpose: the contract has to catch each by name, or it holds nobody to anything.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libtest_mimic::Trial;
use muster_cache::contract::{Fixture, Need, cases};
use muster_cache::{Bits, Cache, Channels, Error};
use muster_model::ErrorKind;

/// What is wrong with an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    AppendIgnoresWhere,
    AddOverwrites,
    LifetimesAreIgnored,
    IncrementLosesSteps,
    ManyLoseTheirOrder,
    RangesAreCutShort,
    TouchDoesNothing,
}

/// Which case has to catch which fault.
const CAUGHT: &[(Fault, &str)] = &[
    (
        Fault::AppendIgnoresWhere,
        "appending_elsewhere_than_at_the_end_is_a_conflict",
    ),
    (
        Fault::AppendIgnoresWhere,
        "appending_to_what_is_gone_is_a_conflict",
    ),
    (Fault::AddOverwrites, "add_sets_only_what_is_missing"),
    (Fault::AddOverwrites, "one_of_64_racers_adds"),
    (Fault::LifetimesAreIgnored, "a_value_lives_as_long_as_it_was_told"),
    (Fault::LifetimesAreIgnored, "what_has_ended_counts_as_missing"),
    (Fault::IncrementLosesSteps, "no_increment_is_lost"),
    (Fault::ManyLoseTheirOrder, "get_many_keeps_the_order_of_the_keys"),
    (
        Fault::RangesAreCutShort,
        "a_range_goes_across_pieces_of_every_size",
    ),
    (Fault::TouchDoesNothing, "touch_counts_the_lifetime_anew"),
];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(fault, name): &(Fault, &'static str)| {
        let (fault, name) = (*fault, *name);
        Trial::test(format!("broken::{fault:?}_is_caught_by_{name}"), move || {
            let case = cases()
                .into_iter()
                .find(|case| case.name == name)
                .ok_or("no such case")?;
            let fixture: Arc<dyn Fixture> = Arc::new(Breaks(fault));
            match case.check(&fixture) {
                Err(_) => Ok(()),
                Ok(()) => Err(format!("{name} passes with {fault:?}").into()),
            }
        })
    };
    CAUGHT.iter().map(trial).collect()
}

struct Breaks(Fault);

#[async_trait]
impl Fixture for Breaks {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn is_in_process(&self) -> bool {
        true
    }

    fn offers(&self, need: Need) -> bool {
        need != Need::Shared
    }

    async fn open(&self, _namespace: &str) -> Result<Arc<dyn Cache>, Error> {
        let inner = muster_cache::open("memory:?limit=256MiB").await?;
        Ok(Arc::new(Broken { inner, fault: self.0 }))
    }

    async fn open_small(&self, namespace: &str) -> Result<(Arc<dyn Cache>, usize), Error> {
        Ok((self.open(namespace).await?, 8 << 20))
    }
}

/// The embedded cache with a fault.
struct Broken {
    inner: Arc<dyn Cache>,
    fault: Fault,
}

impl Broken {
    fn lifetime(&self, lifetime: Duration) -> Duration {
        if self.fault == Fault::LifetimesAreIgnored && !lifetime.is_zero() {
            return Duration::from_secs(24 * 3600);
        }
        lifetime
    }
}

#[async_trait]
impl Cache for Broken {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.inner.get(key).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Error> {
        let mut values = self.inner.get_many(keys).await?;
        if self.fault == Fault::ManyLoseTheirOrder {
            values.reverse();
        }
        Ok(values)
    }

    async fn set(&self, key: &str, value: Bytes, lifetime: Duration) -> Result<(), Error> {
        self.inner.set(key, value, self.lifetime(lifetime)).await
    }

    async fn add(&self, key: &str, value: Bytes, lifetime: Duration) -> Result<bool, Error> {
        if self.fault == Fault::AddOverwrites {
            self.inner.set(key, value, lifetime).await?;
            return Ok(true);
        }
        self.inner.add(key, value, self.lifetime(lifetime)).await
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        self.inner.delete(key).await
    }

    async fn increment(&self, key: &str, by: i64, lifetime: Duration) -> Result<i64, Error> {
        if self.fault == Fault::IncrementLosesSteps {
            // Reads and writes, as if nobody else did.
            let before = self.inner.get(key).await?.unwrap_or_else(|| "0".into());
            let before: i64 = std::str::from_utf8(&before)
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            tokio::task::yield_now().await;
            self.inner
                .set(key, (before + by).to_string().into(), lifetime)
                .await?;
            return Ok(before + by);
        }
        self.inner.increment(key, by, self.lifetime(lifetime)).await
    }

    async fn append(&self, key: &str, at: u64, bytes: Bytes, lifetime: Duration) -> Result<u64, Error> {
        let lifetime = self.lifetime(lifetime);
        match self.inner.append(key, at, bytes.clone(), lifetime).await {
            Err(error) if error.kind == ErrorKind::Conflict && self.fault == Fault::AppendIgnoresWhere => {
                let end = self.inner.get(key).await?.map_or(0, |value| value.len() as u64);
                self.inner.append(key, end, bytes, lifetime).await
            }
            answer => answer,
        }
    }

    async fn range(&self, key: &str, from: u64, most: usize) -> Result<Option<Bytes>, Error> {
        let most = if self.fault == Fault::RangesAreCutShort {
            most.min(10_000)
        } else {
            most
        };
        self.inner.range(key, from, most).await
    }

    async fn touch(&self, key: &str, lifetime: Duration) -> Result<bool, Error> {
        if self.fault == Fault::TouchDoesNothing && !lifetime.is_zero() {
            return Ok(self.inner.get(key).await?.is_some());
        }
        self.inner.touch(key, self.lifetime(lifetime)).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.inner.ping().await
    }

    fn bits(&self) -> Result<&dyn Bits, Error> {
        self.inner.bits()
    }

    fn channels(&self) -> Result<&dyn Channels, Error> {
        self.inner.channels()
    }
}
