//! What hosts say of themselves: read, and kept in groups, since the hosts of a task answer at about the same time.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use muster_model::facts::{self, Facts};
use muster_model::wire::{self, Targets};
use muster_model::{Problem, Stream, output};
use muster_runtime::clock;
use muster_store::HostFacts;
use tokio::sync::oneshot;

use crate::core::Core;
use crate::dispatch::Work;
use crate::fault;
use crate::follow::LiveTask;

/// Facts that wait to be written, each with whom to tell.
type Waiting = Vec<(HostFacts, oneshot::Sender<Result<(), String>>)>;

/// Facts on their way to the database.
#[derive(Default)]
pub(crate) struct Shelf {
    waiting: Mutex<Waiting>,
    turn: tokio::sync::Mutex<()>,
}

impl Core {
    /// Reads the answer of the run's host, and keeps it where the host is in the inventory. An error says, for people,
    /// why there are no facts.
    pub(crate) async fn keep_facts(
        &self,
        live: &LiveTask,
        work: Work,
        log: Option<&Bytes>,
    ) -> Result<(), String> {
        let facts = read(log.cloned().unwrap_or_default())?;
        let Some(host) = live.hosts.get(work.run.index as usize) else {
            return Ok(());
        };
        let Ok(host) = host.endpoint.host.parse() else {
            return Ok(());
        };
        let (done, result) = oneshot::channel();
        let said = HostFacts {
            host,
            facts,
            gathered_at: clock::now(),
        };
        self.facts.waiting().push((said, done));
        // Whoever has the turn writes for all who wait by then: they find theirs written when their turn comes.
        {
            let _turn = self.facts.turn.lock().await;
            let waiting = std::mem::take(&mut *self.facts.waiting());
            if !waiting.is_empty() {
                self.write_facts(waiting).await;
            }
        }
        result
            .await
            .unwrap_or_else(|_| Err("its facts could not be kept: see the server's log".to_owned()))
    }

    async fn write_facts(&self, waiting: Waiting) {
        let (said, callers): (Vec<HostFacts>, Vec<_>) = waiting.into_iter().unzip();
        let written = self.rooms.database.inventory.put_facts(said).await;
        let result = match written {
            Ok(_) => {
                self.copy.note_change();
                Ok(())
            }
            Err(error) => Err(format!("its facts could not be kept: {}", fault::chain(&error))),
        };
        for caller in callers {
            // A caller that is gone hears nothing.
            let _ = caller.send(result.clone());
        }
    }

    /// Returns what the targets said of themselves, in their order; every host by name where nothing is named.
    pub(crate) async fn facts(&self, targets: &Targets) -> Result<Vec<wire::HostFacts>, Problem> {
        let inventory = self.rooms.database.inventory.as_ref();
        let fleet = self.copy.fleet(inventory, &self.tasks).await?;
        let names = if *targets == Targets::default() {
            let mut names: Vec<String> = fleet.names().map(str::to_owned).collect();
            names.sort();
            names
        } else {
            self.resolve(targets).await?
        };
        let told = names.iter().filter_map(|name| {
            let said = fleet.host(name)?.1?;
            Some(wire::HostFacts {
                host: name.parse().ok()?,
                gathered_at: said.at,
                facts: said.facts.record(),
            })
        });
        Ok(told.collect())
    }
}

impl Shelf {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads facts from the log of a run.
fn read(mut log: Bytes) -> Result<Facts, String> {
    let frames = output::decode(&mut log).map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    for frame in frames.iter().filter(|frame| frame.stream == Stream::Stdout) {
        answer.extend_from_slice(&frame.bytes);
    }
    facts::parse(&answer).map_err(|error| error.to_string())
}
