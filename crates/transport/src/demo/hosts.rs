//! Starting the hosts and ending them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_model::ErrorKind;
use muster_runtime::{CancellationToken, Tasks};
use russh::keys::{Algorithm, PrivateKey};
use tokio::net::TcpListener;

use super::server::{self, Machine};
use super::{addresses, files, sweep};
use crate::error::Error;

/// The most hosts of one process: what the last part of an address holds.
const MOST: u8 = 250;

/// One host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name: `demo1`, `demo2`, ...
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Its home folder.
    pub home: PathBuf,
}

/// Running hosts. Dropping them ends them and every process that commands started on them; the folder is the
/// caller's to remove, after that.
#[derive(Debug)]
pub struct Hosts {
    hosts: Vec<Host>,
    key: PathBuf,
    known_hosts: PathBuf,
    ssh_config: PathBuf,
    user: String,
    mark: String,
    stop: CancellationToken,
}

impl Hosts {
    /// Starts `count` hosts, `demo1` to `demoN`, whose files are in `dir` (private, and for them alone).
    ///
    /// They end when this is dropped, or with `tasks`.
    ///
    /// # Errors
    ///
    /// `TooLarge` for more than 250; `Unavailable` where no address can be listened on or `dir` cannot be
    /// written to.
    pub async fn start(count: usize, tasks: &Tasks, dir: &Path) -> Result<Self, Error> {
        let many = u8::try_from(count).ok().filter(|count| *count <= MOST);
        let Some(count) = many else {
            let operation = format!("starting {count} demo hosts, of at most {MOST}");
            return Err(Error::new(ErrorKind::TooLarge, operation));
        };
        let listeners = addresses::listen(count).await.map_err(|error| {
            Error::new(
                ErrorKind::Unavailable,
                "listening on the loopback addresses of demo hosts",
            )
            .caused_by(error)
        })?;
        let user = user()?;
        let client = new_key()?;
        let stop = tasks.work().child_token();
        let mark = mark()?;
        let mut started = Vec::new();
        for (number, listener) in (1..).zip(listeners) {
            let name = format!("demo{number}");
            let (home, bin) = files::make_host(dir, &name)?;
            let address = listener.local_addr().map_err(|error| {
                Error::new(ErrorKind::Internal, "asking for a demo host's address").caused_by(error)
            })?;
            let host = Host {
                name,
                address: address.ip().to_string(),
                port: address.port(),
                home,
            };
            let machine = Machine {
                name: host.name.clone(),
                user: user.clone(),
                home: host.home.clone(),
                bin,
                mark: mark.clone(),
                client: client.public_key().clone(),
                tasks: tasks.clone(),
                stop: stop.clone(),
            };
            started.push((host, new_key()?, machine, listener));
        }
        Self::open(started, &client, dir, user, mark, stop, tasks)
    }

    /// Writes what clients need, and only then lets them in.
    fn open(
        started: Vec<(Host, PrivateKey, Machine, TcpListener)>,
        client: &PrivateKey,
        dir: &Path,
        user: String,
        mark: String,
        stop: CancellationToken,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let keys: Vec<(Host, PrivateKey)> = started
            .iter()
            .map(|(host, key, _, _)| (host.clone(), key.clone()))
            .collect();
        let key = files::write_key(dir, client)?;
        let known_hosts = files::write_known_hosts(dir, &keys)?;
        let ssh_config = files::write_ssh_config(dir, &keys, &user, &key, &known_hosts)?;
        for (_, host_key, machine, listener) in started {
            tasks.spawn("demo host", server::serve(listener, host_key, Arc::new(machine)));
        }
        Ok(Self {
            hosts: keys.into_iter().map(|(host, _)| host).collect(),
            key,
            known_hosts,
            ssh_config,
            user,
            mark,
            stop,
        })
    }

    /// Returns the hosts.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Returns the user to log in as.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the private key that is let in.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// Returns a `known_hosts` file with the hosts' keys.
    #[must_use]
    pub fn known_hosts(&self) -> &Path {
        &self.known_hosts
    }

    /// Returns an `ssh_config` in which the hosts have their names.
    #[must_use]
    pub fn ssh_config(&self) -> &Path {
        &self.ssh_config
    }

    /// Ends the hosts and every process that commands started on them.
    pub fn stop(&self) {
        self.stop.cancel();
        sweep::kill_all(&self.mark, Duration::from_secs(5));
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.stop();
    }
}

fn new_key() -> Result<PrivateKey, Error> {
    PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)
        .map_err(|error| Error::new(ErrorKind::Internal, "generating a key for demo hosts").caused_by(error))
}

/// A random word in the environment of every process of these hosts.
fn mark() -> Result<String, Error> {
    let mut bytes = [0u8; 12];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Internal, "reading random bytes").caused_by(error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The user whom the commands run as: the one of this process.
fn user() -> Result<String, Error> {
    let uid = nix::unistd::geteuid();
    match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => Ok(user.name),
        // Containers run processes as users without a name.
        Ok(None) => Ok(format!("user{uid}")),
        Err(error) => {
            Err(Error::new(ErrorKind::Internal, "asking for the name of this user").caused_by(error))
        }
    }
}
