//! What may be asked of credentials. Nothing that goes out holds a secret.

use muster_model::inventory::CredentialName;
use muster_model::problem::Code;
use muster_model::wire::Check;
use muster_model::wire::credentials::{CredentialView, Encoded, Held, PutCredential, PutMode, Rekeyed};
use muster_model::{Problem, Secret, Timestamp};
use muster_store::{Put, Removed, SealedCredential};

use super::contents::Contents;
use super::ring::{TRIES, about, busy};
use super::source::KeySource;
use crate::core::Core;
use crate::doctor::counted;
use crate::fault;
use crate::submit::user;

/// The longest key or certificate, in bytes.
const KEY_BYTES: usize = 64 * 1024;
/// The longest password or passphrase, in bytes.
const PASSWORD_BYTES: usize = 1024;

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

fn view(record: SealedCredential, hosts: u64) -> CredentialView {
    let holds = record.holds.split(',');
    CredentialView {
        holds: holds
            .filter_map(|name| Held::ALL.into_iter().find(|held| held.as_str() == name))
            .collect(),
        name: record.name,
        user: record.user,
        public_key: record.public_key,
        hosts,
        sealed_with: record.key_id,
        created_at: record.created_at,
        changed_at: record.changed_at,
    }
}

fn unknown(name: &CredentialName) -> Problem {
    Problem::new(
        Code::UnknownCredential,
        format!("there is no credential '{name}'"),
    )
    .hint("`muster credentials list` lists them; `muster credentials add NAME` makes one")
}

/// A request's secrets, checked.
struct Wanted {
    user: Option<String>,
    contents: Contents,
    key_is_new: bool,
    forget: Vec<Held>,
    mode: PutMode,
}

impl Wanted {
    fn read(name: &CredentialName, put: PutCredential) -> Result<Self, Problem> {
        user("user", put.user.as_ref().filter(|user| !user.is_empty()))?;
        let secret = |field: &str, given: Option<Encoded>, most: usize, lines: bool| match given {
            None => Ok(None),
            Some(Encoded(secret)) => {
                let text = secret.expose();
                if text.is_empty() {
                    return Err(wrong(format!("the {field} of credential '{name}' is empty")));
                }
                if text.len() > most {
                    return Err(Problem::new(
                        Code::TooLarge,
                        format!("the {field} of credential '{name}' has more than {most} bytes"),
                    ));
                }
                if !lines && text.contains(['\n', '\r', '\0']) {
                    return Err(wrong(format!(
                        "the {field} of credential '{name}' holds a line's end or a NUL byte"
                    )));
                }
                Ok(Some(secret))
            }
        };
        let certificate = put.certificate.map(|text| Encoded(Secret::new(text)));
        let contents = Contents {
            key: secret("key", put.key_base64, KEY_BYTES, true)?,
            certificate: secret("certificate", certificate, KEY_BYTES, true)?,
            passphrase: secret("passphrase", put.passphrase_base64, PASSWORD_BYTES, false)?,
            password: secret("password", put.password_base64, PASSWORD_BYTES, false)?,
            sudo_password: secret(
                "password for sudo",
                put.sudo_password_base64,
                PASSWORD_BYTES,
                false,
            )?,
        };
        if !put.forget.is_empty() && put.mode != PutMode::Change {
            return Err(wrong("forget is for a credential that is changed"));
        }
        Ok(Self {
            key_is_new: contents.key.is_some(),
            user: put.user,
            contents,
            forget: put.forget,
            mode: put.mode,
        })
    }

    /// Returns what is to be sealed, over what was there before.
    fn over(&self, before: Contents) -> Contents {
        let mut result = before;
        for held in &self.forget {
            *result.place(*held) = None;
        }
        if self.key_is_new || self.forget.contains(&Held::Key) {
            // A certificate is of one key.
            result.certificate = None;
        }
        let mut given = self.contents.clone();
        for held in Held::ALL {
            if let Some(secret) = given.place(held).take() {
                *result.place(held) = Some(secret);
            }
        }
        result
    }
}

/// Checks the key and its certificate; what comes back holds the key decrypted, and without a passphrase of its own.
async fn with_key(
    name: &CredentialName,
    mut contents: Contents,
    key_is_new: bool,
) -> Result<(Contents, Option<String>), Problem> {
    let Some(key) = contents.key.clone() else {
        return match contents.certificate {
            Some(_) => Err(wrong(format!("credential '{name}' has a certificate and no key"))
                .hint("a certificate goes with its private key")),
            None => Ok((contents, None)),
        };
    };
    let passphrase = match key_is_new {
        true => contents.passphrase.take(),
        false => None,
    };
    let certificate = contents.certificate.clone();
    let work = move || {
        let certificate = certificate.as_ref().map(Secret::expose);
        muster_transport::prepare_key(&key, passphrase.as_ref(), certificate)
    };
    let prepared = tokio::task::spawn_blocking(work).await;
    let prepared = prepared
        .map_err(|_| Problem::new(Code::Internal, "the key could not be read"))?
        .map_err(|why| wrong(format!("the key of credential '{name}': {why}")))?;
    contents.key = Some(prepared.key);
    Ok((contents, Some(prepared.public)))
}

impl Core {
    /// Returns all credentials.
    pub(crate) async fn credentials(&self) -> Result<Vec<CredentialView>, Problem> {
        let all = self.rooms.database.vault.credentials().await;
        let all = all.map_err(|error| fault::of_store(&error))?;
        Ok(all
            .into_iter()
            .map(|(record, hosts)| view(record, hosts))
            .collect())
    }

    /// Returns one credential.
    pub(crate) async fn credential(&self, name: &CredentialName) -> Result<CredentialView, Problem> {
        let all = self.credentials().await?;
        let found = all.into_iter().find(|view| view.name == *name);
        found.ok_or_else(|| unknown(name))
    }

    /// Seals a credential and writes it.
    pub(crate) async fn put_credential(
        &self,
        name: &CredentialName,
        put: PutCredential,
    ) -> Result<CredentialView, Problem> {
        let wanted = Wanted::read(name, put)?;
        for _ in 0..TRIES {
            let found = self.rooms.database.vault.credential(name.as_str()).await;
            let found = found.map_err(|error| fault::of_store(&error))?;
            let (before, kept_user) = match (wanted.mode, &found) {
                (PutMode::Add, Some(_)) => {
                    return Err(Problem::new(
                        Code::AlreadyExists,
                        format!("there is a credential '{name}' already"),
                    )
                    .hint(format!("`muster credentials set {name}` changes it")));
                }
                (PutMode::Change, None) => return Err(unknown(name)),
                (PutMode::Change, Some(_)) => match self.vault.find(name.as_str()).await? {
                    Some(handle) => (handle.open()?, handle.record.user.clone()),
                    None => return Err(unknown(name)),
                },
                _ => (Contents::default(), None),
            };
            let (contents, public_key) = with_key(name, wanted.over(before), wanted.key_is_new).await?;
            let now = muster_runtime::now();
            let mut record = SealedCredential {
                name: name.clone(),
                user: wanted.user.clone().or(kept_user).filter(|user| !user.is_empty()),
                holds: contents.holds(),
                public_key,
                key_id: String::new(),
                sealed: bytes::Bytes::new(),
                version: found.as_ref().map_or(0, |found| found.version),
                created_at: found.as_ref().map_or(now, |found| found.created_at),
                // Later than before, whatever the clock says: it tells contents apart.
                changed_at: found
                    .as_ref()
                    .map_or(now, |found| now.max(Timestamp(found.changed_at.0 + 1))),
            };
            if record.holds.is_empty() {
                return Err(wrong(format!("credential '{name}' would hold nothing"))
                    .hint("give it a key, a passphrase or a password"));
            }
            let ring = self.vault.sealing().await?;
            let Some(key) = ring.0.first() else {
                return Err(busy());
            };
            record.key_id = key.id().to_owned();
            record.sealed = key.seal(&about(&record), &contents.encode())?;
            drop(contents);
            let put = self.rooms.database.vault.put_credential(record).await;
            match put.map_err(|error| fault::of_store(&error))? {
                Put::Done => return self.credential(name).await,
                // The next try finds what is there now, and the key that took the place of ours.
                Put::Changed | Put::KeyGone => {}
            }
        }
        Err(busy())
    }

    /// Removes a credential; one that hosts use only with `force`.
    pub(crate) async fn remove_credential(&self, name: &CredentialName, force: bool) -> Result<(), Problem> {
        let removed = self.rooms.database.vault.remove_credential(name.as_str(), force);
        match removed.await.map_err(|error| fault::of_store(&error))? {
            Removed::Done => Ok(()),
            Removed::NotThere => Err(unknown(name)),
            Removed::Used(hosts) => {
                let hosts = match hosts {
                    1 => "1 host of the inventory uses".to_owned(),
                    hosts => format!("{hosts} hosts of the inventory use"),
                };
                Err(
                    Problem::new(Code::Conflict, format!("{hosts} credential '{name}'")).hint(format!(
                        "`muster hosts set HOST… --credential NAME` gives them another; `muster credentials rm --force \
                         {name}` removes it all the same"
                    )),
                )
            }
        }
    }

    /// Seals everything with a new key.
    pub(crate) async fn rekey(&self) -> Result<Rekeyed, Problem> {
        // A new key is made in this machine's file alone: the others would be left with one that opens nothing.
        if self.lease.shared().is_some() && matches!(self.vault.source, KeySource::File(_)) {
            let members = self.rooms.database.members.members().await;
            let members = members.map_err(|error| fault::of_store(&error))?;
            let me = self.lease.executor();
            let mut others = members
                .iter()
                .filter(|other| other.gone_at.is_none() && other.id != me);
            if let Some(other) = others.next() {
                return Err(Problem::new(
                    Code::Conflict,
                    format!(
                        "the server on {} shares the database, and its key file would be left with the old key",
                        other.machine
                    ),
                )
                .hint(
                    "stop the other servers, run this again, copy the key file to their machines, and start them \
                     (docs/operations/several-servers.md)",
                ));
            }
        }
        self.vault.rekey().await
    }

    /// Says how the vault is.
    pub(crate) async fn check_vault(&self) -> Check {
        let found = async {
            let (keys, all) = (self.vault.examine().await?, self.credentials().await?);
            let source = &self.vault.source;
            Ok::<_, Problem>(match (all.len(), keys.as_slice()) {
                (_, []) => format!("no credentials yet; their key will be from {source}"),
                (count, [key]) => format!(
                    "{}, sealed with the key {} from {source}",
                    counted(count, "credential", "credentials"),
                    key.id
                ),
                (count, keys) => format!(
                    "{} under {} keys from {source}: `muster credentials rekey` was interrupted, \
                     and goes on where it is run again",
                    counted(count, "credential", "credentials"),
                    keys.len()
                ),
            })
        };
        let name = "vault".to_owned();
        match found.await {
            Ok(detail) => Check {
                name,
                ok: true,
                detail,
                hint: None,
            },
            Err(problem) => Check {
                name,
                ok: false,
                detail: problem.detail,
                hint: problem.hint,
            },
        }
    }
}
