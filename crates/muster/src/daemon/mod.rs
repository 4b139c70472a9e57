//! The user's server: finding it, starting it, being it.

mod idle;
mod in_process;
mod line;
mod lock;
mod log;
mod manager;
mod paths;
mod process;
mod ready;
mod seat;
mod self_made;
mod signals;
mod start;
mod token;
mod version;

use std::path::Path;

use muster_client::Client;
use muster_model::Problem;

use crate::settings::Settings;
use in_process::InProcess;

pub use version::version;

/// A server that answers. Keep it while its client is used; `close` it at the end.
pub struct Connected {
    /// Speaks to it.
    pub client: Client,
    inside: Option<InProcess>,
}

impl Connected {
    /// Returns the number of connections that a server inside this process has.
    #[cfg(test)]
    fn connections(&self) -> tokio::sync::watch::Receiver<usize> {
        self.inside.as_ref().expect("a server inside").connections()
    }

    /// Lets a server inside this process take no new work.
    #[cfg(test)]
    fn stop_intake(&self) {
        self.inside.as_ref().expect("a server inside").stop_intake();
    }

    /// Leaves: nothing to do for a server of its own, an orderly end for one inside this process, which
    /// waits until the tasks that it was given are done.
    pub async fn close(self) {
        if let Some(inside) = self.inside {
            inside.close().await;
        }
    }
}

/// Finds the server that the settings name: the one they say, or one inside this process, or this user's
/// own, starting it where there is none and replacing it where it is older than this binary.
///
/// # Errors
///
/// `unavailable`, `not-yours`, `version-mismatch`, `invalid-config`; where the server cannot start, what it
/// says, such as `invalid-database`.
pub async fn ensure(settings: &Settings) -> Result<Connected, Problem> {
    if settings.no_daemon && settings.servers.is_empty() {
        let inside = InProcess::start(settings.clone(), None).await?;
        return Ok(inside.connected());
    }
    let (first, others) = start::find(settings).await?;
    Ok(Connected {
        client: Client::of_several(first, others, version()),
        inside: None,
    })
}

/// Finds the server that the settings name, or this user's own, without starting one: None where there is
/// none. For commands that look at the server or end it.
///
/// # Errors
///
/// `not-yours`; `unavailable` where it does not answer.
pub async fn running(settings: &Settings) -> Result<Option<Connected>, Problem> {
    let found = start::find_running(settings).await?;
    Ok(found.map(|(first, _)| Connected {
        client: Client::new(first, version()),
        inside: None,
    }))
}

/// `muster server`: serves in the foreground until told to leave; on the address that `listen` names, else on this
/// user's socket.
///
/// # Errors
///
/// Where it cannot serve.
pub async fn run_foreground(settings: &Settings, listen: Option<&str>) -> Result<(), Problem> {
    log::to_stderr(settings);
    process::foreground(settings, listen).await
}

/// The hidden command that `ensure` starts. It tells its starter on standard output how the start went.
///
/// # Errors
///
/// Where it cannot serve; the starter was told already.
pub async fn run_daemon(settings: &Settings) -> Result<(), Problem> {
    process::daemon(settings).await
}

/// A server inside this process with everything it keeps under `folder`: for `muster demo`.
///
/// # Errors
///
/// Where it cannot serve.
pub async fn in_process(settings: &Settings, folder: &Path) -> Result<Connected, Problem> {
    let mut settings = settings.clone();
    settings.database = format!("sqlite://{}", folder.join("muster.db").display());
    settings.state_dir = folder.to_owned();
    let inside = InProcess::start(settings, Some(folder)).await?;
    Ok(inside.connected())
}

#[cfg(test)]
mod tests;
