//! Keeps the copy right: reads what is new at most once a second, and writes what hosts show before anybody goes on.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use muster_model::host_key::{Decision, HostKey, KnownHost};
use muster_model::{ErrorKind, Timestamp};
use muster_runtime::{Tasks, clock};
use muster_store::ShownKey;
use muster_transport::Error;
use tokio::sync::oneshot;

use super::copy::Copy;
use crate::fault;

/// How long a look into the database may hold up a login; the copy does then, where there is one.
const LOOK: Duration = Duration::from_secs(2);
/// How long writing keys down may take.
const WRITE: Duration = Duration::from_secs(30);
/// The most keys in one transaction.
const MOST: usize = 1000;

type Answer = oneshot::Sender<Result<KnownHost, Error>>;

/// The keys by which hosts are known. Give it to the transport before the engine starts. Cheap to clone.
#[derive(Clone)]
pub struct HostKeys {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn muster_store::HostKeys>,
    tasks: Tasks,
    copy: Mutex<Copy>,
    /// One at a time reads or writes, so that an old reading never covers a new writing.
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Waiting>,
}

/// Keys that wait to be written down.
#[derive(Default)]
struct Waiting {
    shown: Vec<(ShownKey, Answer)>,
    is_written: bool,
}

impl fmt::Debug for HostKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the keys of hosts in the database")
    }
}

impl HostKeys {
    /// Returns the keys that a database has. Nothing is read before somebody asks.
    #[must_use]
    pub fn new(store: Arc<dyn muster_store::HostKeys>, tasks: Tasks) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                tasks,
                copy: Mutex::default(),
                turn: tokio::sync::Mutex::default(),
                waiting: Mutex::default(),
            }),
        }
    }

    fn copy(&self) -> MutexGuard<'_, Copy> {
        self.shared.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns all that is known, by name, as it stands in the database at this moment.
    pub(super) async fn all(&self) -> Result<Vec<(String, KnownHost)>, muster_store::Error> {
        let _turn = self.shared.turn.lock().await;
        self.look().await?;
        Ok(self.copy().all())
    }

    /// Does what a person decided; the copy is right when it returns.
    pub(super) async fn decide(
        &self,
        decisions: Vec<(String, Decision)>,
        at: Timestamp,
    ) -> Result<(), muster_store::Error> {
        let _turn = self.shared.turn.lock().await;
        self.write_unwritten().await?;
        self.shared.store.decide(decisions.clone(), at).await?;
        if let Err(error) = self.look().await {
            tracing::warn!(error = %fault::chain(&error), "decisions about host keys could not be read back");
            let mut copy = self.copy();
            for (name, decision) in decisions {
                let mut known = copy.known(&name);
                if known.decide(&decision, at).is_ok() {
                    copy.set(name, known);
                }
            }
        }
        Ok(())
    }

    /// Sees to it that the copy is young enough. Where the database is away, an old copy does; none does not.
    async fn refresh(&self) -> Result<(), Error> {
        let is_loaded = {
            let copy = self.copy();
            if copy.is_fresh(clock::monotonic()) {
                return copy.failure().map_or(Ok(()), |why| Err(away(&why)));
            }
            copy.revision().is_some()
        };
        let _turn = match (is_loaded, self.shared.turn.try_lock()) {
            (_, Ok(turn)) => turn,
            // Somebody is at it: the copy is a moment older than a second.
            (true, Err(_)) => return Ok(()),
            (false, Err(_)) => clock::deadline(LOOK, self.shared.turn.lock())
                .await
                .map_err(|clock::Elapsed| away(&no_answer(LOOK)))?,
        };
        if self.copy().is_fresh(clock::monotonic()) {
            return self.copy().failure().map_or(Ok(()), |why| Err(away(&why)));
        }
        let failure = match clock::deadline(LOOK, self.look()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(fault::chain(&error)),
            Err(clock::Elapsed) => Some(no_answer(LOOK)),
        };
        let mut copy = self.copy();
        if let (Some(why), None) = (&failure, copy.failure()) {
            tracing::debug!(%why, "the keys of hosts could not be read");
        }
        copy.looked(clock::monotonic(), failure);
        copy.failure().map_or(Ok(()), |why| Err(away(&why)))
    }

    /// Brings the copy up to date. The caller has the turn.
    async fn look(&self) -> Result<(), muster_store::Error> {
        self.write_unwritten().await?;
        let store = &self.shared.store;
        let now = store.revision().await?;
        let known = self.copy().revision();
        if known != Some(now.changed) {
            let since = known.filter(|known| now.removed <= *known);
            let records = store.host_keys_since(since.unwrap_or(0)).await?;
            self.copy().take(records, since.is_none(), now.changed);
        }
        self.copy().looked(clock::monotonic(), None);
        Ok(())
    }

    /// Writes down the changed keys that could not be when they were seen. The caller has the turn.
    async fn write_unwritten(&self) -> Result<(), muster_store::Error> {
        let unwritten = self.copy().unwritten();
        if !unwritten.is_empty() {
            self.shared.store.show(unwritten.clone()).await?;
            self.copy().written(&unwritten);
        }
        Ok(())
    }

    /// Writes what waits until nothing does. A task of its own: whoever waits may leave, and what comes while one
    /// transaction commits is the next one.
    async fn write(self) {
        loop {
            let batch = {
                let mut waiting = self.waiting();
                if waiting.shown.is_empty() {
                    waiting.is_written = false;
                    return;
                }
                let most = waiting.shown.len().min(MOST);
                waiting.shown.drain(..most).collect::<Vec<_>>()
            };
            let _turn = self.shared.turn.lock().await;
            let (shown, answers): (Vec<ShownKey>, Vec<Answer>) = batch.into_iter().unzip();
            match self.write_down(&shown).await {
                Ok(known) => {
                    for ((shown, known), answer) in shown.into_iter().zip(known).zip(answers) {
                        self.copy().set(shown.host, known.clone());
                        let _ = answer.send(Ok(known));
                    }
                }
                Err((kind, why)) => {
                    for (shown, answer) in shown.into_iter().zip(answers) {
                        self.copy().keep_unwritten(shown);
                        let error = Error::new(kind, "write down the key of a host");
                        let _ = answer.send(Err(error.caused_by(why.clone())));
                    }
                }
            }
        }
    }

    async fn write_down(&self, shown: &[ShownKey]) -> Result<Vec<KnownHost>, (ErrorKind, String)> {
        let twice = async {
            let store = &self.shared.store;
            match store.show(shown.to_vec()).await {
                // It may have happened; once more it changes nothing.
                Err(error) if error.kind == ErrorKind::OutcomeUnknown => store.show(shown.to_vec()).await,
                result => result,
            }
        };
        match clock::deadline(WRITE, twice).await {
            Ok(Ok(known)) => Ok(known),
            Ok(Err(error)) => Err((error.kind, fault::chain(&error))),
            Err(clock::Elapsed) => Err((ErrorKind::Timeout, no_answer(WRITE))),
        }
    }
}

fn no_answer(limit: Duration) -> String {
    format!("the database did not answer within {limit:?}")
}

fn away(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "read the keys of hosts").caused_by(why.to_owned())
}

#[async_trait]
impl muster_transport::HostKeys for HostKeys {
    async fn known(&self, name: &str) -> Result<KnownHost, Error> {
        self.refresh().await?;
        Ok(self.copy().known(name))
    }

    async fn show(&self, name: &str, key: &HostKey, pin: bool) -> Result<KnownHost, Error> {
        let known = self.copy().known(name);
        if known.has_pinned(key.fingerprint()) {
            return Ok(known);
        }
        let shown = ShownKey {
            host: name.to_owned(),
            key: key.clone(),
            pin,
            at: clock::now(),
        };
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            waiting.shown.push((shown, answer));
            if !std::mem::replace(&mut waiting.is_written, true) {
                self.shared.tasks.spawn("write host keys", self.clone().write());
            }
        }
        answered.await.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Cancelled, "write down the key of a host");
            Err(error.caused_by("the server is stopping"))
        })
    }
}

#[cfg(test)]
mod tests;
