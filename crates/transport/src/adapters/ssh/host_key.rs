//! Whether a host's key is trusted, and what to tell people where it is not.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use muster_model::Unreachable;
use muster_runtime::clock;
use russh::keys::{HashAlg, PublicKey, PublicKeyOrCertificate};
use tokio::sync::Mutex;

use super::known_hosts::{self, Found, KnownHosts, Verdict, wire_name};
use super::resolve::{Resolved, Trust};
use crate::error::ConnectError;

/// One first contact at a time: two hosts, or the same one twice, do not write over each other.
static FIRST_CONTACT: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

/// What is needed to judge a host's key.
pub(crate) struct HostKeyCheck {
    label: String,
    host: String,
    port: u16,
    trust: Trust,
    files: Vec<Arc<KnownHosts>>,
    revoked: Option<Arc<Vec<Vec<u8>>>>,
}

impl HostKeyCheck {
    /// Reads what is known (again only what has changed).
    pub(crate) async fn prepare(resolved: &Resolved) -> Result<Self, ConnectError> {
        let settings = |what: String| {
            let label = resolved.label();
            ConnectError::new(
                Unreachable::Settings,
                format!("{label}: its key cannot be checked: {what}"),
            )
        };
        let trust = resolved.trust.clone();
        let files = load(&trust).await.map_err(settings)?;
        let revoked = match &trust.revoked {
            Some(path) => Some(known_hosts::load_revoked(path).await.map_err(settings)?),
            None => None,
        };
        Ok(Self {
            label: resolved.label(),
            host: resolved.host.clone(),
            port: resolved.port,
            trust,
            files,
            revoked,
        })
    }

    /// Returns the algorithms of the keys by which the host is known, and whether an authority may sign for
    /// it.
    pub(crate) fn known_algorithms(&self) -> (Vec<String>, bool) {
        known_hosts::known_algorithms(&self.files, &self.trust.names)
    }

    /// Judges what the host presents. A new host's key is written down where that was asked for.
    pub(crate) async fn check(&self, presented: &PublicKeyOrCertificate) -> Result<(), ConnectError> {
        let key = presented.public_key();
        let blob = key.to_bytes().map_err(|_| {
            let message = format!("{}: its key cannot be read", self.label);
            ConnectError::new(Unreachable::Protocol, message)
        })?;
        if let Some(error) = self.revoked_by_list(&key, &blob) {
            return Err(error);
        }
        let verdict = self.judge(&self.files, &blob, presented);
        if verdict == Verdict::Unknown && self.trust.accept_new {
            return self.first_contact(&key, &blob, presented).await;
        }
        self.say(&verdict, &key)
    }

    fn judge(&self, files: &[Arc<KnownHosts>], blob: &[u8], presented: &PublicKeyOrCertificate) -> Verdict {
        let now = u64::try_from(clock::now().0 / 1_000_000).unwrap_or(0);
        known_hosts::judge(files, &self.trust.names, blob, presented.certificate(), now)
    }

    async fn first_contact(
        &self,
        key: &PublicKey,
        blob: &[u8],
        presented: &PublicKeyOrCertificate,
    ) -> Result<(), ConnectError> {
        let failed = |what: String| {
            let message = format!("{}: its new key could not be kept: {what}", self.label);
            ConnectError::new(Unreachable::Settings, message)
        };
        let _turn = FIRST_CONTACT.lock().await;
        // Somebody may have been first since, with this key or with another.
        let files = load(&self.trust).await.map_err(failed)?;
        let verdict = self.judge(&files, blob, presented);
        if verdict != Verdict::Unknown {
            return self.say(&verdict, key);
        }
        let (Some(path), Some(name)) = (self.trust.user_files.first(), self.trust.names.names.first()) else {
            return Err(failed("UserKnownHostsFile names no file".to_owned()));
        };
        let (path, name, blob) = (path.clone(), name.clone(), blob.to_vec());
        let hashed = self.trust.hashed;
        let work = move || known_hosts::append(&path, &name, &blob, hashed);
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| failed("writing was interrupted".to_owned()))?
            .map_err(failed)?;
        tracing::info!(host = %self.label, fingerprint = %fingerprint(key), "a new host's key was written down");
        Ok(())
    }

    fn revoked_by_list(&self, key: &PublicKey, blob: &[u8]) -> Option<ConnectError> {
        let list = self.revoked.as_ref()?;
        let file = self.trust.revoked.as_deref()?;
        list.iter().any(|revoked| revoked == blob).then(|| {
            self.error(
                Unreachable::HostKeyRevoked,
                &format!(
                    "its key ({}) is revoked in {}: the host needs a new key, or it is not the host",
                    described(key),
                    file.display()
                ),
            )
        })
    }

    fn say(&self, verdict: &Verdict, key: &PublicKey) -> Result<(), ConnectError> {
        let described = described(key);
        let at = |found: &Found| format!("line {} of {}", found.line, found.file.display());
        Err(match verdict {
            Verdict::Known => return Ok(()),
            Verdict::Unknown => self.error(
                Unreachable::HostKeyUnknown,
                &format!(
                    "its key ({described}) is not in {}: compare the fingerprint with the host's own, then \
                     add the key ('{}') or run again with --accept-new",
                    self.first_file(),
                    self.keyscan(),
                ),
            ),
            Verdict::Changed(found) => self.error(
                Unreachable::HostKeyChanged,
                &format!(
                    "its key has changed: it shows {described}, but {} has another ({}). Somebody may be \
                     listening in. If the host was set up anew, run 'ssh-keygen -R {} -f {}' and try again",
                    at(found),
                    found.algorithm,
                    quoted(self.name()),
                    found.file.display(),
                ),
            ),
            Verdict::Revoked(found) => self.error(
                Unreachable::HostKeyRevoked,
                &format!(
                    "its key ({described}) is marked as revoked in {}: the host needs a new key, or it is \
                     not the host",
                    at(found)
                ),
            ),
            Verdict::BadCertificate(why) => self.error(
                Unreachable::HostKeyUnknown,
                &format!("its certificate, signed by a trusted authority, is not good: {why}"),
            ),
        })
    }

    fn error(&self, reason: Unreachable, what: &str) -> ConnectError {
        ConnectError::new(reason, format!("{}: {what}", self.label))
    }

    fn name(&self) -> &str {
        self.trust.names.names.first().map_or("", String::as_str)
    }

    fn first_file(&self) -> String {
        let file = self
            .trust
            .user_files
            .first()
            .map_or(Path::new("known_hosts"), |path| path);
        file.display().to_string()
    }

    fn keyscan(&self) -> String {
        let port = if self.port == 22 {
            String::new()
        } else {
            format!("-p {} ", self.port)
        };
        format!("ssh-keyscan {port}{} >> {}", self.host, self.first_file())
    }
}

async fn load(trust: &Trust) -> Result<Vec<Arc<KnownHosts>>, String> {
    let mut files = known_hosts::load(&trust.user_files).await?;
    files.extend(known_hosts::load(&trust.global_files).await?);
    Ok(files)
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Returns a key as people compare it.
fn described(key: &PublicKey) -> String {
    let blob = key.to_bytes().unwrap_or_default();
    format!(
        "{}, {}",
        fingerprint(key),
        wire_name(&blob).unwrap_or("of an unknown type")
    )
}

/// Returns a name as a shell takes it: `[host]:port` is a pattern to a shell.
fn quoted(name: &str) -> String {
    if name.contains(['[', '*', '?', '!']) {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    }
}
