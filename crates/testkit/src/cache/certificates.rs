//! Certificates of a private authority, made with `openssl`.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::server;
use crate::error::{Error, Result};

/// An authority, and what it has signed: `ca.crt`, `server.crt` and `server.key` for 127.0.0.1 and localhost,
/// `client.crt` and `client.key`; and `other.crt`, an authority that has signed nothing.
#[derive(Debug)]
pub struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// Makes them.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where openssl is not installed.
    pub fn make() -> Result<Self> {
        let program = server::program(&["/usr/bin/openssl", "/usr/local/bin/openssl"], "openssl")?;
        let dir = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
        let run = |words: &str| {
            let words = words.split(' ');
            server::run(Command::new(&program).current_dir(dir.path()).args(words)).map(drop)
        };
        const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30";
        for authority in ["ca", "other"] {
            run(&format!(
                "req -x509 {KEY} -keyout {authority}.key -out {authority}.crt -subj /CN=muster-test-{authority}"
            ))?;
        }
        for (name, more) in [
            (
                "server",
                "-addext basicConstraints=CA:FALSE -addext subjectAltName=IP:127.0.0.1,DNS:localhost",
            ),
            ("client", "-addext basicConstraints=CA:FALSE"),
        ] {
            run(&format!(
                "req -x509 {KEY} -CA ca.crt -CAkey ca.key -keyout {name}.key -out {name}.crt -subj /CN={name} {more}"
            ))?;
        }
        Ok(Self { dir })
    }

    /// Returns the path of one of the files.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
