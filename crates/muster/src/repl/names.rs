//! Names that completion offers: hosts, groups, recent tasks. Fetched between two lines; of an inventory that is too
//! large for that, hosts are asked for while the line is typed.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_client::{Client, TasksQuery};
use tokio::sync::mpsc;

use crate::cli::context::Context;

/// At most so many hosts are kept here.
const HOSTS: u32 = 10_000;
/// At most so many names are offered of a larger inventory.
const OFFERED: u32 = 500;
/// At most so many recent tasks are offered.
const TASKS: u32 = 50;
/// A person waits so long for the server's answer to a Tab; then what is known has to do.
const PATIENCE: Duration = Duration::from_millis(300);

/// What is known. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Names {
    known: Arc<Mutex<Known>>,
    asks: mpsc::Sender<Ask>,
}

/// Names as of the last look.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) hosts: Vec<String>,
    /// There are more hosts than these.
    pub(super) more_hosts: bool,
    pub(super) groups: Vec<String>,
    /// Numbers with the commands, newest first.
    pub(super) tasks: Vec<(String, String)>,
}

/// A question of the thread that reads the line.
#[derive(Debug)]
pub(super) struct Ask {
    prefix: String,
    answer: SyncSender<Vec<String>>,
}

/// Who answers what the line's thread asks.
pub(super) struct Answers {
    asks: mpsc::Receiver<Ask>,
    client: Option<Client>,
}

impl Answers {
    /// Returns the next question. Cancel-safe.
    pub(super) async fn next(&mut self) -> Ask {
        match self.asks.recv().await {
            Some(ask) => ask,
            None => std::future::pending().await,
        }
    }

    /// Answers it; where that cannot be done, whoever asked goes on without.
    pub(super) async fn answer(&self, ask: Ask) {
        let Some(client) = &self.client else { return };
        let names = tokio::time::timeout(PATIENCE, client.names(&ask.prefix, OFFERED)).await;
        if let Ok(Ok(names)) = names {
            let _ = ask.answer.try_send(names);
        }
    }
}

impl Names {
    /// Returns names that nobody has fetched yet, and who answers for them.
    pub(super) fn new() -> (Self, Answers) {
        let (asks, asked) = mpsc::channel(1);
        let names = Self {
            known: Arc::default(),
            asks,
        };
        let answers = Answers {
            asks: asked,
            client: None,
        };
        (names, answers)
    }

    /// Returns what is known.
    pub(super) fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the hosts that may begin with `prefix`: of a large inventory, those that do. Blocks for a moment.
    pub(super) fn hosts(&self, prefix: &str) -> Vec<String> {
        let known = self.known();
        if !known.more_hosts {
            return known.hosts;
        }
        let (answer, answered) = sync_channel(1);
        let ask = Ask {
            prefix: prefix.to_owned(),
            answer,
        };
        match self.asks.try_send(ask) {
            Ok(()) => answered.recv_timeout(PATIENCE).unwrap_or(known.hosts),
            Err(_) => known.hosts,
        }
    }

    /// Replaces what is known.
    pub(super) fn set(&self, known: Known) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Asks the server. Completion is a comfort: without an answer it offers what it knew.
    pub(super) async fn refresh(&self, context: &mut Context) -> Option<Client> {
        let client = context.client().await.ok()?;
        let query = TasksQuery {
            limit: Some(TASKS),
            ..TasksQuery::default()
        };
        let (hosts, groups, tasks) =
            futures_util::join!(client.names("", HOSTS), client.groups(), client.tasks(&query));
        let mut known = self.known();
        if let Ok(hosts) = hosts {
            known.more_hosts = hosts.len() >= HOSTS as usize;
            known.hosts = hosts;
        }
        if let Ok(groups) = groups {
            known.groups = groups.into_iter().map(|group| group.name.into()).collect();
        }
        if let Ok(page) = tasks {
            known.tasks = page
                .tasks
                .into_iter()
                .map(|listing| (listing.task.id.to_string(), listing.task.command))
                .collect();
        }
        self.set(known);
        Some(client)
    }
}

impl Answers {
    /// Takes the client that a refresh gave.
    pub(super) fn by(&mut self, client: Option<Client>) {
        self.client = client.or_else(|| self.client.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_inventory_is_asked_while_the_line_is_typed() {
        let (names, mut answers) = Names::new();
        names.set(Known {
            hosts: vec!["a1".into()],
            more_hosts: true,
            ..Known::default()
        });
        let line = names.clone();
        let asking = std::thread::Builder::new()
            .name("line".to_owned())
            .spawn(move || line.hosts("web"))
            .expect("a thread");
        let ask = answers.asks.blocking_recv().expect("a question");
        assert_eq!(ask.prefix, "web");
        ask.answer.send(vec!["web7".into()]).expect("somebody waits");
        assert_eq!(asking.join().expect("no panic"), ["web7"]);
        drop(answers);
        assert_eq!(names.hosts("web"), ["a1"], "without an answer, what is known");
    }
}
