//! What to show a host, and in which order.

use std::path::PathBuf;
use std::sync::Arc;

use muster_model::Secret as Passphrase;
use muster_runtime::clock;
use russh::SendError;
use russh::client::Handle;
use russh::keys::agent::AgentIdentity;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::ssh_key::{Signature, public::KeyData};
use russh::keys::{Certificate, HashAlg, PrivateKey, PublicKey, signature};

use super::agent::Agent;
use super::kept;
use super::key_file::{self, KeyFile, Unusable};
use super::open;
use super::stack::scrubbed;
use crate::adapters::ssh::handler::ClientHandler;
use crate::adapters::ssh::resolve::Identities;

/// Who signs.
#[derive(Clone)]
pub(crate) enum Source {
    /// The agent, with this identity.
    Agent(Arc<AgentIdentity>),
    /// A file's private key.
    File(Arc<KeyFile>),
    /// A private key that is in no file.
    Key(Arc<PrivateKey>),
}

/// A key that comes from a stored credential, for one login.
pub(crate) struct Kept {
    /// What it is, for people.
    pub(crate) name: String,
    /// The key, not encrypted.
    pub(crate) key: Passphrase,
    /// Its certificate.
    pub(crate) certificate: Option<Passphrase>,
}

/// A key or a certificate to show.
#[derive(Clone)]
pub(crate) struct Offer {
    /// What it is, for people: a file's path or the agent's comment.
    pub(crate) name: String,
    /// The key.
    pub(crate) public: PublicKey,
    /// Its certificate, where that is what is shown.
    pub(crate) certificate: Option<Certificate>,
    /// Who signs.
    pub(crate) source: Source,
}

impl Offer {
    /// Tells whether it is an RSA key, whose signatures have a hash to choose.
    pub(crate) fn is_rsa(&self) -> bool {
        matches!(self.public.key_data(), KeyData::Rsa(_))
    }
}

/// Everything there is to show, in order.
#[derive(Default)]
pub(crate) struct Offers {
    /// The offers.
    pub(crate) offers: Vec<Offer>,
    /// Keys that cannot be used, each with why: for the message when nothing else worked.
    pub(crate) unusable: Vec<(PathBuf, Unusable)>,
    /// What is wrong with the agent.
    pub(crate) agent_problem: Option<String>,
    /// The agent.
    pub(crate) agent: Option<Agent>,
}

/// Collects what there is: keys asked for explicitly, the key of a stored credential, keys of the agent that `ssh_config` names, the agent's
/// others (not with `IdentitiesOnly`), then the files of `ssh_config` or the usual ones. Where the agent
/// holds a key, the agent signs. Certificates go before their keys.
pub(crate) async fn collect(
    identities: &Identities,
    passphrase: Option<&Passphrase>,
    kept: Option<Kept>,
    handle: &Handle<ClientHandler>,
) -> Offers {
    let mut offers = Offers::default();
    let mut files = Vec::new();
    for path in identities.explicit.iter().chain(&identities.files) {
        match key_file::load(path).await {
            Ok(file) => files.push(file),
            Err(Unusable::Missing) if identities.usual => {}
            Err(why) => offers.unusable.push((path.clone(), why)),
        }
    }
    if let Some(socket) = &identities.agent {
        match Agent::connect(socket, handle).await {
            Ok(agent) => offers.agent = Some(agent),
            Err(why) => offers.agent_problem = Some(why),
        }
    }
    let held = offers
        .agent
        .as_ref()
        .map(|agent| agent.identities.clone())
        .unwrap_or_default();
    let certificates = certificates(&identities.certificates, &mut offers).await;

    let (explicit, configured) = files.split_at(
        files
            .iter()
            .take_while(|file| identities.explicit.contains(&file.path))
            .count(),
    );
    for file in explicit {
        offers.file(file, &held, &certificates, passphrase).await;
    }
    if let Some(kept) = kept {
        offers.kept(&kept);
    }
    for file in configured
        .iter()
        .filter(|file| holder(&held, file.public.as_ref()).is_some())
    {
        offers.file(file, &held, &certificates, passphrase).await;
    }
    if !identities.only {
        for identity in &held {
            offers.agents(identity, &certificates);
        }
    }
    for file in configured {
        offers.file(file, &held, &certificates, passphrase).await;
    }
    offers
}

/// Reads the files of `CertificateFile`.
async fn certificates(paths: &[PathBuf], offers: &mut Offers) -> Vec<(PathBuf, Certificate)> {
    let mut read = Vec::new();
    for path in paths {
        let file = path.clone();
        let certificate = tokio::task::spawn_blocking(move || key_file::certificate(&file)).await;
        match certificate.ok().flatten() {
            Some(certificate) => read.push((path.clone(), certificate)),
            None => {
                let why = Unusable::Unreadable("it is not a certificate".to_owned());
                offers.unusable.push((path.clone(), why));
            }
        }
    }
    read
}

fn holder(held: &[AgentIdentity], public: Option<&PublicKey>) -> Option<AgentIdentity> {
    let wanted = public?.key_data();
    let holds = |identity: &&AgentIdentity| matches!(identity, AgentIdentity::PublicKey { key, .. } if key.key_data() == wanted);
    held.iter().find(holds).cloned()
}

impl Offers {
    async fn file(
        &mut self,
        file: &Arc<KeyFile>,
        held: &[AgentIdentity],
        certificates: &[(PathBuf, Certificate)],
        passphrase: Option<&Passphrase>,
    ) {
        let public = match &file.public {
            Some(public) => public.clone(),
            // Older forms hide the public key as well: it is known only once the file is open.
            None => match open::open(file, passphrase).await {
                Ok(key) => key.public_key().clone(),
                Err(why) => return self.cannot(file.path.clone(), why),
            },
        };
        let source = match holder(held, Some(&public)) {
            Some(identity) => Source::Agent(Arc::new(identity)),
            None => Source::File(Arc::clone(file)),
        };
        if matches!((&source, &file.secret), (Source::File(_), key_file::Secret::None)) {
            return self.cannot(file.path.clone(), Unusable::PublicOnly);
        }
        let name = file.path.display().to_string();
        let own = file
            .certificate
            .iter()
            .map(|certificate| (&file.path, certificate));
        let named = certificates.iter().map(|(path, certificate)| (path, certificate));
        for (path, certificate) in own.chain(named) {
            if certificate.public_key() == public.key_data() {
                self.certificate(
                    path.display().to_string(),
                    path.clone(),
                    certificate,
                    source.clone(),
                );
            }
        }
        self.add(Offer {
            name,
            public,
            certificate: None,
            source,
        });
    }

    fn kept(&mut self, kept: &Kept) {
        let Some(key) = kept::open(kept.key.expose()) else {
            return self.cannot(PathBuf::from(&kept.name), Unusable::NotAKey);
        };
        let public = key.public_key().clone();
        let source = Source::Key(key);
        let certificate = kept.certificate.as_ref().map(Passphrase::expose);
        if let Some(certificate) = certificate.and_then(|text| Certificate::from_openssh(text.trim()).ok()) {
            let (name, path) = (kept.name.clone(), PathBuf::from(&kept.name));
            self.certificate(name, path, &certificate, source.clone());
        }
        self.add(Offer {
            name: kept.name.clone(),
            public,
            certificate: None,
            source,
        });
    }

    fn agents(&mut self, identity: &AgentIdentity, certificates: &[(PathBuf, Certificate)]) {
        let source = Source::Agent(Arc::new(identity.clone()));
        match identity {
            AgentIdentity::PublicKey { key, comment } => {
                for (path, certificate) in certificates {
                    if certificate.public_key() == key.key_data() {
                        self.certificate(
                            path.display().to_string(),
                            path.clone(),
                            certificate,
                            source.clone(),
                        );
                    }
                }
                self.add(Offer {
                    name: format!("{} (agent)", shown(comment)),
                    public: key.clone(),
                    certificate: None,
                    source,
                });
            }
            AgentIdentity::Certificate { certificate, comment } => {
                let name = format!("{} (agent)", shown(comment));
                self.certificate(name.clone(), PathBuf::from(name), certificate, source);
            }
        }
    }

    fn certificate(&mut self, name: String, path: PathBuf, certificate: &Certificate, source: Source) {
        let now = u64::try_from(clock::now().0 / 1_000_000).unwrap_or(0);
        if now >= certificate.valid_before() {
            return self.cannot(path, Unusable::Expired);
        }
        self.add(Offer {
            name: format!("certificate of {name}"),
            public: PublicKey::new(certificate.public_key().clone(), ""),
            certificate: Some(certificate.clone()),
            source,
        });
    }

    fn cannot(&mut self, path: PathBuf, why: Unusable) {
        if !self.unusable.iter().any(|(known, _)| *known == path) {
            self.unusable.push((path, why));
        }
    }

    fn add(&mut self, offer: Offer) {
        let known = self.offers.iter().any(|known| {
            known.public.key_data() == offer.public.key_data() && known.certificate == offer.certificate
        });
        if !known {
            self.offers.push(offer);
        }
    }
}

fn shown(comment: &str) -> String {
    comment.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// A signature that was not given.
#[derive(Debug)]
pub(crate) enum SignError {
    /// The connection is gone.
    Gone,
    /// The key cannot be used.
    Key(Unusable),
    /// The agent does not sign.
    Agent(String),
}

impl From<SendError> for SignError {
    fn from(_: SendError) -> Self {
        Self::Gone
    }
}

/// Signs what a host asks to be signed, once it has accepted the key: only then is a key opened.
pub(crate) struct Signing<'a> {
    /// Who signs.
    pub(crate) source: &'a Source,
    /// The agent.
    pub(crate) agent: Option<&'a mut Agent>,
    /// For encrypted keys.
    pub(crate) passphrase: Option<&'a Passphrase>,
}

impl russh::Signer for Signing<'_> {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let key = match (self.source, &mut self.agent) {
            (Source::File(file), _) => open::open(file, self.passphrase).await.map_err(SignError::Key)?,
            (Source::Key(key), _) => Arc::clone(key),
            (Source::Agent(identity), Some(agent)) => {
                let signed = agent.client.sign_request(identity, hash, data).await;
                return signed.map_err(|error| SignError::Agent(error.to_string()));
            }
            (Source::Agent(_), None) => return Err(SignError::Agent("it is gone".to_owned())),
        };
        let signed = if matches!(key.key_data(), KeypairData::Ed25519(_)) {
            scrubbed(|| sign(&key, hash, data))
        } else {
            // Signing with RSA takes milliseconds: not on a thread that serves other connections. With Ed25519 it
            // takes less than the way to another thread.
            let work = move || scrubbed(|| sign(&key, hash, data));
            let signed = tokio::task::spawn_blocking(work).await;
            signed.map_err(|_| SignError::Gone)?
        };
        signed.map_err(|_| SignError::Key(Unusable::NotAKey))
    }
}

/// Appends the signature of `data` to it, as the protocol wants it.
fn sign(key: &PrivateKey, hash: Option<HashAlg>, mut data: Vec<u8>) -> Result<Vec<u8>, signature::Error> {
    use signature::Signer;
    let signature: Signature = match key.key_data() {
        KeypairData::Rsa(pair) => (pair, hash).try_sign(&data)?,
        pair => pair.try_sign(&data)?,
    };
    signature
        .encode_prefixed(&mut data)
        .map_err(|_| signature::Error::new())?;
    Ok(data)
}
