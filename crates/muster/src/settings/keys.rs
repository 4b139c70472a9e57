//! The settings that there are: one table, from which the file's reader, the environment's reader and
//! `muster config` all work.

use std::time::Duration;

use muster_client::Address;
use muster_client::address::Invalid;
use muster_client::trust::{Fingerprint, InvalidFingerprint};
use muster_model::quantity;
use muster_store::types::retention::FRESH;

/// A setting.
#[derive(Debug)]
pub(super) struct Key {
    /// Its name in the file.
    pub(super) name: &'static str,
    /// What it is, one sentence of Markdown.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the reference page, which a test makes, is its reader")
    )]
    pub(super) about: &'static str,
    /// Its environment variable.
    pub(super) variable: &'static str,
    /// Its default; None: unset.
    pub(super) default: Option<&'static str>,
    /// What `muster config` shows while it is unset.
    pub(super) unset: &'static str,
    /// Whether its value must never be shown.
    pub(super) secret: bool,
    /// Whether it may stand in a file.
    pub(super) in_file: bool,
}

const fn key(
    name: &'static str,
    variable: &'static str,
    default: Option<&'static str>,
    about: &'static str,
) -> Key {
    Key {
        name,
        about,
        variable,
        default,
        unset: "",
        secret: false,
        in_file: true,
    }
}

/// Every setting.
pub(super) static ALL: &[Key] = &[
    Key {
        unset: "one of your own, started on demand",
        ..key(
            "server",
            "MUSTER_SERVER",
            None,
            "The server to use: `https://host:PORT`, `unix:///path` or `http://127.0.0.1:PORT`; several that share a database with commas between them, tried in turn.",
        )
    },
    Key {
        unset: "certificates of the authorities that this machine trusts",
        ..key(
            "server_fingerprint",
            "MUSTER_SERVER_FINGERPRINT",
            None,
            "The certificate that a server may show which is reached by `https://`, and no other: `sha256:…`, as the server prints it; several with commas between them.",
        )
    },
    key(
        "server_ca",
        "MUSTER_SERVER_CA",
        None,
        "A file (PEM) with the authorities that vouch for a server which is reached by `https://`, instead of this machine's.",
    ),
    Key {
        unset: "one of its own making, in the state folder",
        ..key(
            "tls_certificate",
            "MUSTER_TLS_CERTIFICATE",
            None,
            "The certificate chain (PEM, the server's own first) that `muster server --listen` shows; read again when it changes.",
        )
    },
    key(
        "tls_key",
        "MUSTER_TLS_KEY",
        None,
        "The private key (PEM) of `tls_certificate`; not open to every user of the machine.",
    ),
    Key {
        secret: true,
        in_file: false,
        unset: "the file 'token' in the runtime folder",
        ..key(
            "token",
            "MUSTER_TOKEN",
            None,
            "The bearer token for a server that is not on a socket.",
        )
    },
    Key {
        in_file: false,
        ..key(
            "no_daemon",
            "MUSTER_NO_DAEMON",
            Some("false"),
            "Keep the server inside the command's own process: for CI jobs and containers.",
        )
    },
    key(
        "database",
        "MUSTER_DATABASE",
        None,
        "The database: `sqlite:///absolute/path`, made where it is missing.",
    ),
    key(
        "queue",
        "MUSTER_QUEUE",
        Some("memory:"),
        "The message queue: `memory:` inside the server's process, or RabbitMQ, `amqp://user:password@host/vhost`.",
    ),
    key(
        "cache",
        "MUSTER_CACHE",
        Some("memory:"),
        "The cache: `memory:?limit=64MiB` inside the server's process, Redis, `redis://user:password@host`, or Memcached, `memcached://host,host`.",
    ),
    key(
        "keep_tasks",
        "MUSTER_KEEP_TASKS",
        Some("90d"),
        "Finished tasks are removed after this long, with all that they have: at least `1h`, or `forever`.",
    ),
    key(
        "keep_output",
        "MUSTER_KEEP_OUTPUT",
        Some("30d"),
        "The output of finished tasks is removed after this long: at least `1h`, or `forever`.",
    ),
    key(
        "keep_output_size",
        "MUSTER_KEEP_OUTPUT_SIZE",
        Some("10GiB"),
        "Where the output of all tasks takes more than this, that of the oldest is removed; `unlimited` keeps it.",
    ),
    key(
        "roles",
        "MUSTER_ROLES",
        Some("api,executor"),
        "What `muster server` does: `api` serves clients, `executor` carries runs out. A server that is started on demand does both.",
    ),
    key(
        "slots",
        "MUSTER_SLOTS",
        Some("1000"),
        "At most so many runs at a time in one server.",
    ),
    key(
        "idle_exit",
        "MUSTER_IDLE_EXIT",
        Some("15m"),
        "A server that was started on demand leaves after this long without work.",
    ),
    key(
        "drain",
        "MUSTER_DRAIN",
        Some("30s"),
        "A server that is stopped gives started runs this long to end before they are killed.",
    ),
    Key {
        unset: "~/.ssh/config",
        ..key(
            "ssh_config",
            "MUSTER_SSH_CONFIG",
            None,
            "The `ssh_config` to use instead of the user's and the machine's.",
        )
    },
    key(
        "ssh_idle",
        "MUSTER_SSH_IDLE",
        Some("5m"),
        "An SSH connection without a command is closed after this.",
    ),
    key(
        "ssh_keepalive",
        "MUSTER_SSH_KEEPALIVE",
        Some("30s"),
        "A keepalive is sent after this much silence on an SSH connection; three without an answer end it.",
    ),
    key(
        "ssh_logins",
        "MUSTER_SSH_LOGINS",
        Some("64"),
        "At most so many SSH logins at a time, fewer at first and while hosts hang up; silent hosts do not count.",
    ),
    key(
        "connect_timeout",
        "MUSTER_CONNECT_TIMEOUT",
        Some("10s"),
        "How long connecting and logging in may take where a task does not say.",
    ),
    key(
        "log",
        "MUSTER_LOG",
        Some("info"),
        "What the server logs: a level (`error`, `warn`, `info`, `debug`, `trace`), or directives such as `muster_engine=debug`.",
    ),
    key(
        "log_format",
        "MUSTER_LOG_FORMAT",
        Some("text"),
        "How a line of the server's log is written: `text`, or `json` (one object a line).",
    ),
    Key {
        unset: "none are kept",
        ..key(
            "traces",
            "MUSTER_TRACES",
            None,
            "The OpenTelemetry collector that traces go to, by OTLP over HTTP: `http://127.0.0.1:4318`.",
        )
    },
    Key {
        unset: "`vault.key` in the state folder",
        ..key(
            "vault_key",
            "MUSTER_VAULT_KEY",
            None,
            "Where the key comes from that credentials are sealed with: `file:/path`, `env:NAME` or `command:PROGRAM ARG…`.",
        )
    },
    key(
        "core_dumps",
        "MUSTER_CORE_DUMPS",
        Some("false"),
        "Whether a server that dies may leave its memory, with secrets in it, in a core file.",
    ),
    key(
        "color",
        "MUSTER_COLOR",
        Some("auto"),
        "`auto` (on a terminal), `always` or `never`; `NO_COLOR` is honoured.",
    ),
];

/// Returns the setting of this name; one that exists, since names are written in this module's parent alone.
pub(super) fn find(name: &str) -> &'static Key {
    by_name(name).unwrap_or(&ALL[0])
}

/// Returns the setting of this name.
pub(super) fn by_name(name: &str) -> Option<&'static Key> {
    ALL.iter().find(|key| key.name == name)
}

/// Returns the names of a file's settings.
pub(super) fn names_in_file() -> impl Iterator<Item = &'static str> {
    ALL.iter().filter(|key| key.in_file).map(|key| key.name)
}

/// Reads the addresses of servers: one, or several with commas between them.
pub(super) fn servers(text: &str) -> Result<Vec<Address>, String> {
    text.split(',')
        .map(|one| one.trim().parse().map_err(|why: Invalid| why.to_string()))
        .collect()
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    /// On a terminal.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// Reads `auto`, `always` or `never`.
pub(super) fn color(text: &str) -> Result<Color, String> {
    match text {
        "auto" => Ok(Color::Auto),
        "always" => Ok(Color::Always),
        "never" => Ok(Color::Never),
        _ => Err(format!("'{text}' is none of auto, always, never")),
    }
}

/// Reads how long something is kept.
pub fn age(text: &str) -> Result<Option<Duration>, String> {
    if text == "forever" {
        return Ok(None);
    }
    let age = quantity::duration(text).map_err(|why| why.to_string())?;
    match age < FRESH {
        true => Err(format!("'{text}' is too short: at least 1h, or 'forever'")),
        false => Ok(Some(age)),
    }
}

/// Reads how much is kept, in bytes.
pub fn room(text: &str) -> Result<Option<u64>, String> {
    match text {
        "unlimited" => Ok(None),
        _ => quantity::size(text).map(Some).map_err(|why| why.to_string()),
    }
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object of JSON.
    Json,
}

/// Reads `text` or `json`.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("'{text}' is neither text nor json")),
    }
}

/// Reads fingerprints of certificates: one, or several with commas between them.
pub(super) fn fingerprints(text: &str) -> Result<Vec<Fingerprint>, String> {
    text.split(',')
        .map(|one| {
            one.trim()
                .parse()
                .map_err(|why: InvalidFingerprint| why.to_string())
        })
        .collect()
}

/// Reads the address of a collector.
pub(super) fn collector(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest) if rest.contains('@') => Err(
            "its address holds a user or a password, which are shown: put what it asks for into \
             OTEL_EXPORTER_OTLP_HEADERS"
                .to_owned(),
        ),
        Some(rest)
            if !rest.is_empty() && !rest.contains(['?', '#', ' ']) && !rest.starts_with(['/', ':']) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(format!(
            "'{text}' is not an address such as http://127.0.0.1:4318"
        )),
    }
}

/// Reads a switch.
pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!("'{text}' is neither 1 (on) nor 0 (off)")),
    }
}

/// Reads a whole number between two others.
pub(super) fn number(text: &str, least: usize, most: usize) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("'{text}' is not a whole number from {least} to {most}")),
    }
}

/// Reads what is logged.
pub(super) fn log(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!(
            "'{text}' is not a level (error, warn, info, debug, trace) or a list such as muster_engine=debug"
        )),
    }
}
