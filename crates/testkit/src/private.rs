//! A folder of this user's own that outlives tests, for what takes long to make and is then copied.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Returns the folder, made where it is not there yet; nobody else can look into it.
pub(crate) fn folder() -> Result<PathBuf> {
    let uid = nix::unistd::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("muster-testkit-{uid}"));
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::io(&folder)(error));
        }
        _ => {}
    }
    let metadata = fs::symlink_metadata(&folder).map_err(Error::io(&folder))?;
    if !metadata.is_dir() || metadata.uid() != uid || metadata.mode() & 0o077 != 0 {
        return Err(Error::failed(
            format!("using {}", folder.display()),
            "it is not a private folder of this user: remove it",
        ));
    }
    Ok(folder)
}

/// Returns the folder `name` in it, filled by `fill` where it is not there yet.
///
/// Tests run at the same time: each fills its own, and moves it into its place in one step.
pub(crate) fn kept(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = folder()?;
    let place = folder.join(name);
    if place.exists() {
        return Ok(place);
    }
    let fresh = tempfile::tempdir_in(&folder).map_err(Error::io(&folder))?;
    fill(fresh.path())?;
    let made = fresh.keep();
    if fs::rename(&made, &place).is_err() {
        // Somebody else was first.
        let _ = fs::remove_dir_all(&made);
    }
    if place.exists() {
        Ok(place)
    } else {
        Err(Error::failed("keeping a folder", place.display().to_string()))
    }
}
