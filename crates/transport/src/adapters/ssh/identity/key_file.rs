//! A private key's file, with its public key and its certificate beside it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use russh::keys::{Certificate, PrivateKey, PublicKey, decode_secret_key};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::adapters::ssh::stamp::Stamp;

/// The longest key file that is read, in bytes.
const FILE_BYTES: u64 = 1024 * 1024;

/// The most files that are remembered.
const MOST: usize = 256;

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// There is no such file.
    Missing,
    /// Others can read it.
    TooOpen(u32),
    /// It cannot be read.
    Unreadable(String),
    /// It holds no private key of a known form.
    NotAKey,
    /// It is encrypted, and there is no passphrase.
    Encrypted,
    /// It is encrypted, and the passphrase is another.
    WrongPassphrase,
    /// Only its public half is there, and no agent holds the private one.
    PublicOnly,
    /// Its certificate is out of date.
    Expired,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::TooOpen(mode) => {
                write!(f, "others can read it (mode {mode:04o}): run 'chmod 600' on it")
            }
            Self::Unreadable(why) => write!(f, "it cannot be read: {why}"),
            Self::NotAKey => f.write_str(
                "it is not a private key that can be read: OpenSSH's own form and PEM are (ssh-keygen -p \
                 rewrites others)",
            ),
            Self::Encrypted => f.write_str(
                "it is encrypted: run again with --ask-passphrase, or add it to the SSH agent with ssh-add",
            ),
            Self::WrongPassphrase => f.write_str("the passphrase is wrong"),
            Self::PublicOnly => {
                f.write_str("it is a public key, and the SSH agent does not hold its private key")
            }
            Self::Expired => f.write_str("its certificate has expired: have it renewed"),
        }
    }
}

/// The private half of a key.
pub(super) enum Secret {
    /// Not in this file.
    None,
    /// As it stands in the file.
    Plain(Arc<PrivateKey>),
    /// The file's text, to be opened with a passphrase.
    Encrypted(Zeroizing<String>),
}

/// A key's file as it was read.
pub(crate) struct KeyFile {
    /// The file.
    pub(crate) path: PathBuf,
    /// What this reading is good for.
    pub(super) stamp: Option<Stamp>,
    /// The public key, where it can be known without a passphrase.
    pub(super) public: Option<PublicKey>,
    /// The certificate beside it.
    pub(super) certificate: Option<Certificate>,
    /// The private key.
    pub(super) secret: Secret,
}

/// The file, the one with `.pub`, the one with `-cert.pub`.
type Stamps = [Option<Stamp>; 3];
type Remembered = HashMap<PathBuf, (Stamps, Arc<KeyFile>)>;

static FILES: LazyLock<Mutex<Remembered>> = LazyLock::new(Mutex::default);

/// Returns a key's file, read again only when it or its companions change. Nothing is decrypted.
pub(crate) async fn load(path: &Path) -> Result<Arc<KeyFile>, Unusable> {
    let mut files = FILES.lock().await;
    // A look at the files costs microseconds, a thread for it more: reading alone goes to one.
    if let Some((stamps, file)) = files.get(path)
        && *stamps == stamps_of(path)
    {
        return Ok(Arc::clone(file));
    }
    if is_missing(path) && is_missing(&beside(path, ".pub")) {
        return Err(Unusable::Missing);
    }
    let work = {
        let path = path.to_owned();
        move || read(&path)
    };
    let read = tokio::task::spawn_blocking(work).await;
    let (stamps, file) =
        read.map_err(|_| Unusable::Unreadable("reading it was interrupted".to_owned()))??;
    let file = Arc::new(file);
    if files.len() >= MOST {
        files.clear();
    }
    files.insert(path.to_owned(), (stamps, Arc::clone(&file)));
    Ok(file)
}

fn stamps_of(path: &Path) -> Stamps {
    [path.to_owned(), beside(path, ".pub"), beside(path, "-cert.pub")]
        .map(|path| std::fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata)))
}

fn is_missing(path: &Path) -> bool {
    std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn read(path: &Path) -> Result<(Stamps, KeyFile), Unusable> {
    let stamps = stamps_of(path);
    let beside_public = public_key(&beside(path, ".pub"));
    let certificate = certificate(&beside(path, "-cert.pub"));
    let mut file = KeyFile {
        path: path.to_owned(),
        stamp: stamps[0],
        public: beside_public,
        certificate,
        secret: Secret::None,
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        // The agent may hold the private key of a public one that stands alone.
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.public.is_some() => {
            return Ok((stamps, file));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::Missing),
        Err(error) => return Err(Unusable::Unreadable(error.to_string())),
    };
    if !metadata.is_file() || metadata.len() > FILE_BYTES {
        return Err(Unusable::NotAKey);
    }
    let text = std::fs::read(path).map_err(|error| Unusable::Unreadable(error.to_string()))?;
    let text = Zeroizing::new(String::from_utf8(text).map_err(|_| Unusable::NotAKey)?);
    if let Ok(public) = PublicKey::from_openssh(text.trim()) {
        file.public = Some(public);
        return Ok((stamps, file));
    }
    let ours = metadata.uid() == nix::unistd::Uid::effective().as_raw();
    if ours && metadata.mode() & 0o077 != 0 {
        return Err(Unusable::TooOpen(metadata.mode() & 0o7777));
    }
    if is_encrypted(&text) {
        if let Ok(key) = PrivateKey::from_openssh(text.as_bytes()) {
            file.public = Some(key.public_key().clone());
        }
        file.secret = Secret::Encrypted(text);
    } else {
        let key = decode_secret_key(&text, None).map_err(|_| Unusable::NotAKey)?;
        file.public = Some(key.public_key().clone());
        file.secret = Secret::Plain(Arc::new(key));
    }
    Ok((stamps, file))
}

/// Tells whether a private key's text needs a passphrase, in each of the forms that exist.
pub(super) fn is_encrypted(text: &str) -> bool {
    if let Ok(key) = PrivateKey::from_openssh(text.as_bytes()) {
        return key.is_encrypted();
    }
    text.lines().take(8).any(|line| {
        line.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || (line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
            || (line.starts_with("Encryption:") && !line.trim_end().ends_with("none"))
    })
}

fn public_key(path: &Path) -> Option<PublicKey> {
    PublicKey::from_openssh(small(path)?.trim()).ok()
}

/// Reads a certificate's file.
pub(crate) fn certificate(path: &Path) -> Option<Certificate> {
    Certificate::from_openssh(small(path)?.trim()).ok()
}

fn small(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let fits = metadata.is_file() && metadata.len() <= FILE_BYTES;
    fits.then(|| std::fs::read_to_string(path).ok()).flatten()
}
