//! The certificate that a server makes for itself where none is set: for the first minutes, and for clients that pin its
//! fingerprint. Nobody vouches for it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use muster_model::Problem;
use muster_model::problem::Code;
use muster_server::Certificate;
use rcgen::{CertificateParams, DnType, KeyPair};
use zeroize::Zeroizing;

use super::paths::{self, cannot, look};

/// Returns the certificate that is kept under the state folder, making one for this machine where there is none. It
/// outlives the server, so that a pinned fingerprint goes on to fit.
///
/// # Errors
///
/// Where it cannot be made, written or read.
pub(super) fn kept_or_new(state: &Path) -> Result<Arc<Certificate>, Problem> {
    // Certificate and key in one, so that they are there together or not at all, whoever else makes one at this moment.
    let file = state.join("self-made.pem");
    if look(&file)?.is_none() {
        paths::private_state(state)?;
        make(&file)?;
    }
    Certificate::load(&file, &file)
}

fn make(file: &Path) -> Result<(), Problem> {
    let failed =
        |error: rcgen::Error| Problem::new(Code::Internal, format!("a certificate cannot be made: {error}"));
    let machine = hostname::get().map(|name| name.to_string_lossy().into_owned());
    let machine = machine.unwrap_or_else(|_| "localhost".to_owned());
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let names: Vec<String> = names.into_iter().chain([machine.clone()]).collect();
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, machine);
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let text = Zeroizing::new(certificate.pem() + &key.serialize_pem());
    write(file, text.as_bytes())
}

/// Writes a file that its owner alone can read, in the place of one that was there.
fn write(path: &Path, text: &[u8]) -> Result<(), Problem> {
    let failed = |error: std::io::Error| cannot(path, "written", &error);
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(failed)?;
    file.write_all(text)
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_its_key_is_its_owners_alone() {
        let state = tempfile::tempdir().expect("a folder");
        let first = kept_or_new(state.path()).expect("a certificate").fingerprint();
        assert!(first.starts_with("sha256:") && first.len() == 71, "{first}");
        assert_eq!(kept_or_new(state.path()).expect("the same").fingerprint(), first);
        let file = state.path().join("self-made.pem");
        assert_eq!(std::fs::metadata(&file).expect("a file").mode() & 0o777, 0o600);
        std::fs::remove_file(&file).expect("no file");
        assert_ne!(kept_or_new(state.path()).expect("another").fingerprint(), first);
    }
}
