//! Whether a host's key is trusted, and what to tell people where it is not.

use std::path::Path;
use std::sync::Arc;

use muster_model::host_key::{HostKey, KnownHost, SeenKey};
use muster_model::{ErrorKind, Unreachable};
use muster_runtime::clock;
use russh::keys::{PublicKey, PublicKeyOrCertificate};

use super::explain;
use super::known_hosts::{self, Found, KnownHosts, Verdict};
use super::resolve::{Resolved, Trust};
use crate::error::{ConnectError, Error};
use crate::host_keys::HostKeys;
use crate::open::Settings;

/// What is needed to judge a host's key.
pub(crate) struct HostKeyCheck {
    label: String,
    /// The host as a target that means it.
    target: String,
    host: String,
    port: u16,
    trust: Trust,
    pins: Arc<dyn HostKeys>,
    pinned: Vec<String>,
    files: Vec<Arc<KnownHosts>>,
    revoked: Option<Arc<Vec<Vec<u8>>>>,
}

/// Refuses a host that is in quarantine, or behind one: nothing is sent to it.
pub(crate) async fn refuse_quarantined(settings: &Settings, resolved: &Resolved) -> Result<(), ConnectError> {
    inventory(&settings.host_keys, resolved).await?;
    let mut jump = resolved.jump.as_ref();
    while let Some(way) = jump {
        let passed = inventory(&settings.host_keys, way).await;
        passed.map_err(|error| explain::no_jump(resolved, &error))?;
        jump = way.jump.as_ref();
    }
    Ok(())
}

/// Returns what the inventory knows of a host that is not in quarantine.
async fn inventory(pins: &Arc<dyn HostKeys>, resolved: &Resolved) -> Result<KnownHost, ConnectError> {
    let found = find(pins, &resolved.trust).await;
    let (name, known) = found.map_err(|error| cannot_be_checked(&resolved.label(), &error))?;
    if known.is_quarantined() {
        return Err(quarantined(&resolved.label(), &name, &known));
    }
    Ok(known)
}

/// Returns what the inventory knows of a host, and under which name: the first that is known, else the first.
async fn find(pins: &Arc<dyn HostKeys>, trust: &Trust) -> Result<(String, KnownHost), Error> {
    for name in &trust.names.names {
        let known = pins.known(name).await?;
        if !known.is_unknown() {
            return Ok((name.clone(), known));
        }
    }
    Ok((
        trust.names.names.first().cloned().unwrap_or_default(),
        KnownHost::default(),
    ))
}

impl HostKeyCheck {
    /// Reads what is known (again only what has changed). A host in quarantine is refused here.
    pub(crate) async fn prepare(settings: &Settings, resolved: &Resolved) -> Result<Self, ConnectError> {
        let unusable = |what: String| {
            let label = resolved.label();
            ConnectError::new(
                Unreachable::Settings,
                format!("{label}: its key cannot be checked: {what}"),
            )
        };
        let pins = Arc::clone(&settings.host_keys);
        let known = inventory(&pins, resolved).await?;
        let trust = resolved.trust.clone();
        let files = load(&trust).await.map_err(unusable)?;
        let revoked = match &trust.revoked {
            Some(path) => Some(known_hosts::load_revoked(path).await.map_err(unusable)?),
            None => None,
        };
        Ok(Self {
            label: resolved.label(),
            target: match resolved.port {
                22 => resolved.alias.clone(),
                port => format!("{}:{port}", resolved.alias),
            },
            host: resolved.host.clone(),
            port: resolved.port,
            trust,
            pins,
            pinned: known.pinned.into_iter().map(|key| key.algorithm).collect(),
            files,
            revoked,
        })
    }

    /// Returns the algorithms of the keys by which the host is known, and whether an authority may sign for
    /// it. What is pinned decides before the files: their keys are not asked for then.
    pub(crate) fn known_algorithms(&self) -> (Vec<String>, bool) {
        let (in_files, authority) = known_hosts::known_algorithms(&self.files, &self.trust.names);
        if self.pinned.is_empty() {
            (in_files, authority)
        } else {
            (self.pinned.clone(), authority)
        }
    }

    /// Judges what the host presents. A new host's key is pinned where that was asked for, before anything else is
    /// sent; a changed one puts the host into quarantine.
    pub(crate) async fn check(&self, presented: &PublicKeyOrCertificate) -> Result<(), ConnectError> {
        let key = read_key(&self.label, &presented.public_key())?;
        if let Some(error) = self.revoked_by_list(&key) {
            return Err(error);
        }
        // Asked again: others may have met the host while the connection was made.
        let found = find(&self.pins, &self.trust).await;
        let (name, known) = found.map_err(|error| cannot_be_checked(&self.label, &error))?;
        if known.is_quarantined() {
            return Err(quarantined(&self.label, &name, &known));
        }
        let now = u64::try_from(clock::now().0 / 1_000_000).unwrap_or(0);
        let certificate = presented.certificate();
        let verdict = known_hosts::judge(&self.files, &known, &self.trust.names, &key, certificate, now);
        match verdict {
            Verdict::Unknown if self.trust.accept_new => self.show(&name, &key, true).await,
            Verdict::NotPinned => self.show(&name, &key, false).await,
            verdict => self.say(&verdict, &key),
        }
    }

    /// Writes down a key that is not pinned: a new host's, or one in the place of another.
    async fn show(&self, name: &str, key: &HostKey, pin: bool) -> Result<(), ConnectError> {
        let shown = self.pins.show(name, key, pin).await;
        let known = shown.map_err(|error| match pin {
            true => self.error(
                Unreachable::Settings,
                &format!("its new key could not be kept: {}", told(&error)),
            ),
            false => self.error(
                Unreachable::HostKeyChanged,
                &format!(
                    "its key has changed: it shows {}, and another is pinned. That could not be written down ({}): it \
                     will be at the next connection",
                    described(key),
                    told(&error)
                ),
            ),
        })?;
        if known.is_quarantined() {
            return Err(quarantined(&self.label, name, &known));
        }
        if !known.has_pinned(key.fingerprint()) {
            let what = "its key was forgotten while it was being checked: try again";
            return Err(self.error(Unreachable::HostKeyUnknown, what));
        }
        tracing::info!(host = %self.label, fingerprint = key.fingerprint(), "a new host's key was pinned");
        Ok(())
    }

    fn revoked_by_list(&self, key: &HostKey) -> Option<ConnectError> {
        let list = self.revoked.as_ref()?;
        let file = self.trust.revoked.as_deref()?;
        list.iter().any(|revoked| revoked == key.blob()).then(|| {
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

    fn say(&self, verdict: &Verdict, key: &HostKey) -> Result<(), ConnectError> {
        let described = described(key);
        let at = |found: &Found| format!("line {} of {}", found.line, found.file.display());
        Err(match verdict {
            Verdict::Known => return Ok(()),
            Verdict::NotPinned | Verdict::Unknown => self.error(
                Unreachable::HostKeyUnknown,
                &format!(
                    "its key ({described}) is neither pinned nor in {}: compare the fingerprint with the host's own, \
                     then run again with --accept-new, or pin it with 'muster hosts trust {} --scan', or add it ('{}')",
                    self.first_file(),
                    self.target,
                    self.keyscan(),
                ),
            ),
            Verdict::Changed(found) => self.error(
                Unreachable::HostKeyChanged,
                &format!(
                    "its key has changed: it shows {described}, but {} has another ({}). Somebody may be \
                     listening in. If the host was set up anew, run 'ssh-keygen -R {} -f {}' and try again; \
                     'muster hosts trust {} --scan' pins its present key, which then counts before that file",
                    at(found),
                    found.algorithm,
                    quoted(self.name()),
                    found.file.display(),
                    self.target,
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

/// Returns the key that a host presents.
pub(crate) fn read_key(label: &str, presented: &PublicKey) -> Result<HostKey, ConnectError> {
    let wrong = |what: &str| ConnectError::new(Unreachable::Protocol, format!("{label}: {what}"));
    let blob = presented.to_bytes();
    let blob = blob.map_err(|_| wrong("its key cannot be read"))?;
    HostKey::read(blob).map_err(|error| wrong(&format!("it shows {error}")))
}

/// Says that the inventory could not be asked. Without it nothing is trusted.
fn cannot_be_checked(label: &str, error: &Error) -> ConnectError {
    let what = format!("{label}: its key cannot be checked: {}", told(error));
    ConnectError::new(Unreachable::Settings, what)
}

fn told(error: &Error) -> String {
    match error.kind {
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::OutcomeUnknown => {
            format!("the inventory's keys are not at hand ({error})")
        }
        _ => error.to_string(),
    }
}

/// Says that a host is in quarantine, with both fingerprints.
fn quarantined(label: &str, name: &str, known: &KnownHost) -> ConnectError {
    let offered = known.offered.last().map(SeenKey::to_string).unwrap_or_default();
    let pinned: Vec<String> = known.pinned.iter().take(3).map(SeenKey::to_string).collect();
    let what = format!(
        "{label}: its key has changed: it has shown {offered}, but {} is pinned. Somebody may be listening in: it is in \
         quarantine, and nothing is sent to it until somebody decides. If the host was set up anew, compare the \
         fingerprint with its own, then run 'muster hosts trust {}'",
        pinned.join(" or "),
        quoted(name)
    );
    ConnectError::new(Unreachable::HostKeyChanged, what)
}

/// Returns a key as people compare it.
fn described(key: &HostKey) -> String {
    format!("{}, {}", key.fingerprint(), key.algorithm())
}

/// Returns a name as a shell takes it: `[host]:port` is a pattern to a shell.
fn quoted(name: &str) -> String {
    if name.contains(['[', '*', '?', '!']) {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    }
}
