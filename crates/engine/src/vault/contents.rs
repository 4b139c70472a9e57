//! What is sealed: the secrets of a credential, as bytes.
//!
//! Each is a byte that says which it is, four of length, and the text; what is not known is refused. Zeros fill up
//! to a multiple of 256 bytes, so that the length of what is sealed tells little of the length of a password.

use muster_model::Secret;
use muster_model::wire::credentials::Held;
use zeroize::Zeroizing;

const BLOCK: usize = 256;

/// The secrets of a credential.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// A private key, decrypted, in OpenSSH's own form.
    pub(crate) key: Option<Secret>,
    /// Its certificate.
    pub(crate) certificate: Option<Secret>,
    /// A passphrase for keys in files.
    pub(crate) passphrase: Option<Secret>,
    /// A password for the login.
    pub(crate) password: Option<Secret>,
    /// A password for sudo.
    pub(crate) sudo_password: Option<Secret>,
}

impl Contents {
    /// Returns where one of them stands.
    pub(super) fn place(&mut self, held: Held) -> &mut Option<Secret> {
        match held {
            Held::Key => &mut self.key,
            Held::Certificate => &mut self.certificate,
            Held::Passphrase => &mut self.passphrase,
            Held::Password => &mut self.password,
            Held::SudoPassword => &mut self.sudo_password,
        }
    }

    fn parts(&self) -> [(Held, Option<&Secret>); 5] {
        [
            (Held::Key, self.key.as_ref()),
            (Held::Certificate, self.certificate.as_ref()),
            (Held::Passphrase, self.passphrase.as_ref()),
            (Held::Password, self.password.as_ref()),
            (Held::SudoPassword, self.sudo_password.as_ref()),
        ]
    }

    /// Returns what there is, by name, as the database and people are told.
    pub(super) fn holds(&self) -> String {
        let names = self
            .parts()
            .into_iter()
            .filter_map(|(held, secret)| secret.map(|_| held.as_str()));
        names.collect::<Vec<_>>().join(",")
    }

    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let parts = self.parts();
        let length: usize = parts
            .iter()
            .filter_map(|(_, secret)| secret.map(|secret| 5 + secret.expose().len()))
            .sum();
        let padded = length.next_multiple_of(BLOCK).max(BLOCK);
        let mut bytes = Zeroizing::new(Vec::with_capacity(padded));
        for (held, secret) in parts {
            let Some(text) = secret.map(Secret::expose) else {
                continue;
            };
            bytes.push(mark(held));
            bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.resize(padded, 0);
        bytes
    }

    /// Reads what [`Contents::encode`] wrote; None where it is anything else.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut contents = Self::default();
        while let Some((first, rest)) = bytes.split_first() {
            if *first == 0 {
                return rest.iter().all(|byte| *byte == 0).then_some(contents);
            }
            let held = Held::ALL.into_iter().find(|held| mark(*held) == *first)?;
            let (length, rest) = rest.split_at_checked(4)?;
            let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
            let (text, rest) = rest.split_at_checked(length)?;
            let place = contents.place(held);
            if place.is_some() {
                return None;
            }
            *place = Some(Secret::new(str::from_utf8(text).ok()?.to_owned()));
            bytes = rest;
        }
        Some(contents)
    }
}

/// Returns the byte of a part: it is written to databases, so it never changes.
fn mark(held: Held) -> u8 {
    match held {
        Held::Key => 1,
        Held::Certificate => 2,
        Held::Passphrase => 3,
        Held::Password => 4,
        Held::SudoPassword => 5,
    }
}
