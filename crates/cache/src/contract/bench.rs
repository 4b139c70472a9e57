//! What a case works with: an adapter in a namespace of its own, and waiting without hoping.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use muster_model::ErrorKind;
use muster_runtime::Tasks;
use muster_runtime::clock::{deadline, sleep};

use super::case::{Case, Need, Outcome};
use crate::error::Error;
use crate::port::Cache;

/// How long a case waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// A lifetime that no case outlives.
pub(super) const LONG: Duration = Duration::from_secs(3600);

/// Opens one adapter for the cases.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// Returns the adapter's name, as it stands before each case's.
    fn name(&self) -> &'static str;

    /// Tells whether the adapter lives in this process, so that time may be virtual.
    fn is_in_process(&self) -> bool;

    /// Tells whether it has what a case needs.
    fn offers(&self, need: Need) -> bool;

    /// Opens the adapter in a namespace: nothing that another namespace holds can be seen in it, and where
    /// the adapter is shared, opening it twice gives two doors to the same. It holds 256 MiB at least.
    async fn open(&self, namespace: &str) -> Result<Arc<dyn Cache>, Error>;

    /// Opens the adapter with little memory, and tells how much: at most 8 MiB.
    async fn open_small(&self, namespace: &str) -> Result<(Arc<dyn Cache>, usize), Error>;

    /// Opens the adapter on an engine that nobody else uses, whose calls end within two seconds.
    async fn open_alone(&self) -> Result<(Arc<dyn Cache>, Arc<dyn Engine>), Error> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "it has no engine that could go away",
        ))
    }
}

/// An engine that a case has for itself. Each call blocks until it is done.
pub trait Engine: Send + Sync + 'static {
    /// Kills it: what it kept is gone.
    fn kill(&self);

    /// Starts it again where it was, empty.
    fn start_again(&self);

    /// Takes away everything that it keeps.
    fn flush(&self);
}

/// What a case works with.
pub struct Bench {
    /// The adapter, in a namespace of the case's own.
    pub cache: Arc<dyn Cache>,
    /// How much it holds, where it is small.
    pub limit: usize,
    /// Where the case's own tasks run.
    pub tasks: Tasks,
    /// The engine, where the case is about outages.
    pub(super) engine: Option<Arc<dyn Engine>>,
    fixture: Arc<dyn Fixture>,
    namespace: String,
}

impl Bench {
    /// Opens the adapter for a case.
    ///
    /// # Errors
    ///
    /// Where the adapter cannot be opened.
    pub async fn open(fixture: Arc<dyn Fixture>, case: &Case) -> Result<Self, Error> {
        let namespace = format!("{}-{}", case.name, std::process::id());
        let (cache, limit, engine) = if case.need.is_small() {
            let (cache, limit) = fixture.open_small(&namespace).await?;
            (cache, limit, None)
        } else if case.need.is_of_outages() {
            let (cache, engine) = fixture.open_alone().await?;
            (cache, usize::MAX, Some(engine))
        } else {
            (fixture.open(&namespace).await?, usize::MAX, None)
        };
        Ok(Self {
            cache,
            limit,
            engine,
            tasks: Tasks::new(),
            fixture,
            namespace,
        })
    }

    /// Opens the same namespace once more, as another process would.
    pub(super) async fn open_again(&self) -> Result<Arc<dyn Cache>, Error> {
        self.fixture.open(&self.namespace).await
    }

    /// Sets a text that no case outlives.
    pub(super) async fn set(&self, key: &str, text: &str) -> Result<(), Error> {
        self.cache.set(key, Bytes::from(text.to_owned()), LONG).await
    }

    /// Checks what a key holds.
    pub(super) async fn holds(&self, key: &str, expected: Option<&str>) -> Outcome {
        let found = self.cache.get(key).await?;
        if found.as_deref() == expected.map(str::as_bytes) {
            return Ok(());
        }
        Err(format!("'{key}' holds {found:?}, not {expected:?}").into())
    }

    /// Waits until a key is gone.
    pub(super) async fn goes(&self, key: &str) -> Outcome {
        let wait = async {
            while self.cache.get(key).await?.is_some() {
                sleep(Duration::from_millis(50)).await;
            }
            Ok::<(), Error>(())
        };
        let outcome = deadline(PATIENCE, wait).await;
        outcome.map_err(|_| format!("'{key}' is still there"))??;
        Ok(())
    }

    /// Waits until calls are answered, by every server where there are several.
    pub(super) async fn answers(&self) -> Outcome {
        let keys: Vec<String> = (0..32).map(|number| format!("anything.{number}")).collect();
        let wait = async {
            while self.cache.get_many(&keys).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        Ok(deadline(PATIENCE, wait)
            .await
            .map_err(|_| "calls are not answered again")?)
    }

    /// Waits until tasks of the case have ended.
    pub(super) async fn tasks_end(&self) -> Outcome {
        let wait = async {
            while self.tasks.running() > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let outcome = deadline(Duration::from_secs(90), wait).await;
        Ok(outcome.map_err(|_| "the case's tasks did not end")?)
    }
}

/// Fails with what was promised where it is not so.
pub(super) fn ensure(is_so: bool, promise: &str) -> Outcome {
    if is_so {
        Ok(())
    } else {
        Err(format!("not so: {promise}").into())
    }
}

/// Checks that a call failed with a kind.
pub(super) fn ensure_kind<T>(answer: Result<T, Error>, kind: ErrorKind) -> Outcome {
    match answer {
        Err(error) if error.kind == kind => Ok(()),
        Err(error) => Err(format!("it failed as '{}', not as '{kind}'", error.kind).into()),
        Ok(_) => Err(format!("it did not fail as '{kind}'").into()),
    }
}

/// Returns bytes that tell where in a value they belong: a hole or a tear shows.
pub(super) fn pattern(seed: usize, from: usize, len: usize) -> Bytes {
    (from..from + len)
        .map(|at| ((at / 251 + at * 7 + seed * 13) % 256) as u8)
        .collect()
}
