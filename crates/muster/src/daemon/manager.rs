//! Tells the service manager how the server is, by the protocol of sd_notify: a datagram to a socket that it names.
//! Without such a socket nothing is told, and nobody misses it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use muster_model::Problem;
use muster_model::problem::Code;
use muster_runtime::{Tasks, clock};

use crate::settings::Settings;

/// The service manager that started this process.
#[derive(Clone)]
pub(super) struct Manager {
    socket: std::sync::Arc<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// Returns the manager that the settings name; None where none does.
    ///
    /// # Errors
    ///
    /// Where the socket that is named cannot be used: a manager that hears nothing would end this process later.
    pub(super) fn of(settings: &Settings) -> Result<Option<Self>, Problem> {
        let Some(path) = &settings.notify_socket else {
            return Ok(None);
        };
        let connected = || {
            let address = match path.as_os_str().as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(path)?,
            };
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket.connect_addr(&address)?;
            Ok(socket)
        };
        let socket = connected().map_err(|error: std::io::Error| {
            Problem::new(
                Code::InvalidConfig,
                format!("NOTIFY_SOCKET: {} cannot be used: {error}", path.display()),
            )
            .hint("systemd sets it; unset it where the server is started by something else")
        })?;
        Ok(Some(Self {
            socket: socket.into(),
            watchdog: settings.watchdog,
        }))
    }

    /// Says that the server serves, and from then on that it lives, where the manager wants to hear that.
    pub(super) fn ready(&self, tasks: &Tasks) {
        self.tell("READY=1\nSTATUS=serving");
        let Some(limit) = self.watchdog else { return };
        let manager = self.clone();
        let work = tasks.work().clone();
        tasks.spawn("tell the service manager", async move {
            loop {
                manager.tell("WATCHDOG=1");
                tokio::select! {
                    () = clock::sleep(limit / 2) => {}
                    () = work.cancelled() => return,
                }
            }
        });
    }

    /// Says that the server leaves.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what was started");
    }

    fn tell(&self, what: &str) {
        if let Err(error) = self.socket.send(what.as_bytes()) {
            tracing::debug!(%error, "the service manager does not listen");
        }
    }
}
