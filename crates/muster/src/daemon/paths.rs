//! The folder of the socket and the locks, and whose it is. Nothing in a folder of somebody else is
//! touched, and no socket of somebody else is connected to.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use muster_model::Problem;
use muster_model::problem::Code;
use nix::unistd::geteuid;

use crate::settings::Settings;

/// The longest path that a socket's address takes on Linux.
const SOCKET_PATH_BYTES: usize = 107;

/// Where everything of a user's server is.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    /// The folder: ours alone.
    pub(super) folder: PathBuf,
    /// The socket.
    pub(super) socket: PathBuf,
    /// Held by the server that listens.
    pub(super) server_lock: PathBuf,
    /// Held by whoever starts a server, or ends an idle one.
    pub(super) start_lock: PathBuf,
    /// The log of a server that was started on demand.
    pub(super) log: PathBuf,
    /// The token of a server on a loopback address without TLS.
    pub(super) token: PathBuf,
}

impl Paths {
    pub(super) fn of(settings: &Settings) -> Self {
        let folder = settings.runtime_dir.clone();
        let file = |name| folder.join(name);
        Self {
            socket: file("server.sock"),
            server_lock: file("server.lock"),
            start_lock: file("start.lock"),
            log: file("server.log"),
            token: file("token"),
            folder,
        }
    }

    /// Makes the folder where it is missing, and makes sure that it is ours alone.
    pub(super) fn prepare(&self) -> Result<(), Problem> {
        if self.socket.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES {
            return Err(Problem::new(
                Code::InvalidConfig,
                format!(
                    "{} is too long for a socket: at most {SOCKET_PATH_BYTES} bytes",
                    self.socket.display()
                ),
            )
            .hint("set XDG_RUNTIME_DIR to a folder with a shorter path"));
        }
        make_folder(&self.folder)?;
        let found =
            look(&self.folder)?.ok_or_else(|| cannot(&self.folder, "used", &ErrorKind::NotFound.into()))?;
        ours_alone(&self.folder, &found)
    }
}

/// Makes a folder with mode 0700; one that exists stays as it is.
fn make_folder(folder: &Path) -> Result<(), Problem> {
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent).map_err(|error| cannot(parent, "made", &error))?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(cannot(folder, "made", &error)),
        _ => Ok(()),
    }
}

/// Makes the folder for the database where it is missing, for its owner alone.
pub(super) fn private_state(folder: &Path) -> Result<(), Problem> {
    make_folder(folder)?;
    let found = std::fs::metadata(folder).map_err(|error| cannot(folder, "used", &error))?;
    if found.uid() == geteuid().as_raw() && found.mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(|error| cannot(folder, "made private", &error))?;
    }
    Ok(())
}

fn ours_alone(folder: &Path, found: &Metadata) -> Result<(), Problem> {
    let shown = folder.display();
    let not_ours = |what: String, hint: String| Err(Problem::new(Code::NotYours, what).hint(hint));
    let us = geteuid().as_raw();
    if found.is_symlink() {
        return not_ours(
            format!("{shown} is a symbolic link, not a folder of yours"),
            format!("see who made it, then remove it: rm {shown}"),
        );
    }
    if !found.is_dir() {
        return not_ours(
            format!("{shown} is not a folder"),
            format!("see what it is, then remove it: rm {shown}"),
        );
    }
    if found.uid() != us {
        return not_ours(
            format!("{shown} belongs to user {}, and you are user {us}", found.uid()),
            "set XDG_RUNTIME_DIR to a folder of your own".to_owned(),
        );
    }
    if found.mode() & 0o777 != 0o700 {
        return not_ours(
            format!(
                "{shown} is open to others: its mode is {:04o}, and must be 0700",
                found.mode() & 0o7777
            ),
            format!("if nobody else has put anything in it: chmod 700 {shown}"),
        );
    }
    Ok(())
}

/// Tells whether there is a socket at `path`; one of somebody else, or something else in its place, is a
/// problem.
pub(super) fn socket_of_ours(path: &Path) -> Result<bool, Problem> {
    let Some(found) = look(path)? else {
        return Ok(false);
    };
    let shown = path.display();
    if found.uid() != geteuid().as_raw() {
        return Err(Problem::new(
            Code::NotYours,
            format!(
                "the socket {shown} belongs to user {}, and you are user {}",
                found.uid(),
                geteuid()
            ),
        )
        .hint("nothing was connected to; see who made it, and remove it"));
    }
    if !found.file_type().is_socket() {
        return Err(Problem::new(
            Code::NotYours,
            format!("{shown} is in the place of the socket, and is none"),
        )
        .hint(format!("see what it is, then remove it: rm {shown}")));
    }
    Ok(true)
}

/// Returns what is at a path, without following a link; None where nothing is.
pub(super) fn look(path: &Path) -> Result<Option<Metadata>, Problem> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot(path, "looked at", &error)),
    }
}

/// Says that something cannot be done to a file.
pub(super) fn cannot(path: &Path, what: &str, error: &std::io::Error) -> Problem {
    let code = match error.kind() {
        ErrorKind::PermissionDenied => Code::NotYours,
        _ => Code::Unavailable,
    };
    Problem::new(code, format!("{} cannot be {what}: {error}", path.display()))
}
