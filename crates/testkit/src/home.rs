//! A hermetic home: nothing of the person's own environment reaches the program under test, and nothing that
//! it starts outlives the test.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::guard::{self, Guard};
use crate::proc::{self, Process};

/// The variable that marks what was started in a home.
const MARK: &str = "TESTKIT_HOME";

/// A temporary home folder with the environment that goes with it.
///
/// Dropping it ends every process that was started in it (servers in the background too) and removes it.
#[derive(Debug)]
pub struct Home {
    mark: String,
    env: Vec<(String, String)>,
    // The order matters: the processes end before their folder goes.
    _guard: Guard,
    dir: TempDir,
}

impl Home {
    /// Makes a home.
    ///
    /// # Errors
    ///
    /// Where the temporary folder cannot be written to.
    pub fn new() -> Result<Self> {
        // Short, because the path of a Unix socket ends at some hundred bytes.
        let base = std::env::temp_dir();
        let dir = tempfile::Builder::new()
            .prefix("mh-")
            .tempdir_in(&base)
            .map_err(Error::io(&base))?;
        for folder in [".config", ".local/share", ".local/state", ".cache", "run", "tmp"] {
            let path = dir.path().join(folder);
            std::fs::create_dir_all(&path).map_err(Error::io(&path))?;
            private(&path)?;
        }
        let mark = guard::mark()?;
        let guard = Guard::start(dir.path(), &format!("{MARK}={mark}"), &[])?;
        Ok(Self {
            mark,
            env: Vec::new(),
            _guard: guard,
            dir,
        })
    }

    /// Adds a variable to the environment of every command.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.set_env(name, value);
        self
    }

    /// Adds a variable to the environment of every command from now on.
    pub fn set_env(&mut self, name: &str, value: impl AsRef<Path>) {
        self.env.retain(|(known, _)| known != name);
        self.env
            .push((name.to_owned(), value.as_ref().to_string_lossy().into_owned()));
    }

    /// Returns the home folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the folder of sockets (`XDG_RUNTIME_DIR`).
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        self.path().join("run")
    }

    /// Returns the folder of settings (`XDG_CONFIG_HOME`).
    #[must_use]
    pub fn config_dir(&self) -> PathBuf {
        self.path().join(".config")
    }

    /// Returns the folder of data (`XDG_DATA_HOME`).
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.path().join(".local/share")
    }

    /// Returns the folder of state (`XDG_STATE_HOME`).
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.path().join(".local/state")
    }

    /// Writes a file in the home, with its folders, readable by the user alone.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        std::fs::write(&path, text).map_err(Error::io(&path))?;
        Ok(path)
    }

    /// Returns the whole environment of a program in this home.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        let at = |folder: &str| self.path().join(folder).to_string_lossy().into_owned();
        let user = crate::sshd::current_user();
        let mut all: Vec<(String, String)> = [
            ("HOME", self.path().to_string_lossy().into_owned()),
            ("XDG_CONFIG_HOME", at(".config")),
            ("XDG_DATA_HOME", at(".local/share")),
            ("XDG_STATE_HOME", at(".local/state")),
            ("XDG_CACHE_HOME", at(".cache")),
            ("XDG_RUNTIME_DIR", at("run")),
            ("TMPDIR", at("tmp")),
            ("PATH", path_variable()),
            ("USER", user.clone()),
            ("LOGNAME", user),
            ("SHELL", "/bin/sh".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("TERM", "dumb".to_owned()),
            (MARK, self.mark.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        if !nix::unistd::geteuid().is_root() {
            // Else the environment by which its processes are found cannot be read.
            all.push(("MUSTER_CORE_DUMPS".to_owned(), "true".to_owned()));
        }
        for (name, value) in &self.env {
            all.retain(|(known, _)| known != name);
            all.push((name.clone(), value.clone()));
        }
        all
    }

    /// Returns a command that runs in this home with its environment and no other, its current folder the home.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.env()).current_dir(self.path());
        command
    }

    /// Returns what runs in this home now.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        proc::with_env(MARK, &self.mark)
    }

    /// Returns the servers of Muster that run in this home now.
    #[must_use]
    pub fn servers(&self) -> Vec<Process> {
        let is_server = |process: &Process| {
            let mut words = process.argv.iter();
            words.next().is_some_and(|program| program.ends_with("muster"))
                && words.next().is_some_and(|word| word == "server")
        };
        self.processes().into_iter().filter(is_server).collect()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "programs of the tests are found where the test's own are"
)]
fn path_variable() -> String {
    std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned())
}

/// Takes a folder away from everybody else.
pub(crate) fn private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wait;

    #[test]
    fn nothing_of_the_persons_environment_reaches_a_program() {
        let home = Home::new()
            .expect("a home")
            .with_env("MUSTER_SERVER", "unix:here");
        let output = home.command("env").output().expect("env runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
        for name in &names {
            let is_ours = home.env().iter().any(|(known, _)| known == name);
            assert!(is_ours, "{name} came from outside");
        }
        assert!(names.contains(&"MUSTER_SERVER"));
        let folder = home.path().display().to_string();
        assert!(text.contains(&format!("HOME={folder}\n")));
        assert!(text.contains(&format!("XDG_RUNTIME_DIR={folder}/run\n")));
    }

    #[test]
    fn what_went_into_the_background_ends_with_the_home() {
        let home = Home::new().expect("a home");
        let path = home.path().to_owned();
        let started = home
            .command("/bin/sh")
            .args([
                "-c",
                "trap '' TERM; setsid sleep 86398 >/dev/null 2>&1 </dev/null & exit 0",
            ])
            .status()
            .expect("sh runs");
        assert!(started.success());
        let pid = wait::blocking(Duration::from_secs(20), "the sleeper", || {
            let mut all = home.processes().into_iter();
            all.find(|process| process.argv.first().is_some_and(|program| program == "sleep"))
        })
        .expect("it runs")
        .pid;
        drop(home);
        // It has been killed; what is dying has no environment any more and is no zombie yet.
        wait::blocking(Duration::from_secs(20), "the sleeper's end", || {
            (!proc::is_alive(pid)).then_some(())
        })
        .expect("it ends");
        assert!(!path.exists());
    }
}
