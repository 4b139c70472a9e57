//! TLS: the certificate that a server shows, from files that may be replaced while it runs.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use muster_model::Problem;
use muster_model::problem::Code;
use muster_runtime::{Tasks, clock};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Larger is no certificate.
const LARGEST: u64 = 1024 * 1024;

/// A certificate with its key, from two files of PEM (RFC 7468): the chain, leaf first, and the private key (PKCS #8,
/// PKCS #1 or SEC 1).
#[derive(Debug)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    shown: RwLock<Shown>,
}

#[derive(Clone, Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    /// Of which files.
    of: [Stamp; 2],
}

/// By what a file that was replaced is told from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    changed: Option<SystemTime>,
    length: u64,
}

impl Certificate {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// `invalid-config` where a file cannot be read, holds none, or is not the other's, or where others can read the key.
    pub fn load(chain: &Path, key: &Path) -> Result<Arc<Self>, Problem> {
        let shown = read(chain, key)?;
        Ok(Arc::new(Self {
            chain: chain.to_owned(),
            key: key.to_owned(),
            shown: RwLock::new(shown),
        }))
    }

    /// Returns by what a client can pin it: `sha256:` and the hexadecimal digest of the leaf certificate.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let shown = self.shown();
        let mut text = "sha256:".to_owned();
        for byte in Sha256::digest(shown.key.cert.first().map_or(&[][..], |leaf| leaf)) {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    fn shown(&self) -> Shown {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again where they have changed. One that is not right, or not whole yet, changes nothing.
    pub(crate) fn look(&self, complained: &mut Option<[Stamp; 2]>) {
        let Ok(found) = stamps(&self.chain, &self.key) else {
            // Between the removal of one and its successor.
            return;
        };
        if found == self.shown().of || *complained == Some(found) {
            return;
        }
        match read(&self.chain, &self.key) {
            Ok(shown) => {
                *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
                *complained = None;
                tracing::info!(fingerprint = self.fingerprint(), "a new certificate is shown");
            }
            Err(problem) => {
                *complained = Some(found);
                tracing::error!(%problem, "a new certificate cannot be used: the one before is shown");
            }
        }
    }

    /// Begins to look whether the files change.
    pub(crate) fn watch(self: &Arc<Self>, tasks: &Tasks) {
        let certificate = Arc::clone(self);
        let over = tasks.work().clone();
        tasks.spawn("certificate", async move {
            let mut complained = None;
            loop {
                tokio::select! {
                    () = clock::sleep(LOOK) => certificate.look(&mut complained),
                    () = over.cancelled() => return,
                }
            }
        });
    }

    /// Returns how connections are secured with it.
    pub(crate) fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, Problem> {
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Problem::new(Code::Internal, format!("TLS cannot be set up: {error}")))?;
        let mut config = versions
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown().key)
    }
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> Problem {
    Problem::new(Code::InvalidConfig, format!("{}: {why}", path.display()))
}

fn stamps(chain: &Path, key: &Path) -> Result<[Stamp; 2], Problem> {
    let stamp = |path: &Path| {
        let found = std::fs::metadata(path).map_err(|error| wrong(path, error))?;
        if found.len() > LARGEST {
            return Err(wrong(path, "too large for a certificate or a key"));
        }
        Ok(Stamp {
            inode: found.ino(),
            changed: found.modified().ok(),
            length: found.len(),
        })
    };
    Ok([stamp(chain)?, stamp(key)?])
}

fn read(chain: &Path, key: &Path) -> Result<Shown, Problem> {
    let of = stamps(chain, key)?;
    let mode = std::fs::metadata(key).map_err(|error| wrong(key, error))?.mode();
    if mode & 0o007 != 0 {
        return Err(
            wrong(key, "this private key is open to every user of the machine")
                .hint(format!("chmod o= {}", key.display())),
        );
    }
    let certificates = CertificateDer::pem_file_iter(chain).and_then(Iterator::collect);
    let certificates: Vec<CertificateDer<'static>> = certificates.map_err(|error| wrong(chain, error))?;
    if certificates.is_empty() {
        return Err(wrong(
            chain,
            "no certificate is in it: write PEM, the server's own first",
        ));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        wrong(
            key,
            format!("no private key is in it ({error}): write PEM, without a passphrase"),
        )
    })?;
    let made = CertifiedKey::from_der(certificates, private, &ring::default_provider());
    let key = made.map_err(|error| {
        wrong(
            chain,
            format!("it and {} do not belong together: {error}", key.display()),
        )
    })?;
    Ok(Shown {
        key: Arc::new(key),
        of,
    })
}
