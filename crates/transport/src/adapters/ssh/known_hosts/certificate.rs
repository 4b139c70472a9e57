//! Host certificates: whether one that a trusted authority has signed is good for a host.

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::{Fingerprint, HashAlg};
use russh::keys::{Algorithm, Certificate, PublicKey};

use crate::adapters::ssh::config::matches;

/// Returns the key on the wire that has signed a certificate.
pub(crate) fn authority(certificate: &Certificate) -> Option<Vec<u8>> {
    PublicKey::new(certificate.signature_key().clone(), "")
        .to_bytes()
        .ok()
}

/// Checks everything about a certificate but whether its authority is trusted.
///
/// # Errors
///
/// What is wrong with it, for people.
pub(crate) fn check(certificate: &Certificate, principal: &str, now: u64) -> Result<(), String> {
    if certificate.cert_type() != CertType::Host {
        return Err("it is made out for a user, not for a host".to_owned());
    }
    if matches!(
        certificate.signature().algorithm(),
        Algorithm::Rsa { hash: None } | Algorithm::Dsa
    ) {
        return Err("it is signed with SHA-1".to_owned());
    }
    if now < certificate.valid_after() {
        return Err("it is not valid yet: compare the clocks".to_owned());
    }
    if now >= certificate.valid_before() {
        return Err("it has expired: the host needs a new one".to_owned());
    }
    let names = certificate.valid_principals();
    // OpenSSH once took an empty list for "any host"; a certificate that names nobody vouches for nobody.
    if !names.iter().any(|name| matches(&name.to_lowercase(), principal)) {
        return Err(format!(
            "it is made out for {}, not for {principal}",
            listed(names)
        ));
    }
    if !certificate.critical_options().is_empty() {
        return Err("it has a critical option that Muster does not know".to_owned());
    }
    let trusted: Fingerprint = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate
        .validate_at(now, [&trusted])
        .map_err(|_| "its signature is wrong".to_owned())
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "no host at all".to_owned(),
        names => names
            .iter()
            .take(5)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", "),
    }
}
