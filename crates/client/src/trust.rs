//! Which certificate a client takes for its server's.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

/// Which certificate is trusted; what comes of that is read once, when it is first needed.
#[derive(Debug, Default)]
pub struct Trust {
    whom: Whom,
    made: OnceLock<Result<Check, String>>,
}

/// Whose certificate is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Whom {
    /// One that an authority vouches for that this machine trusts.
    #[default]
    Machine,
    /// One that an authority of a file (PEM) vouches for.
    File(PathBuf),
    /// One of these, whatever it says of itself and whoever vouches for it.
    Pinned(Vec<Fingerprint>),
}

/// The SHA-256 of a certificate (DER): `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

/// A text is no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no fingerprint: write sha256: and 64 hexadecimal digits, as the server prints it")]
pub struct InvalidFingerprint(String);

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    /// Reads it. Colons between the digits, as other programs print them, are left out.
    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let wrong = || InvalidFingerprint(text.chars().take(120).collect());
        let digits = text.strip_prefix("sha256:").ok_or_else(wrong)?.replace(':', "");
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            let pair = digits.get(place * 2..place * 2 + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Trust {
    /// Trusts whom is said.
    #[must_use]
    pub fn new(whom: Whom) -> Self {
        Self {
            whom,
            ..Self::default()
        }
    }

    /// Returns how one connection is secured, and where the fingerprint of its certificate is noted where that is not
    /// trusted.
    ///
    /// # Errors
    ///
    /// Where there is nobody to be trusted: why.
    pub(crate) fn config(&self) -> Result<(ClientConfig, Refused), String> {
        let check = self.made.get_or_init(|| self.make()).clone()?;
        let provider = Arc::new(ring::default_provider());
        let refused = Refused::default();
        let verifier = Verifier {
            check,
            provider: Arc::clone(&provider),
            refused: refused.clone(),
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((config, refused))
    }

    fn make(&self) -> Result<Check, String> {
        let provider = Arc::new(ring::default_provider());
        let vouched = |roots: RootCertStore| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map(|verifier| Check::Vouched(verifier as Arc<dyn ServerCertVerifier>))
                .map_err(|error| error.to_string())
        };
        let check = match &self.whom {
            Whom::Pinned(pins) => Check::Pinned(pins.clone()),
            Whom::Machine => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err("this machine trusts no authority: is ca-certificates installed?".to_owned());
                }
                vouched(roots)?
            }
            Whom::File(path) => {
                let shown = path.display();
                let mut roots = RootCertStore::empty();
                let found =
                    CertificateDer::pem_file_iter(path).map_err(|error| format!("{shown}: {error}"))?;
                for certificate in found {
                    let certificate = certificate.map_err(|error| format!("{shown}: {error}"))?;
                    roots
                        .add(certificate)
                        .map_err(|error| format!("{shown}: {error}"))?;
                }
                if roots.is_empty() {
                    return Err(format!("{shown}: no certificate is in it"));
                }
                vouched(roots)?
            }
        };
        Ok(check)
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.whom == other.whom
    }
}

impl Eq for Trust {}

/// The fingerprint of a certificate that was not trusted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused(Arc<Mutex<Option<Fingerprint>>>);

impl Refused {
    pub(crate) fn take(&self) -> Option<Fingerprint> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Clone, Debug)]
enum Check {
    Vouched(Arc<dyn ServerCertVerifier>),
    Pinned(Vec<Fingerprint>),
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    provider: Arc<CryptoProvider>,
    refused: Refused,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let checked = match &self.check {
            Check::Vouched(verifier) => {
                verifier.verify_server_cert(certificate, intermediates, name, ocsp, now)
            }
            Check::Pinned(pins) if pins.contains(&Fingerprint::of(certificate)) => {
                Ok(ServerCertVerified::assertion())
            }
            Check::Pinned(_) => Err(rustls::Error::General(
                "it is not the one that is pinned".to_owned(),
            )),
        };
        if checked.is_err() {
            let mut refused = self.refused.0.lock().unwrap_or_else(PoisonError::into_inner);
            *refused = Some(Fingerprint::of(certificate));
        }
        checked
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_printed_here_and_elsewhere() {
        let digits = "0af7651916cd43dd8448eb211c80319c0af7651916cd43dd8448eb211c80319c";
        let shown = format!("sha256:{digits}");
        let read: Fingerprint = shown.parse().expect("it is one");
        assert_eq!(read.to_string(), shown);
        let pairs: Vec<String> = digits
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).to_uppercase())
            .collect();
        assert_eq!(format!("sha256:{}", pairs.join(":")).parse(), Ok(read));
        for wrong in [
            "",
            "sha256:",
            digits,
            "sha256:0a",
            "sha256:é",
            "md5:0af7651916cd43dd8448eb211c80319c",
        ] {
            let error = wrong.parse::<Fingerprint>().expect_err(wrong);
            assert!(error.to_string().contains(&format!("'{wrong}'")), "{error}");
        }
    }
}
