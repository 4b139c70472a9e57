//! What is one engine's alone: how it is reached, what it refuses, and how that is said.

mod memcached;
mod network;
mod redis;

use std::sync::Arc;

use libtest_mimic::Trial;
use muster_cache::{Cache, Error};
use muster_model::ErrorKind;

/// A lifetime that no test outlives.
const LONG: std::time::Duration = std::time::Duration::from_secs(3600);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = redis::trials();
    trials.extend(memcached::trials());
    trials.extend(network::trials());
    trials
}

/// Makes a trial of an asynchronous test.
macro_rules! alone {
    ($engine:literal: $($name:ident),* $(,)?) => {
        pub(super) fn trials() -> Vec<libtest_mimic::Trial> {
            vec![$(libtest_mimic::Trial::test(
                concat!($engine, "::alone::", stringify!($name)),
                || { $crate::engines::run($name()); Ok(()) },
            )),*]
        }
    };
}
use alone;

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let limit = std::time::Duration::from_secs(120);
        muster_runtime::clock::deadline(limit, test)
            .await
            .expect("it ends");
    });
}

/// Checks that a call failed as it should, and what it said. No password is ever in it.
#[track_caller]
fn refused<T>(answer: Result<T, Error>, kind: ErrorKind, words: &str) {
    let Err(error) = answer else {
        panic!("it was not refused: {words}")
    };
    let mut all = format!("{error}: {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        all = format!("{all}: {inner}: {inner:?}");
        cause = inner.source();
    }
    assert_eq!(error.kind, kind, "{all}");
    assert!(error.operation.contains(words), "{all}");
    assert!(!all.contains("hunter2"), "{all}");
}

async fn opened(url: &str) -> Arc<dyn Cache> {
    match muster_cache::open(url).await {
        Ok(cache) => cache,
        Err(error) => panic!("{error:?}"),
    }
}
