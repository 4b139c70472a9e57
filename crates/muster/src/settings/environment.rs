//! The environment of a process, read once: variables, the user, and the folders that follow from them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_model::problem::Code;
use muster_model::trace::VARIABLE;
use muster_model::{Problem, TraceParent};
use nix::unistd::{User, geteuid};

/// Variables and user of a process.
#[derive(Clone, Debug)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    folder: PathBuf,
    home: PathBuf,
    user: String,
    uid: u32,
}

impl Environment {
    /// Reads the environment of this process.
    ///
    /// # Errors
    ///
    /// `invalid-config` where the user has no home folder.
    pub fn of_this_process() -> Result<Self, Problem> {
        let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Self::new(std::env::vars_os().collect(), folder)
    }

    /// Returns the environment made of these variables, in this folder, for the user of this process.
    ///
    /// # Errors
    ///
    /// `invalid-config` where the user has no home folder.
    pub fn new(variables: BTreeMap<OsString, OsString>, folder: PathBuf) -> Result<Self, Problem> {
        let uid = geteuid();
        // A user without an entry in the user database is usual in containers.
        let entry = User::from_uid(uid).ok().flatten();
        let home = variables
            .get(OsStr::new("HOME"))
            .map(PathBuf::from)
            .filter(|home| home.is_absolute())
            .or_else(|| entry.as_ref().map(|user| user.dir.clone()));
        let Some(home) = home else {
            return Err(Problem::new(
                Code::InvalidConfig,
                "HOME is not set, and the user has no home folder",
            )
            .hint("set HOME to a folder of yours"));
        };
        Ok(Self {
            variables,
            folder,
            home,
            user: entry.map_or_else(|| uid.to_string(), |user| user.name),
            uid: uid.as_raw(),
        })
    }

    /// Returns a variable; None where it is unset or empty.
    pub(super) fn raw(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// Returns a variable as text.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.raw(name).map(OsStr::to_str) {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text.to_owned())),
            Some(None) => Err(Problem::new(
                Code::InvalidConfig,
                format!("{name} is not UTF-8 text"),
            )),
        }
    }

    /// Returns how many steps of traces may wait for their collector, as OpenTelemetry names it. Its own default of 2,048
    /// is less than a task on a thousand hosts makes in a moment.
    pub(super) fn spans_waiting(&self) -> usize {
        let asked = self.raw("OTEL_BSP_MAX_QUEUE_SIZE").and_then(OsStr::to_str);
        let asked: Option<usize> = asked.and_then(|text| text.parse().ok());
        // All the room for them is taken at once.
        asked.unwrap_or(16_384).clamp(1, 1 << 20)
    }

    /// Returns the step of a trace that this process was started in. What is no `traceparent` is nobody's mistake here:
    /// the specification has it ignored.
    pub(super) fn trace(&self) -> Option<TraceParent> {
        self.raw(VARIABLE)?.to_str()?.parse().ok()
    }

    /// Returns the socket of the service manager, as systemd names it: a path, or `@` and a name.
    pub(super) fn notify_socket(&self) -> Option<PathBuf> {
        self.raw("NOTIFY_SOCKET").map(PathBuf::from)
    }

    /// Returns how often the service manager wants to hear from this process, where it does: its children see the
    /// same variables.
    pub(super) fn watchdog(&self) -> Result<Option<Duration>, Problem> {
        let is_another = match self.text("WATCHDOG_PID")? {
            Some(pid) => pid.parse() != Ok(std::process::id()),
            None => false,
        };
        let Some(micros) = self.text("WATCHDOG_USEC")?.filter(|_| !is_another) else {
            return Ok(None);
        };
        match micros.parse() {
            Ok(micros @ 1..) => Ok(Some(Duration::from_micros(micros))),
            _ => Err(Problem::new(
                Code::InvalidConfig,
                format!("WATCHDOG_USEC: '{micros}' is no number of microseconds"),
            )),
        }
    }

    /// Returns a variable as a path, absolute.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.raw(name).map(|value| self.absolute(value))
    }

    /// Makes a path absolute; `~/` is the home folder.
    pub(super) fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        match path.strip_prefix("~") {
            Ok(rest) => self.home.join(rest),
            Err(_) => self.folder.join(path),
        }
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// Tells whether the environment asks for plain text.
    pub(super) fn is_plain(&self) -> bool {
        self.raw("NO_COLOR").is_some() || self.raw("TERM") == Some(OsStr::new("dumb"))
    }

    pub(super) fn config_home(&self) -> PathBuf {
        self.folder_of("XDG_CONFIG_HOME", ".config")
    }

    pub(super) fn state_home(&self) -> PathBuf {
        self.folder_of("XDG_STATE_HOME", ".local/state")
    }

    fn folder_of(&self, variable: &str, otherwise: &str) -> PathBuf {
        // The XDG specification has relative paths ignored.
        match self.raw(variable).map(PathBuf::from) {
            Some(path) if path.is_absolute() => path,
            _ => self.home.join(otherwise),
        }
    }

    /// Returns the variables that name the state and the runtime folder, where they are followed.
    pub(super) fn folders_named(&self) -> Vec<&'static str> {
        ["XDG_STATE_HOME", "XDG_RUNTIME_DIR"]
            .into_iter()
            .filter(|variable| {
                let named = self.raw(variable).map(PathBuf::from);
                named.is_some_and(|named| {
                    self.state_home() == named || self.runtime_dir().parent() == Some(&named)
                })
            })
            .collect()
    }

    /// Returns the folder for the socket and the locks. `su` and `sudo` leave the variable of another user
    /// behind: a folder that is not ours is passed over, as the XDG specification has it.
    pub(super) fn runtime_dir(&self) -> PathBuf {
        let ours = |path: &Path| {
            std::fs::metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == self.uid)
        };
        let named = self
            .raw("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute() && ours(path));
        let usual = PathBuf::from(format!("/run/user/{}", self.uid));
        match named.or_else(|| ours(&usual).then_some(usual)) {
            Some(folder) => folder.join("muster"),
            None => PathBuf::from(format!("/tmp/muster-{}", self.uid)),
        }
    }
}
