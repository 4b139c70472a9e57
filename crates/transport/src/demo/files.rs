//! The files of the hosts: homes, the program that says the hostname, keys, `known_hosts` and `ssh_config`.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use muster_model::ErrorKind;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;

use super::Host;
use crate::error::Error;

/// Makes a host's folders in `dir/NAME` and returns its home and the folder of its own programs.
pub(super) fn make_host(dir: &Path, name: &str) -> Result<(PathBuf, PathBuf), Error> {
    let home = dir.join(name).join("home");
    let bin = dir.join(name).join("bin");
    for folder in [&home, &bin] {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(at(folder))?;
    }
    // Commands on this host ask it for their hostname, and not the machine that the process runs on.
    write(&bin.join("hostname"), &format!("#!/bin/sh\necho {name}\n"), 0o700)?;
    let greeting = format!("This is {name}, a host inside the muster process.\n");
    write(&home.join("README"), &greeting, 0o600)?;
    Ok((home, bin))
}

/// Writes the client's key and returns its path.
pub(super) fn write_key(dir: &Path, key: &PrivateKey) -> Result<PathBuf, Error> {
    let path = dir.join("id_ed25519");
    let text = key.to_openssh(LineEnding::LF).map_err(|error| {
        Error::new(ErrorKind::Internal, "writing the key of the demo hosts").caused_by(error)
    })?;
    write(&path, &text, 0o600)?;
    write(
        &dir.join("id_ed25519.pub"),
        &format!("{}\n", public_line(key)?),
        0o600,
    )?;
    Ok(path)
}

/// Writes `known_hosts` and returns its path.
pub(super) fn write_known_hosts(dir: &Path, hosts: &[(Host, PrivateKey)]) -> Result<PathBuf, Error> {
    let mut text = String::new();
    for (host, key) in hosts {
        text.push_str(&format!(
            "[{}]:{} {}\n",
            host.address,
            host.port,
            public_line(key)?
        ));
    }
    let path = dir.join("known_hosts");
    write(&path, &text, 0o600)?;
    Ok(path)
}

/// Writes `ssh_config` and returns its path.
pub(super) fn write_ssh_config(
    dir: &Path,
    hosts: &[(Host, PrivateKey)],
    user: &str,
    key: &Path,
    known_hosts: &Path,
) -> Result<PathBuf, Error> {
    let mut text = String::new();
    for (host, _) in hosts {
        text.push_str(&format!(
            "Host {name}\n    HostName {address}\n    Port {port}\n    User {user}\n    IdentityFile {key}\n    \
             IdentitiesOnly yes\n    UserKnownHostsFile {known_hosts}\n    StrictHostKeyChecking yes\n",
            name = host.name,
            address = host.address,
            port = host.port,
            key = quoted(key),
            known_hosts = quoted(known_hosts),
        ));
    }
    let path = dir.join("ssh_config");
    write(&path, &text, 0o600)?;
    Ok(path)
}

fn public_line(key: &PrivateKey) -> Result<String, Error> {
    key.public_key()
        .to_openssh()
        .map_err(|error| Error::new(ErrorKind::Internal, "writing a key of the demo hosts").caused_by(error))
}

/// A path for `ssh_config`, which splits words at spaces.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.contains(' ') {
        format!("\"{text}\"")
    } else {
        text.into_owned()
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path);
    file.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let operation = format!("writing {}", path.display());
    |error| Error::new(ErrorKind::Unavailable, operation).caused_by(error)
}
