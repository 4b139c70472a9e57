//! The public keys by which hosts are known: what a key is, under which names it stands, and what may be done with it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

use crate::id::Timestamp;

/// The largest key that is taken, in bytes: a stranger chooses it.
pub const KEY_BYTES: usize = 16 * 1024;
/// The longest name of an algorithm, in bytes.
pub const ALGORITHM_BYTES: usize = 64;
/// The longest name under which a host is known, in bytes.
pub const NAME_BYTES: usize = 512;
/// How many changed keys are kept for one name: the latest.
pub const OFFERED: usize = 4;
/// How many keys may be pinned under one name.
pub const PINNED: usize = 16;

/// A public key as a host shows it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostKey {
    algorithm: String,
    fingerprint: String,
    blob: Vec<u8>,
}

/// What is no host's key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// More than anybody needs.
    #[error("a host's key of {0} bytes: at most {KEY_BYTES} are taken")]
    TooLarge(usize),
    /// It does not begin with the name of its algorithm.
    #[error("a host's key that does not begin with the name of an algorithm")]
    NoAlgorithm,
    /// Not written as a public key is.
    #[error("this is not a public key: write it as in a .pub file, 'ssh-ed25519 AAAA…'")]
    Text,
}

impl HostKey {
    /// Reads a key as it is on the wire.
    ///
    /// # Errors
    ///
    /// Where it is too large or has no algorithm.
    pub fn read(blob: Vec<u8>) -> Result<Self, InvalidKey> {
        if blob.len() > KEY_BYTES {
            return Err(InvalidKey::TooLarge(blob.len()));
        }
        let algorithm = algorithm_of(&blob).ok_or(InvalidKey::NoAlgorithm)?.to_owned();
        let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob)));
        Ok(Self {
            algorithm,
            fingerprint,
            blob,
        })
    }

    /// Returns its algorithm, such as `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// Returns its fingerprint as OpenSSH prints it: `SHA256:…`.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns the key as on the wire.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }
}

/// The key as in a `.pub` file, without a comment.
impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, STANDARD.encode(&self.blob))
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({} {})", self.algorithm, self.fingerprint)
    }
}

impl FromStr for HostKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let mut words = text.split_ascii_whitespace();
        let (Some(algorithm), Some(key)) = (words.next(), words.next()) else {
            return Err(InvalidKey::Text);
        };
        if key.len() > KEY_BYTES * 2 {
            return Err(InvalidKey::TooLarge(key.len() / 4 * 3));
        }
        let key = Self::read(STANDARD.decode(key).map_err(|_| InvalidKey::Text)?)?;
        if key.algorithm == algorithm {
            Ok(key)
        } else {
            Err(InvalidKey::Text)
        }
    }
}

/// Returns the name with which a key on the wire begins: letters, digits and punctuation alone, since it is shown.
fn algorithm_of(blob: &[u8]) -> Option<&str> {
    let length = u32::from_be_bytes(*blob.first_chunk::<4>()?);
    let name = blob.get(4..)?.get(..usize::try_from(length).ok()?)?;
    let name = std::str::from_utf8(name).ok()?;
    let fits =
        (1..=ALGORITHM_BYTES).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(name)
}

/// A key without its bytes: what is compared and shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeenKey {
    /// Its algorithm.
    pub algorithm: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// When it was first seen.
    pub seen_at: Timestamp,
}

impl SeenKey {
    /// Returns a key that is seen for the first time.
    #[must_use]
    pub fn new(key: &HostKey, seen_at: Timestamp) -> Self {
        Self {
            algorithm: key.algorithm.clone(),
            fingerprint: key.fingerprint.clone(),
            seen_at,
        }
    }
}

impl fmt::Display for SeenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.fingerprint, self.algorithm)
    }
}

/// What is known of a host under one of its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownHost {
    /// The keys that it may show, the first seen first.
    pub pinned: Vec<SeenKey>,
    /// Others that it has shown since, the first seen first. Where there is one, the host is in quarantine.
    pub offered: Vec<SeenKey>,
}

impl KnownHost {
    /// Tells whether nothing is connected to it until a person decides.
    #[must_use]
    pub fn is_quarantined(&self) -> bool {
        !self.offered.is_empty()
    }

    /// Tells whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.pinned.is_empty() && self.offered.is_empty()
    }

    /// Tells whether a key of this fingerprint is pinned.
    #[must_use]
    pub fn has_pinned(&self, fingerprint: &str) -> bool {
        self.pinned.iter().any(|key| key.fingerprint == fingerprint)
    }

    /// Tells whether a key of this fingerprint was offered.
    #[must_use]
    pub fn has_offered(&self, fingerprint: &str) -> bool {
        self.offered.iter().any(|key| key.fingerprint == fingerprint)
    }

    /// Takes note of a key that the host has shown. Where nothing is known of it, the key is pinned if `pin` says so.
    /// Where other keys are pinned, it is offered: that ends with a person's decision alone. Of more than [`OFFERED`]
    /// the latest stay.
    pub fn show(&mut self, key: &HostKey, pin: bool, at: Timestamp) {
        if self.has_pinned(key.fingerprint()) || self.has_offered(key.fingerprint()) {
            return;
        }
        let seen = SeenKey::new(key, at);
        if !self.is_unknown() {
            if self.offered.len() >= OFFERED {
                self.offered.remove(0);
            }
            self.offered.push(seen);
        } else if pin {
            self.pinned.push(seen);
        }
    }

    /// Does what a person decided.
    ///
    /// # Errors
    ///
    /// Where what is known has changed meanwhile, or never was as the decision has it. Then nothing is changed.
    pub fn decide(&mut self, decision: &Decision, at: Timestamp) -> Result<(), Undecidable> {
        match decision {
            Decision::Pin(keys) => self.pin(keys, at),
            Decision::Accept(fingerprint) => {
                if self.has_pinned(fingerprint) && !self.is_quarantined() {
                    return Ok(());
                }
                let offered = self.offered.iter().find(|key| key.fingerprint == *fingerprint);
                let accepted = offered.cloned().ok_or(Undecidable::NotOffered)?;
                self.pinned = vec![accepted];
                self.offered.clear();
                Ok(())
            }
            Decision::Keep if self.is_unknown() => Err(Undecidable::Unknown),
            Decision::Keep => {
                self.offered.clear();
                Ok(())
            }
            Decision::Forget if self.is_unknown() => Err(Undecidable::Unknown),
            Decision::Forget => {
                *self = Self::default();
                Ok(())
            }
        }
    }

    fn pin(&mut self, keys: &[HostKey], at: Timestamp) -> Result<(), Undecidable> {
        if keys.is_empty() || keys.len() > PINNED {
            return Err(Undecidable::Count);
        }
        if self.is_unknown() {
            for key in keys {
                if !self.has_pinned(key.fingerprint()) {
                    self.pinned.push(SeenKey::new(key, at));
                }
            }
            return Ok(());
        }
        if !self.is_quarantined() && keys.iter().all(|key| self.has_pinned(key.fingerprint())) {
            return Ok(());
        }
        Err(Undecidable::Others)
    }
}

/// Why a decision about a host's keys cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecidable {
    /// The fingerprint is none of those that were offered.
    #[error("the host has not offered a key of that fingerprint")]
    NotOffered,
    /// The host is known by other keys.
    #[error("the host is known by other keys: look at them first")]
    Others,
    /// Nothing is known of the host.
    #[error("no key of that host is known")]
    Unknown,
    /// No key, or too many.
    #[error("a host is known by 1 to {PINNED} keys")]
    Count,
}

/// What a person decides about a host's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// These are its keys. Only where nothing is known of the host, or just these.
    Pin(Vec<HostKey>),
    /// The offered key of this fingerprint takes the place of all that are pinned, and the quarantine ends.
    Accept(String),
    /// The offered keys are forgotten, and the quarantine ends. What is pinned stays.
    Keep,
    /// Everything is forgotten: the host is unknown.
    Forget,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBJTTLz1kUnjN7rB4GUMsDrqxVVB7rgvD9uoCf7NU7Tn comment";

    fn blob(algorithm: &str, more: usize) -> Vec<u8> {
        let mut blob = u32::try_from(algorithm.len()).unwrap().to_be_bytes().to_vec();
        blob.extend_from_slice(algorithm.as_bytes());
        blob.resize(blob.len() + more, 7);
        blob
    }

    #[test]
    fn a_key_is_read_from_its_line_and_written_back() {
        let key: HostKey = PUBLIC.parse().unwrap();
        assert_eq!(key.algorithm(), "ssh-ed25519");
        assert!(key.fingerprint().starts_with("SHA256:") && key.fingerprint().len() == 50);
        assert_eq!(key.to_string(), PUBLIC.trim_end_matches(" comment"));
        assert_eq!(HostKey::read(key.blob().to_vec()), Ok(key));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let largest = KEY_BYTES - 4 - "ssh-x".len();
        assert!(HostKey::read(blob("ssh-x", largest)).is_ok());
        assert_eq!(
            HostKey::read(blob("ssh-x", largest + 1)),
            Err(InvalidKey::TooLarge(KEY_BYTES + 1))
        );
        for algorithm in ["", "a b", "\u{1b}[2J", "über", &"x".repeat(65)] {
            assert_eq!(
                HostKey::read(blob(algorithm, 8)),
                Err(InvalidKey::NoAlgorithm),
                "{algorithm:?}"
            );
        }
        for bytes in [&[][..], &[0, 0, 0], &[0, 0, 0, 9, b'x'], &[255, 255, 255, 255]] {
            assert_eq!(HostKey::read(bytes.to_vec()), Err(InvalidKey::NoAlgorithm));
        }
        let ecdsa = PUBLIC.replace("ssh-ed25519", "ssh-rsa");
        for text in ["", "ssh-ed25519", "ssh-ed25519 !!!", &ecdsa] {
            assert_eq!(text.parse::<HostKey>(), Err(InvalidKey::Text), "{text}");
        }
    }

    fn key(seed: u8) -> HostKey {
        HostKey::read([&blob("ssh-x", 0)[..], &[seed]].concat()).unwrap()
    }

    fn host(pinned: &[u8], offered: &[u8]) -> KnownHost {
        let seen = |seeds: &[u8]| {
            seeds
                .iter()
                .map(|seed| SeenKey::new(&key(*seed), Timestamp(0)))
                .collect()
        };
        KnownHost {
            pinned: seen(pinned),
            offered: seen(offered),
        }
    }

    #[test]
    fn a_key_that_is_shown_is_pinned_first_and_offered_ever_after() {
        for (before, shown, pin, after) in [
            (host(&[], &[]), 1, false, host(&[], &[])),
            (host(&[], &[]), 1, true, host(&[1], &[])),
            (host(&[1], &[]), 1, true, host(&[1], &[])),
            (host(&[1], &[]), 2, true, host(&[1], &[2])),
            (host(&[1], &[]), 2, false, host(&[1], &[2])),
            (host(&[1], &[2]), 1, true, host(&[1], &[2])),
            (host(&[1], &[2]), 2, true, host(&[1], &[2])),
            (host(&[1], &[2, 3, 4, 5]), 6, true, host(&[1], &[3, 4, 5, 6])),
            (host(&[1, 2], &[]), 2, false, host(&[1, 2], &[])),
        ] {
            let mut known = before.clone();
            known.show(&key(shown), pin, Timestamp(0));
            assert_eq!(known, after, "{before:?} shows {shown}");
        }
    }

    #[test]
    fn a_decision_holds_for_what_the_person_has_seen() {
        let accept = |seed| Decision::Accept(key(seed).fingerprint().to_owned());
        let pin = |seeds: &[u8]| Decision::Pin(seeds.iter().map(|seed| key(*seed)).collect());
        for (before, decision, after) in [
            (host(&[1], &[2, 3]), accept(3), Ok(host(&[3], &[]))),
            (host(&[3], &[]), accept(3), Ok(host(&[3], &[]))),
            (host(&[1], &[2]), accept(1), Err(Undecidable::NotOffered)),
            (host(&[1], &[2]), accept(4), Err(Undecidable::NotOffered)),
            (host(&[], &[]), accept(4), Err(Undecidable::NotOffered)),
            (host(&[1], &[2]), Decision::Keep, Ok(host(&[1], &[]))),
            (host(&[1], &[]), Decision::Keep, Ok(host(&[1], &[]))),
            (host(&[], &[]), Decision::Keep, Err(Undecidable::Unknown)),
            (host(&[1], &[2]), Decision::Forget, Ok(host(&[], &[]))),
            (host(&[], &[]), Decision::Forget, Err(Undecidable::Unknown)),
            (host(&[], &[]), pin(&[1, 2, 1]), Ok(host(&[1, 2], &[]))),
            (host(&[1, 2], &[]), pin(&[2]), Ok(host(&[1, 2], &[]))),
            (host(&[1], &[]), pin(&[1, 2]), Err(Undecidable::Others)),
            (host(&[1], &[2]), pin(&[1]), Err(Undecidable::Others)),
            (host(&[], &[]), pin(&[]), Err(Undecidable::Count)),
        ] {
            let mut known = before.clone();
            let decided = known.decide(&decision, Timestamp(0));
            assert_eq!(decided.map(|()| known), after, "{before:?} {decision:?}");
        }
    }
}
