//! Secrets that are given with a task, for executors elsewhere: sealed under the vault's key and bound to the task, in
//! the database from its submit to its end.

use muster_model::problem::Code;
use muster_model::wire::Secrets;
use muster_model::{Options, Problem, Role, TaskId, Timestamp};
use muster_store::{NewTask, SealedSecrets, TaskSecrets};

use super::contents::Contents;
use super::ring::{Ring, Vault};
use super::seal::About;
use super::source::KeySource;
use crate::core::Core;
use crate::fault;

/// What is authenticated with the secrets of a task: the request that made it, who asked, and when.
fn about<'a>(request_id: &'a str, owner: &'a str, created_at: &'a str) -> About<'a> {
    About {
        what: "task",
        name: request_id,
        user: Some(owner),
        holds: created_at,
        public_key: None,
    }
}

fn time(at: Timestamp) -> String {
    at.0.to_string()
}

impl Vault {
    /// Reads the keys of this process where there are any, so that others can be told which; makes none.
    pub(crate) async fn look(&self) -> Result<(), Problem> {
        if self.known().is_some() {
            return Ok(());
        }
        let keys = self.source.load().await?;
        if !keys.is_empty() {
            self.set(keys);
        }
        Ok(())
    }

    /// Returns the ids of the keys that this process has, as others are told; None where it has none.
    pub(crate) fn key_ids(&self) -> Option<String> {
        let ring = self.known()?;
        let ids: Vec<&str> = ring.0.iter().take(3).map(|key| key.id()).collect();
        Some(ids.join(","))
    }

    async fn seal_secrets(&self, task: &NewTask, secrets: &Secrets) -> Result<TaskSecrets, Problem> {
        let ring = self.sealing().await?;
        let Some(key) = ring.0.first() else {
            return Err(super::ring::busy());
        };
        let contents = Contents {
            password: secrets.password.clone(),
            passphrase: secrets.passphrase.clone(),
            sudo_password: secrets.sudo_password.clone(),
            ..Contents::default()
        };
        let created_at = time(task.created_at);
        let about = about(&task.request_id, &task.owner, &created_at);
        Ok(TaskSecrets {
            key_id: key.id().to_owned(),
            sealed: key.seal(&about, &contents.encode())?,
        })
    }

    fn open_secrets(ring: &Ring, sealed: &SealedSecrets) -> Result<Secrets, Problem> {
        let key = ring.find(&sealed.key_id).ok_or_else(|| {
            Problem::new(
                Code::VaultKey,
                format!(
                    "the password of task {} is sealed with the key {}, which this server does not have",
                    sealed.task, sealed.key_id
                ),
            )
            .hint("give every server the same key: docs/operations/several-servers.md")
        })?;
        let created_at = time(sealed.created_at);
        let about = about(&sealed.request_id, &sealed.owner, &created_at);
        let contents = key
            .open(&about, &sealed.sealed)
            .and_then(|plain| Contents::decode(&plain))
            .ok_or_else(|| {
                Problem::new(
                    Code::InvalidDatabase,
                    format!(
                        "the password of task {} does not open with its key: what the database has of it was changed",
                        sealed.task
                    ),
                )
            })?;
        Ok(Secrets {
            password: contents.password,
            passphrase: contents.passphrase,
            sudo_password: contents.sudo_password,
        })
    }

    /// Seals the secrets of tasks with the first key that are sealed with another.
    pub(super) async fn reseal_secrets(&self, ring: &Ring) -> Result<(), Problem> {
        let Some(first) = ring.0.first() else {
            return Err(super::ring::busy());
        };
        let all = self.store.all_task_secrets().await;
        for old in all.map_err(|error| fault::of_store(&error))? {
            let Some(key) = ring.find(&old.key_id).filter(|key| key.id() != first.id()) else {
                continue;
            };
            let created_at = time(old.created_at);
            let about = about(&old.request_id, &old.owner, &created_at);
            // What does not open is of no use to anybody: its task says so when it is needed.
            let Some(plain) = key.open(&about, &old.sealed) else {
                continue;
            };
            let new = TaskSecrets {
                key_id: first.id().to_owned(),
                sealed: first.seal(&about, &plain)?,
            };
            let done = self.store.reseal_task_secrets(old, new).await;
            done.map_err(|error| fault::of_store(&error))?;
        }
        Ok(())
    }
}

impl Core {
    /// Seals the secrets of a task that is to be written, where others may carry it out; None where this process is
    /// the only one, and keeps them in its memory.
    pub(crate) async fn seal_for_others(
        &self,
        task: &NewTask,
        secrets: &Secrets,
    ) -> Result<Option<TaskSecrets>, Problem> {
        if *secrets == Secrets::default() || self.lease.shared().is_none() {
            return Ok(None);
        }
        let me = self.lease.executor();
        let members = self.rooms.database.members.members().await;
        let mut others = members.map_err(|error| fault::of_store(&error))?;
        others.retain(|other| {
            other.gone_at.is_none()
                && other.id != me
                && other.roles.split(',').any(|role| role == Role::Executor.as_str())
        });
        self.vault.look().await?;
        if self.vault.key_ids().is_none() {
            let Some(other) = others.first() else {
                return Ok(None);
            };
            return Err(not_shared(&format!(
                "this server has no key, and the server on {} may have to use the password",
                other.machine
            )));
        }
        let sealed = self.vault.seal_secrets(task, secrets).await?;
        let has_key = |ids: &str| ids.split(',').any(|id| id == sealed.key_id);
        match others.iter().find(|other| !has_key(&other.beat.vault_key)) {
            Some(other) => Err(not_shared(&format!(
                "the server on {} does not have this server's key {}",
                other.machine, sealed.key_id
            ))),
            None => Ok(Some(sealed)),
        }
    }

    /// Returns the secrets of a task: from memory, else as they were sealed for this server. None given where there are
    /// none.
    pub(crate) async fn secrets_of(&self, task: TaskId, options: &Options) -> Result<Secrets, Problem> {
        let known = self.secrets(task);
        let given = options.login_secret || options.sudo_password;
        if !given || known != Secrets::default() || self.lease.shared().is_none() {
            return Ok(known);
        }
        let read = self.read_secrets(task);
        self.vault.task_secrets.ask(&task, read).await
    }

    async fn read_secrets(&self, task: TaskId) -> Result<Secrets, Problem> {
        let known = self.secrets(task);
        if known != Secrets::default() {
            return Ok(known);
        }
        let found = self.rooms.database.vault.task_secrets(task).await;
        let Some(sealed) = found.map_err(|error| fault::of_store(&error))? else {
            return Ok(known);
        };
        let mut ring = self.vault.ring().await?;
        if ring.find(&sealed.key_id).is_none() && matches!(self.vault.source, KeySource::File(_)) {
            ring = self.vault.reload().await?;
        }
        let secrets = Vault::open_secrets(&ring, &sealed)?;
        self.keep_secrets(task, secrets.clone());
        // It may have ended meanwhile, and nobody says that twice.
        if self.hub.find(task).is_none_or(|live| live.is_done()) {
            self.forget_secrets(task);
        }
        Ok(secrets)
    }
}

fn not_shared(why: &str) -> Problem {
    Problem::new(
        Code::VaultKey,
        format!("passwords that are given with a task reach other servers under the vault's key alone: {why}"),
    )
    .hint(
        "give every server the same key (the setting 'vault_key'; docs/operations/several-servers.md), or keep the \
         password: muster credentials add",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use zeroize::Zeroizing;

    use super::*;
    use crate::vault::seal::MasterKey;

    #[test]
    fn secrets_open_for_their_own_task_and_no_other() {
        let ring = Arc::new(Ring(vec![MasterKey::new(Zeroizing::new([7; 32]))]));
        let key = &ring.0[0];
        let contents = Contents {
            password: Some(muster_model::Secret::new("hunter2".to_owned())),
            ..Contents::default()
        };
        let sealed = SealedSecrets {
            task: TaskId(5),
            request_id: "request-5".into(),
            owner: "ada".into(),
            created_at: Timestamp(77),
            key_id: key.id().to_owned(),
            sealed: key
                .seal(&about("request-5", "ada", "77"), &contents.encode())
                .expect("sealed"),
        };
        let opened = Vault::open_secrets(&ring, &sealed).expect("opened");
        assert!(opened.password == contents.password && opened.sudo_password.is_none());
        for other in [
            SealedSecrets {
                request_id: "request-6".into(),
                ..sealed.clone()
            },
            SealedSecrets {
                owner: "eve".into(),
                ..sealed.clone()
            },
            SealedSecrets {
                created_at: Timestamp(78),
                ..sealed.clone()
            },
        ] {
            let problem = Vault::open_secrets(&ring, &other).expect_err("refused");
            assert_eq!(problem.code, Code::InvalidDatabase);
        }
        let another = Ring(vec![MasterKey::new(Zeroizing::new([8; 32]))]);
        let problem = Vault::open_secrets(&another, &sealed).expect_err("refused");
        assert_eq!(problem.code, Code::VaultKey);
    }
}
