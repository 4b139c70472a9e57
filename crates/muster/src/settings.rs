//! Settings: defaults, then the files, then the environment, then flags, the later one winning. The only
//! reader of the environment in the whole house.

mod environment;
mod file;
mod keys;
mod url;
mod vault;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_client::Address;
use muster_client::trust::Whom;
use muster_engine::{Keep, KeySource};
use muster_model::problem::Code;
use muster_model::{Problem, Roles, Secret, TraceParent, quantity};

pub use environment::Environment;
pub use keys::{LogFormat, age, room};
pub use url::{Listen, listen, masked};

/// What the command line's global flags say.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--server URL`.
    pub server: Option<String>,
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// `server --log-format FORMAT`.
    pub log_format: Option<String>,
    /// `--roles ROLES`.
    pub roles: Option<String>,
}

/// Settings of one process. Shows as [`Settings::rows`] do: without secrets.
#[derive(Clone)]
pub struct Settings {
    /// The servers to use, any of which does; none: one of this user's own, started on demand.
    pub servers: Vec<Address>,
    /// Whose certificate a server that is reached by TLS must have.
    pub trust: Whom,
    /// The certificate that a server shows, and its key; None: one of its own making.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The bearer token for a server that is not on a socket (`MUSTER_TOKEN`).
    pub token: Option<Secret>,
    /// Keep the server inside the command's own process (`MUSTER_NO_DAEMON=1`).
    pub no_daemon: bool,
    /// The database's URL.
    pub database: String,
    /// The queue's URL.
    pub queue: String,
    /// The cache's URL.
    pub cache: String,
    /// How long finished tasks and their output are kept.
    pub keep: Keep,
    /// At most so many runs at a time in one server.
    pub slots: usize,
    /// What `muster server` does; a server that is started on demand does everything.
    pub roles: Roles,
    /// A server started on demand leaves after this long without work.
    pub idle_exit: Duration,
    /// A stopping server gives started runs this long to end.
    pub drain: Duration,
    /// The `ssh_config` to use instead of the user's, absolute.
    pub ssh_config: Option<PathBuf>,
    /// An SSH connection without a command is closed after this.
    pub ssh_idle: Duration,
    /// A keepalive is sent after this much silence.
    pub ssh_keepalive: Duration,
    /// At most so many SSH logins at a time.
    pub ssh_logins: usize,
    /// How long connecting and logging in may take where a task does not say.
    pub connect_timeout: Duration,
    /// Where the key comes from that credentials are sealed with.
    pub vault_key: KeySource,
    /// Whether a server may leave a core file.
    pub core_dumps: bool,
    /// What is logged: a level, or directives such as `muster_engine=debug`.
    pub log: String,
    /// How a line of the log is written.
    pub log_format: LogFormat,
    /// The collector that traces go to.
    pub traces: Option<String>,
    /// So many steps of traces wait for it at most (`OTEL_BSP_MAX_QUEUE_SIZE`).
    pub spans_waiting: usize,
    /// The step of a trace that this process was started in (`TRACEPARENT`).
    pub trace: Option<TraceParent>,
    /// Where the service manager wants to hear how the server is (`NOTIFY_SOCKET`).
    pub notify_socket: Option<PathBuf>,
    /// How often it wants to hear that the server lives, at least (`WATCHDOG_USEC`).
    pub watchdog: Option<Duration>,
    /// Whether colours are allowed (`color` is not `never`, `NO_COLOR` unset, `TERM` not `dumb`).
    pub colours: bool,
    /// Whether colours are wanted even where the output is no terminal (`color` is `always`).
    pub colours_always: bool,
    /// The submitter's SSH agent (`SSH_AUTH_SOCK`).
    pub agent_socket: Option<String>,
    /// The user's home folder.
    pub home: PathBuf,
    /// The user's name.
    pub user: String,
    /// The folder for the database, history and the like; it may not exist yet.
    pub state_dir: PathBuf,
    /// The folder for the socket and the locks; it may not exist yet.
    pub runtime_dir: PathBuf,
    values: Vec<Value>,
    config: Option<PathBuf>,
    /// The variables that name folders and were followed.
    folders_named: Vec<&'static str>,
}

/// One line of `muster config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The setting's name.
    pub name: &'static str,
    /// Its value, secrets left out.
    pub value: String,
    /// Where it comes from: `default`, a file, an environment variable, a flag.
    pub source: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rows()).finish()
    }
}

/// A setting's text and where it came from.
#[derive(Clone)]
struct Value {
    key: &'static keys::Key,
    text: Option<String>,
    source: String,
}

impl Settings {
    /// Tells whether the server is on another machine, as far as this one knows: names of files and sockets mean something
    /// else there.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.servers
            .iter()
            .any(|server| matches!(server, Address::Tls { .. }))
    }

    /// Loads the settings of this process.
    ///
    /// # Errors
    ///
    /// `invalid-config`, naming the file and the key.
    pub fn load(overrides: Overrides) -> Result<Self, Problem> {
        Self::from_environment(&Environment::of_this_process()?, overrides)
    }

    /// Loads the settings that a process with this environment has.
    ///
    /// # Errors
    ///
    /// `invalid-config`, naming the file and the key.
    pub fn from_environment(environment: &Environment, overrides: Overrides) -> Result<Self, Problem> {
        let mut found = Found::default();
        let system = Path::new("/etc/muster/config.toml");
        found.file(system, file::read(system, false)?);
        let asked_for = overrides
            .config
            .clone()
            .or_else(|| environment.path("MUSTER_CONFIG"));
        let users = asked_for
            .clone()
            .unwrap_or_else(|| environment.config_home().join("muster/config.toml"));
        found.file(&users, file::read(&users, asked_for.is_some())?);
        for key in keys::ALL {
            if let Some(text) = environment.text(key.variable)? {
                found.set(key, text, key.variable.to_owned());
            }
        }
        if let Some(server) = overrides.server {
            found.set(keys::find("server"), server, "--server".to_owned());
        }
        if let Some(format) = overrides.log_format {
            found.set(keys::find("log_format"), format, "--log-format".to_owned());
        }
        if let Some(roles) = overrides.roles {
            found.set(keys::find("roles"), roles, "--roles".to_owned());
        }
        found.finish(environment, asked_for)
    }

    /// Returns every setting with where it comes from; secrets in URLs are masked.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let row = |value: &Value| Row {
            name: value.key.name,
            value: match &value.text {
                Some(_) if value.key.secret => "***".to_owned(),
                Some(text) => masked(text),
                None => value.key.unset.to_owned(),
            },
            source: value.source.clone(),
        };
        let mut rows: Vec<Row> = self.values.iter().map(row).collect();
        for (name, path, variable) in [
            ("state folder", &self.state_dir, "XDG_STATE_HOME"),
            ("runtime folder", &self.runtime_dir, "XDG_RUNTIME_DIR"),
        ] {
            let named = self.folders_named.contains(&variable);
            rows.push(Row {
                name,
                value: path.display().to_string(),
                source: if named { variable } else { "default" }.to_owned(),
            });
        }
        rows
    }

    /// Returns the environment that a server started by this process needs to see the same settings where
    /// they come from flags.
    #[must_use]
    pub fn environment_of_server(&self) -> Vec<(&'static str, PathBuf)> {
        self.config
            .iter()
            .map(|path| ("MUSTER_CONFIG", path.clone()))
            .collect()
    }
}

/// Settings while they are gathered.
#[derive(Default)]
struct Found(BTreeMap<&'static str, (String, String)>);

impl Found {
    fn set(&mut self, key: &'static keys::Key, text: String, source: String) {
        self.0.insert(key.name, (text, source));
    }

    fn file(&mut self, path: &Path, entries: Vec<file::Entry>) {
        for entry in entries {
            let source = format!("{}:{}", path.display(), entry.line);
            self.set(entry.key, entry.text, source);
        }
    }

    /// Returns a setting's text, or its default.
    fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some((text, _)) => Some(text),
            None => keys::find(name).default,
        }
    }

    fn read<T>(&self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<T, Problem> {
        match self.read_optional(name, read)? {
            Some(value) => Ok(value),
            None => Err(Problem::new(
                Code::Internal,
                format!("the setting '{name}' has no default"),
            )),
        }
    }

    fn read_optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        read(text).map(Some).map_err(|why| {
            let source = self.0.get(name).map_or("default", |(_, source)| source.as_str());
            Problem::new(Code::InvalidConfig, format!("{source}: {name}: {why}"))
        })
    }

    fn values(&self) -> Vec<Value> {
        let value = |key: &'static keys::Key| match self.0.get(key.name) {
            Some((text, source)) => Value {
                key,
                text: Some(text.clone()),
                source: source.clone(),
            },
            None => Value {
                key,
                text: key.default.map(str::to_owned),
                source: "default".to_owned(),
            },
        };
        keys::ALL.iter().map(value).collect()
    }

    fn finish(self, environment: &Environment, config: Option<PathBuf>) -> Result<Settings, Problem> {
        let state_dir = environment.state_home().join("muster");
        let mut values = self.values();
        let database = match self.text("database") {
            Some(url) => url.to_owned(),
            None => format!("sqlite://{}", state_dir.join("muster.db").display()),
        };
        let vault_key = vault::in_folder(&state_dir);
        for value in &mut values {
            match value.key.name {
                "database" => value.text = Some(database.clone()),
                "vault_key" => value.text = Some(self.text("vault_key").unwrap_or(&vault_key).to_owned()),
                _ => {}
            }
        }
        let absolute = |text: &str| Ok(environment.absolute(text));
        let duration = |text: &str| quantity::duration(text).map_err(|why| why.to_string());
        let color = self.read("color", keys::color)?;
        Ok(Settings {
            servers: self.read_optional("server", keys::servers)?.unwrap_or_default(),
            roles: self.read("roles", |text| {
                text.parse::<Roles>().map_err(|why| why.to_string())
            })?,
            trust: match (
                self.read_optional("server_fingerprint", keys::fingerprints)?,
                self.read_optional("server_ca", absolute)?,
            ) {
                (Some(_), Some(_)) => {
                    return Err(Problem::new(
                        Code::InvalidConfig,
                        "server_fingerprint and server_ca are both set",
                    )
                    .hint(
                        "leave one of them out: a certificate that is pinned needs nobody to vouch for it",
                    ));
                }
                (Some(pins), None) => Whom::Pinned(pins),
                (None, Some(file)) => Whom::File(file),
                (None, None) => Whom::Machine,
            },
            certificate: match (
                self.read_optional("tls_certificate", absolute)?,
                self.read_optional("tls_key", absolute)?,
            ) {
                (Some(chain), Some(key)) => Some((chain, key)),
                (None, None) => None,
                (Some(_), None) | (None, Some(_)) => {
                    return Err(Problem::new(
                        Code::InvalidConfig,
                        "of tls_certificate and tls_key one is set and the other is not",
                    )
                    .hint("set both, or neither: then the server makes a certificate of its own"));
                }
            },
            token: self.read_optional("token", |text| Ok(Secret::new(text.to_owned())))?,
            no_daemon: self.read("no_daemon", keys::flag)?,
            database,
            queue: self.read("queue", |text| Ok(text.to_owned()))?,
            cache: self.read("cache", |text| Ok(text.to_owned()))?,
            keep: Keep {
                tasks: self.read("keep_tasks", keys::age)?,
                output: self.read("keep_output", keys::age)?,
                output_bytes: self.read("keep_output_size", keys::room)?,
            },
            slots: self.read("slots", |text| keys::number(text, 1, 100_000))?,
            idle_exit: self.read("idle_exit", duration)?,
            drain: self.read("drain", duration)?,
            ssh_config: self.read_optional("ssh_config", absolute)?,
            ssh_idle: self.read("ssh_idle", duration)?,
            ssh_keepalive: self.read("ssh_keepalive", duration)?,
            ssh_logins: self.read("ssh_logins", |text| keys::number(text, 1, 10_000))?,
            connect_timeout: self.read("connect_timeout", duration)?,
            vault_key: match self.read_optional("vault_key", |text| vault::source(text, environment))? {
                Some(source) => source,
                None => vault::source(&vault_key, environment)
                    .map_err(|why| Problem::new(Code::InvalidConfig, why))?,
            },
            core_dumps: self.read("core_dumps", keys::flag)?,
            log: self.read("log", keys::log)?,
            log_format: self.read("log_format", keys::log_format)?,
            traces: self.read_optional("traces", keys::collector)?,
            spans_waiting: environment.spans_waiting(),
            trace: environment.trace(),
            notify_socket: environment.notify_socket(),
            watchdog: environment.watchdog()?,
            colours: color != keys::Color::Never && (color == keys::Color::Always || !environment.is_plain()),
            colours_always: color == keys::Color::Always,
            agent_socket: environment.text("SSH_AUTH_SOCK")?,
            home: environment.home().to_owned(),
            user: environment.user().to_owned(),
            state_dir,
            runtime_dir: environment.runtime_dir(),
            values,
            folders_named: environment.folders_named(),
            config: config.map(|path| environment.absolute(path)),
        })
    }
}

#[cfg(test)]
mod tests;
