//! A server inside the command's own process, for CI jobs, containers and the demo: the same server behind
//! the same socket, but in a folder that nobody else knows, and gone with the command.

use std::path::Path;

use muster_client::{Address, Client};
use muster_engine::TaskFilter;
use muster_model::task::TaskState;
use muster_model::{Problem, Roles, TaskId};
use muster_server::{Handle, Listener};
use tempfile::TempDir;

use super::Connected;
use super::paths::{self, cannot};
use super::process::Process;
use super::seat::Seat;
use super::version;
use crate::settings::Settings;

/// A server inside this process.
pub(super) struct InProcess {
    process: Process,
    handle: Handle,
    seat: Seat,
    settings: Settings,
    _folder: Option<TempDir>,
}

impl InProcess {
    /// Starts it, with the socket in `folder`, or in a fresh one that is removed with it.
    pub(super) async fn start(mut settings: Settings, folder: Option<&Path>) -> Result<Self, Problem> {
        settings.roles = Roles::ALL;
        let fresh = match folder {
            Some(folder) => {
                paths::private_state(folder)?;
                None
            }
            None => Some(fresh_folder()?),
        };
        let place = fresh
            .as_ref()
            .map(TempDir::path)
            .or(folder)
            .unwrap_or(Path::new("/"));
        let mut seat = Seat::private(place.join("server.sock"));
        let process = Process::start(&settings).await?;
        let handle = seat
            .listen()
            .and_then(|listener| process.serve(Listener::Unix(listener), None));
        match handle {
            Ok(handle) => Ok(Self {
                process,
                handle,
                seat,
                settings,
                _folder: fresh,
            }),
            Err(problem) => {
                process.close(std::time::Duration::ZERO).await;
                Err(problem)
            }
        }
    }

    pub(super) fn connected(self) -> Connected {
        let address = Address::Unix(self.seat.socket().to_owned());
        Connected {
            client: Client::new(address, version()),
            inside: Some(self),
        }
    }

    #[cfg(test)]
    pub(super) fn connections(&self) -> tokio::sync::watch::Receiver<usize> {
        self.handle.connections()
    }

    #[cfg(test)]
    pub(super) fn stop_intake(&self) {
        self.process.tasks.intake().cancel();
    }

    /// Waits until the tasks that were submitted here are done, and ends.
    pub(super) async fn close(self) {
        let Self {
            process,
            handle,
            mut seat,
            settings,
            _folder,
        } = self;
        for task in open_tasks(&process).await {
            until_done(&process, task).await;
        }
        seat.vacate();
        handle.stop_listening().await;
        process.close(settings.drain).await;
    }
}

/// Makes a folder with mode 0700 under a name that nobody can foresee.
fn fresh_folder() -> Result<TempDir, Problem> {
    tempfile::Builder::new()
        .prefix("muster-")
        .tempdir()
        .map_err(|error| cannot(&std::env::temp_dir(), "written to", &error))
}

/// Returns the tasks that came since this process started and are not done.
async fn open_tasks(process: &Process) -> Vec<TaskId> {
    let filter = TaskFilter {
        state: Some(TaskState::Running),
        since: Some(process.started_at),
        limit: 1000,
        ..TaskFilter::default()
    };
    let found = process.engine.tasks(filter).await.unwrap_or_default();
    found.into_iter().map(|task| task.id).collect()
}

async fn until_done(process: &Process, task: TaskId) {
    let Ok(mut watcher) = process.engine.watch(task, None).await else {
        return;
    };
    while let Ok(Some(_)) = watcher.next().await {}
}
