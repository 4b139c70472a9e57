//! Ansible's own reading of an inventory, to compare with. Its programs are installed once, into a folder of the
//! cache: `$MUSTER_PEERS/ansible`, or `~/.cache/muster-peers/ansible`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};

const INSTALL: &str =
    "python3 -m venv ${MUSTER_PEERS:-~/.cache/muster-peers}/ansible, then its pip install ansible-core";

/// Returns the program `ansible-inventory`, installed first where it is not there.
///
/// # Errors
///
/// [`Error::NotAllowed`], which excuses a test, where it cannot be installed: no Python, or no way to PyPI. It is
/// compared with, not used.
pub fn inventory() -> Result<PathBuf> {
    let missing = || Error::not_allowed("ansible-inventory", INSTALL);
    let folder = peers().ok_or_else(missing)?.join("ansible");
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    // Of the tests that run beside each other, one installs it.
    let lock = File::create(folder.join("lock")).map_err(Error::io(&folder))?;
    lock.lock().map_err(Error::io(&folder))?;
    let program = folder.join("bin/ansible-inventory");
    let works = || Command::new(&program).arg("--version").output();
    if works().is_ok_and(|done| done.status.success()) {
        return Ok(program);
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(&folder);
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--timeout", "20", "ansible-core"]);
    for mut command in [venv, pip] {
        let done = command.output().map_err(|_| missing())?;
        if !done.status.success() {
            return Err(missing());
        }
    }
    match works() {
        Ok(done) if done.status.success() => Ok(program),
        _ => Err(missing()),
    }
}

/// Returns what `ansible-inventory --list` prints for an inventory: JSON. `home` is an empty folder of its own.
///
/// # Errors
///
/// What it says where it refuses the inventory.
pub fn list(program: &Path, inventory: &Path, home: &Path) -> Result<Vec<u8>> {
    let done = Command::new(program)
        .arg("--list")
        .arg("-i")
        .arg(inventory)
        .current_dir(home)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home)
        .env("LC_ALL", "C.UTF-8")
        // A source that cannot be read is an error, and no warning.
        .env("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "1")
        .output()
        .map_err(Error::io(program))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(Error::failed("ansible-inventory", said));
    }
    Ok(done.stdout)
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the tests' peers are, as for the benchmarks"
)]
fn peers() -> Option<PathBuf> {
    let given = std::env::var_os("MUSTER_PEERS").map(PathBuf::from);
    given.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/muster-peers")))
}
