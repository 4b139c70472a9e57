//! An authority of one broker, with a certificate for the broker and one for its clients, by `openssl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

const OPENSSL: &str = "/usr/bin/openssl";

/// Certificates in PEM files, which go with the broker.
#[derive(Clone, Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`.
    pub(super) fn make(folder: &Path) -> Result<Self> {
        if !Path::new(OPENSSL).exists() {
            return Err(Error::missing("openssl", "install the package openssl"));
        }
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let certificates = Self {
            folder: folder.to_owned(),
        };
        certificates.authority_named("authority")?;
        certificates.authority_named("stranger")?;
        certificates.leaf(
            "server",
            "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n",
        )?;
        certificates.leaf("client", "extendedKeyUsage=clientAuth\n")?;
        Ok(certificates)
    }

    /// Returns the authority's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// Returns the certificate of an authority that signed nothing here.
    #[must_use]
    pub fn stranger(&self) -> PathBuf {
        self.folder.join("stranger.pem")
    }

    /// Returns the certificate and the key of a client.
    #[must_use]
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("client.pem"), self.folder.join("client.key"))
    }

    pub(super) fn server(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("server.pem"), self.folder.join("server.key"))
    }

    fn authority_named(&self, name: &str) -> Result<()> {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN={name} \
             -keyout {name}.key -out {name}.pem"
        ))
    }

    fn leaf(&self, name: &str, extensions: &str) -> Result<()> {
        let file = self.folder.join(format!("{name}.ext"));
        fs::write(&file, extensions).map_err(Error::io(&file))?;
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} \
             -keyout {name}.key -out {name}.csr"
        ))?;
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 30 \
             -extfile {name}.ext -out {name}.pem"
        ))
    }

    fn openssl(&self, arguments: &str) -> Result<()> {
        let done = Command::new(OPENSSL)
            .args(arguments.split_whitespace())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io(Path::new(OPENSSL)))?;
        if done.status.success() {
            return Ok(());
        }
        Err(Error::failed(
            format!("openssl {arguments}"),
            String::from_utf8_lossy(&done.stderr),
        ))
    }
}
