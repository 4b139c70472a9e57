//! Wiring: the one place that opens the rooms and puts the house together.

use std::path::Path;
use std::sync::Arc;

use muster_engine::{Engine, HostKeys, Rooms};
use muster_model::problem::Code;
use muster_model::{ErrorKind, Problem};
use muster_runtime::{Tasks, crash_point};

use crate::settings::{Settings, masked};

/// Opens the rooms that the settings name and starts the engine in them.
///
/// # Errors
///
/// `invalid-database`, `invalid-config` or `unavailable`, naming what cannot be used.
pub async fn start(settings: &Settings, tasks: &Tasks) -> Result<Engine, Problem> {
    let database = muster_store::open(&settings.database, tasks)
        .await
        .map_err(|error| {
            unusable(
                "database",
                &settings.database,
                error.kind,
                &error.operation,
                error.source,
            )
        })?;
    crash_point!(DatabaseOpened);
    let queue = muster_queue::open(&settings.queue, tasks)
        .await
        .map_err(|error| {
            unusable(
                "queue",
                &settings.queue,
                error.kind,
                &error.operation,
                error.source,
            )
        })?;
    let cache = muster_cache::open(&settings.cache).await.map_err(|error| {
        unusable(
            "cache",
            &settings.cache,
            error.kind,
            &error.operation,
            error.source,
        )
    })?;
    // The transport asks the inventory for the keys of hosts, without knowing of a database.
    let host_keys = HostKeys::new(Arc::clone(&database.host_keys), tasks.clone());
    let transport = muster_transport::open(
        muster_transport::Settings {
            home: settings.home.clone(),
            user: settings.user.clone(),
            idle: settings.ssh_idle,
            keepalive: settings.ssh_keepalive,
            answer: muster_model::limits::ANSWER,
            host_keys: Arc::new(host_keys.clone()),
            logins: settings.ssh_logins,
        },
        tasks.clone(),
    );
    let rooms = Rooms {
        transport,
        database,
        queue,
        cache,
        host_keys,
    };
    let engine = muster_engine::Settings {
        slots: settings.slots,
        home: this_machine(),
        machine: name_of_this_machine(),
        version: crate::daemon::version().to_owned(),
        roles: settings.roles,
        lease: may_have_others(settings).then_some(muster_engine::LEASE),
        executors: settings.state_dir.join("executors"),
        database: masked(&settings.database),
        vault: settings.vault_key.clone(),
        keep: settings.keep,
    };
    Engine::start(rooms, engine, tasks.clone()).await
}

/// Tells whether servers of other machines may share the database or the queue.
fn may_have_others(settings: &Settings) -> bool {
    !settings.database.starts_with("sqlite:") || !settings.queue.starts_with("memory:")
}

fn name_of_this_machine() -> String {
    hostname::get().map_or_else(
        |_| "localhost".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Returns a name for this machine that others which share the database do not have.
fn this_machine() -> String {
    let name = name_of_this_machine();
    let id = std::fs::read_to_string(Path::new("/etc/machine-id")).unwrap_or_default();
    match id.trim().get(..12) {
        Some(id) => format!("{name}-{id}"),
        None => name,
    }
}

/// Says what is wrong with a back end.
fn unusable(
    room: &str,
    url: &str,
    kind: ErrorKind,
    operation: &str,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> Problem {
    let code = match kind {
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Cancelled => Code::Unavailable,
        ErrorKind::Internal => Code::Internal,
        _ if room == "database" => Code::InvalidDatabase,
        _ => Code::InvalidConfig,
    };
    let mut why = operation.to_owned();
    let mut cause: Option<&dyn std::error::Error> = source.as_deref().map(|source| source as _);
    while let Some(inner) = cause {
        let said = inner.to_string();
        // Errors of libraries often end with the words of their cause.
        if !why.ends_with(&said) {
            why = format!("{why}: {said}");
        }
        cause = inner.source();
    }
    let problem = Problem::new(code, format!("the {room} {} cannot be used: {why}", masked(url)));
    problem.hint(format!(
        "`muster config` shows where the setting '{room}' comes from"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_back_end_decides_the_code_and_secrets_stay_hidden() {
        let say = |room, kind| {
            let source = std::io::Error::other("no such host");
            unusable(
                room,
                "postgres://me:hunter2@db/x",
                kind,
                "open it",
                Some(source.into()),
            )
        };
        assert_eq!(say("database", ErrorKind::Corrupt).code, Code::InvalidDatabase);
        assert_eq!(say("queue", ErrorKind::Unsupported).code, Code::InvalidConfig);
        assert_eq!(say("cache", ErrorKind::Unavailable).code, Code::Unavailable);
        let problem = say("database", ErrorKind::Denied);
        assert!(!problem.detail.contains("hunter2"), "{problem}");
        assert!(problem.detail.ends_with("open it: no such host"), "{problem}");
        // What a library says twice is said once.
        let cause = std::io::Error::other("refused");
        let twice = unusable(
            "cache",
            "memory:",
            ErrorKind::Denied,
            "open it: refused",
            Some(cause.into()),
        );
        assert!(
            twice.detail.ends_with("cannot be used: open it: refused"),
            "{twice}"
        );
    }
}
