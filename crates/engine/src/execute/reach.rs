//! Connecting to the host of a run: with the secrets that were given, or a stored credential.

use std::sync::Arc;

use muster_model::problem::Code;
use muster_model::{Endpoint, Options, Outcome, Problem, Reach, RunState, Secret, Unreachable};
use muster_transport::Session;
use tracing::Instrument;

use super::access::{access, secret_is_gone, sudo_password};
use crate::core::Core;
use crate::dispatch::Work;
use crate::follow::LiveTask;
use crate::steps;
use crate::vault::Handle;

/// How far connecting came.
pub(super) enum Reached {
    /// Logged in; with the password that sudo will ask for.
    Session(Box<dyn Session>, Option<Secret>),
    /// It ends here, before anything was started.
    Over(Outcome),
    /// Its task was cancelled.
    Withdrawn(Outcome),
    /// This process takes no new work.
    PutBack,
    /// The database is away, and something of it is needed.
    Later,
}

impl Core {
    /// Connects; nothing is started on the host.
    pub(super) async fn reach(self: &Arc<Self>, live: &LiveTask, work: Work) -> Reached {
        let options = &live.record.options;
        let times = self.outage.times();
        let secrets = match self.secrets_of(live.id(), options).await {
            Ok(secrets) => secrets,
            Err(problem) if self.met_away(&problem) => return Reached::Later,
            Err(problem) => {
                return Reached::Over(Outcome::unreachable(Unreachable::Credential, problem.detail));
            }
        };
        if secret_is_gone(options, &secrets) {
            let again = format!(
                "the password of this task was held by an earlier server process alone, and is gone: \
                 `muster retry {} --ask-password` (or --ask-sudo-password, --ask-passphrase) asks again",
                live.id()
            );
            return Reached::Over(Outcome::unreachable(Unreachable::SecretGone, again));
        }
        let Some(host) = live.hosts.get(work.run.index as usize) else {
            let why = "a message names a host that the task does not have".to_owned();
            return Reached::Over(Outcome::unreachable(Unreachable::Settings, why));
        };
        steps::note_host(host.name.as_str());
        let credential = match self.credential_of(options, &host.endpoint).await {
            Ok(credential) => credential,
            Err(problem) if self.met_away(&problem) => return Reached::Later,
            Err(problem) => {
                let why = format!("{}: {}", host.name, problem.detail);
                return Reached::Over(Outcome::unreachable(Unreachable::Credential, why));
            }
        };
        let sudo_password = match sudo_password(options, secrets.sudo_password.clone(), credential.as_ref()) {
            Ok(password) => password,
            Err(problem) => {
                return Reached::Over(Outcome::unreachable(Unreachable::Credential, problem.detail));
            }
        };
        let access = access(options, &secrets, credential.as_ref());
        let step = steps::connect();
        let connecting = self.rooms.transport.connect(&host.endpoint, &access);
        let connecting = connecting.instrument(step.clone());
        tokio::select! {
            biased;
            () = self.tasks.intake().cancelled() => Reached::PutBack,
            () = live.cancel.cancelled() => Reached::Withdrawn(Outcome::plain(RunState::Cancelled, None)),
            connected = connecting => match connected.inspect_err(|_| steps::note_failure(&step)) {
                Ok(session) => Reached::Session(session, sudo_password),
                // It may be the host's key that could not be read or kept: that is not the host's fault.
                Err(error) if error.reason == Unreachable::Settings && self.was_away_since(times).await => {
                    Reached::Later
                }
                Err(error) => Reached::Over(Outcome::unreachable(error.reason, error.message)),
            },
        }
    }

    /// Tells whether the database is away, or has gone away since it had so many `times`.
    async fn was_away_since(self: &Arc<Self>, times: u64) -> bool {
        if self.outage.is_on() || self.outage.times() > times {
            return true;
        }
        match self.rooms.database.store.ping().await {
            Ok(_) => false,
            Err(error) => self.found_away(&error),
        }
    }

    /// Returns the credential for a host; None where neither the task nor the host names one, or where it has no use.
    async fn credential_of(
        &self,
        options: &Options,
        endpoint: &Endpoint,
    ) -> Result<Option<Arc<Handle>>, Problem> {
        let Some(name) = options.credential.as_ref().or(endpoint.credential.as_ref()) else {
            return Ok(None);
        };
        if endpoint.reach == Reach::Local && options.sudo.is_none() {
            return Ok(None);
        }
        match self.vault.find(name.as_str()).await {
            Ok(Some(handle)) => Ok(Some(handle)),
            Ok(None) => Err(Problem::new(
                Code::UnknownCredential,
                format!(
                    "there is no credential '{name}': `muster credentials add {name}` makes it, \
                     `--credential NAME` names another"
                ),
            )),
            Err(problem) => Err(problem),
        }
    }
}
