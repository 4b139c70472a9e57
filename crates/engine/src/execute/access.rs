//! From a task to what the transport needs.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use muster_model::trace::VARIABLE;
use muster_model::wire::Secrets;
use muster_model::{Kind, Options, Problem, Secret};
use muster_runtime::trace;
use muster_transport::{Access, Exec, Sudo, What};

use crate::dispatch::Work;
use crate::follow::LiveTask;
use crate::vault::Handle;

/// Returns how to log in for a task: what was typed goes before what is stored.
pub(super) fn access(options: &Options, secrets: &Secrets, credential: Option<&Arc<Handle>>) -> Access {
    let user = credential.and_then(|credential| credential.record.user.clone());
    Access {
        connect_timeout: options.connect_timeout,
        user: options.user.clone().or(user),
        password: secrets.password.clone(),
        passphrase: secrets.passphrase.clone(),
        stored: credential.map(Handle::stored),
        identities: options.identities.iter().map(PathBuf::from).collect(),
        ssh_config: options.ssh_config.as_ref().map(PathBuf::from),
        agent_socket: options.agent_socket.as_ref().map(PathBuf::from),
        accept_new: options.accept_new,
    }
}

/// Returns what to run on a host.
pub(super) fn exec(live: &LiveTask, work: Work, executor: &str, sudo_password: Option<&Secret>) -> Exec {
    let options = &live.record.options;
    let what = match &live.record.kind {
        Kind::Command { command } => What::Command(command.clone()),
        Kind::Script { name, args } => What::Script {
            name: name.clone(),
            body: live.input.script.clone().unwrap_or_default(),
            args: args.clone(),
        },
        Kind::Facts => What::Script {
            name: "facts".to_owned(),
            body: Bytes::from_static(muster_model::facts::GATHER.as_bytes()),
            args: Vec::new(),
        },
    };
    Exec {
        what,
        mark: format!("{executor}.{}.{}.{}", work.run.task, work.run.index, work.attempt),
        env: environment(options),
        cwd: options.cwd.clone(),
        sudo: options.sudo.as_ref().map(|user| Sudo {
            user: user.clone(),
            password: sudo_password.cloned(),
        }),
        stdin: live.input.stdin.clone(),
    }
}

/// Returns the environment of a command: what the task says, and where it can go on with its trace.
fn environment(options: &Options) -> Vec<(String, String)> {
    let mut env = options.env.clone();
    if let Some(at) = trace::here()
        && env.iter().all(|(name, _)| name != VARIABLE)
    {
        env.push((VARIABLE.to_owned(), at.to_string()));
    }
    env
}

/// Returns the password that sudo will ask for: the typed one, else that of the credential.
pub(super) fn sudo_password(
    options: &Options,
    typed: Option<Secret>,
    credential: Option<&Arc<Handle>>,
) -> Result<Option<Secret>, Problem> {
    match (options.sudo.is_some(), typed, credential) {
        (true, None, Some(credential)) => Ok(credential.open()?.sudo_password),
        (_, typed, _) => Ok(typed),
    }
}

/// Tells whether a task needs a secret that this process does not have (it was started anew since).
pub(super) fn secret_is_gone(options: &Options, secrets: &Secrets) -> bool {
    (options.login_secret && secrets.password.is_none() && secrets.passphrase.is_none())
        || (options.sudo_password && secrets.sudo_password.is_none())
}
