//! The transport of this process: every endpoint by its own way.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::port::Transport;

/// Settings of the transport.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The user's home folder (`~` in `ssh_config`).
    pub home: PathBuf,
    /// The local user's name.
    pub user: String,
    /// A connection without a command is closed after this.
    pub idle: Duration,
    /// A keepalive is sent after this much silence.
    pub keepalive: Duration,
    /// At most so many logins at a time.
    pub logins: usize,
}

/// Opens the transport: local endpoints as processes here, the others by SSH.
#[must_use]
pub fn open(settings: Settings) -> Arc<dyn Transport> {
    let _ = settings;
    unreachable!()
}
