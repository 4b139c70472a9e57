//! Names that completion offers: hosts, groups, recent tasks. Fetched between two lines.

use std::sync::{Arc, Mutex, PoisonError};

use muster_client::TasksQuery;

use crate::cli::context::Context;

/// At most so many hosts are offered.
const HOSTS: usize = 10_000;
/// At most so many recent tasks are offered.
const TASKS: u32 = 50;

/// What is known. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<Mutex<Known>>);

/// Names as of the last look.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) hosts: Vec<String>,
    pub(super) groups: Vec<String>,
    /// Numbers with the commands, newest first.
    pub(super) tasks: Vec<(String, String)>,
}

impl Names {
    /// Returns what is known.
    pub(super) fn known(&self) -> Known {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what is known.
    pub(super) fn set(&self, known: Known) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Asks the server. Completion is a comfort: without an answer it offers what it knew.
    pub(super) async fn refresh(&self, context: &mut Context) {
        let Ok(client) = context.client().await else {
            return;
        };
        let query = TasksQuery {
            limit: Some(TASKS),
            ..TasksQuery::default()
        };
        let (hosts, groups, tasks) =
            futures_util::join!(client.hosts(None), client.groups(), client.tasks(&query));
        let mut known = self.known();
        if let Ok(hosts) = hosts {
            known.hosts = hosts
                .into_iter()
                .take(HOSTS)
                .map(|host| host.name.into())
                .collect();
        }
        if let Ok(groups) = groups {
            known.groups = groups.into_iter().map(|group| group.name).collect();
        }
        if let Ok(page) = tasks {
            known.tasks = page
                .tasks
                .into_iter()
                .map(|listing| (listing.task.id.to_string(), listing.task.command))
                .collect();
        }
        self.set(known);
    }
}
