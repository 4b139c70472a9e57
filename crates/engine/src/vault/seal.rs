//! The cipher: XChaCha20-Poly1305, a random nonce for each record, and a format with a version.
//!
//! A sealed record is one byte of version, 24 of nonce, the ciphertext, 16 of tag. What stands beside it in the
//! database (name, user, contents, the key's id) is authenticated with it: a record that was moved to another name
//! does not open.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use muster_model::Problem;
use muster_model::problem::Code;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// The version of the format.
const VERSION: u8 = 1;
/// The length of a key, in bytes.
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What a canary holds.
const CANARY: &[u8] = b"the key is right";

/// A key of the vault.
pub(crate) struct MasterKey {
    id: String,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl MasterKey {
    /// Makes a new key.
    pub(super) fn random() -> Result<Self, Problem> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        random(&mut *key)?;
        Ok(Self::new(key))
    }

    pub(super) fn new(key: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"muster vault key id");
        hash.update(*key);
        let mut id = String::with_capacity(16);
        for byte in hash.finalize().iter().take(8) {
            let _ = write!(id, "{byte:02x}");
        }
        Self { id, key }
    }

    /// Reads a key: 32 bytes in base64.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES + 3]);
        match STANDARD.decode_slice(text, &mut *bytes) {
            Ok(KEY_BYTES) => {
                let mut key = Zeroizing::new([0; KEY_BYTES]);
                key.copy_from_slice(&bytes[..KEY_BYTES]);
                Some(Self::new(key))
            }
            _ => None,
        }
    }

    /// Returns the key as text.
    pub(super) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(*self.key))
    }

    /// Returns the name by which records say which key they are sealed with: a digest of the key, so nothing but the
    /// key itself has to be kept.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        let mut key = Key::from(*self.key);
        let cipher = XChaCha20Poly1305::new(&key);
        key.as_mut_slice().zeroize();
        cipher
    }

    /// Seals bytes; `about` must be the same when they are opened.
    pub(super) fn seal(&self, about: &About<'_>, plain: &[u8]) -> Result<Bytes, Problem> {
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        self.seal_with(nonce, about, plain)
            .ok_or_else(|| Problem::new(Code::Internal, "a secret could not be sealed"))
    }

    pub(super) fn seal_with(
        &self,
        nonce: [u8; NONCE_BYTES],
        about: &About<'_>,
        plain: &[u8],
    ) -> Option<Bytes> {
        // Room for all of it from the start: a buffer that grows leaves its old place behind.
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + plain.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let data = about.bytes(&self.id);
        let text = sealed.get_mut(1 + NONCE_BYTES..)?;
        let tag = self
            .cipher()
            .encrypt_inout_detached(&XNonce::from(nonce), &data, text.into());
        match tag {
            Ok(tag) => sealed.extend_from_slice(&tag),
            Err(_) => {
                sealed.zeroize();
                return None;
            }
        }
        Some(sealed.into())
    }

    /// Opens what was sealed with this key and the same `about`; None where anything of it was changed, or the key is
    /// another.
    pub(super) fn open(&self, about: &About<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (version, rest) = sealed.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (nonce, rest) = rest.split_at_checked(NONCE_BYTES)?;
        let (text, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let tag: [u8; TAG_BYTES] = tag.try_into().ok()?;
        let mut plain = Zeroizing::new(text.to_vec());
        let data = about.bytes(&self.id);
        self.cipher()
            .decrypt_inout_detached(
                &XNonce::from(nonce),
                &data,
                plain.as_mut_slice().into(),
                &Tag::from(tag),
            )
            .ok()?;
        Some(plain)
    }

    /// Returns what tells later whether a key is this one.
    pub(super) fn canary(&self) -> Result<Bytes, Problem> {
        self.seal(&About::CANARY, CANARY)
    }

    /// Tells whether a canary is of this key.
    pub(super) fn knows(&self, canary: &[u8]) -> bool {
        self.open(&About::CANARY, canary)
            .is_some_and(|plain| plain.as_slice() == CANARY)
    }
}

/// What is authenticated with a record.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) what: &'a str,
    pub(super) name: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) holds: &'a str,
    pub(super) public_key: Option<&'a str>,
}

impl About<'_> {
    const CANARY: Self = Self {
        what: "canary",
        name: "",
        user: None,
        holds: "",
        public_key: None,
    };

    /// Returns it as bytes that no other could give: each part with its length before it.
    fn bytes(&self, key: &str) -> Vec<u8> {
        let mut bytes = b"muster vault".to_vec();
        bytes.push(VERSION);
        let mut part = |text: Option<&str>| {
            bytes.push(u8::from(text.is_some()));
            let text = text.unwrap_or_default();
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        };
        for text in [
            Some(self.what),
            Some(key),
            Some(self.name),
            self.user,
            Some(self.holds),
            self.public_key,
        ] {
            part(text);
        }
        bytes
    }
}

fn random(bytes: &mut [u8]) -> Result<(), Problem> {
    getrandom::fill(bytes).map_err(|error| {
        Problem::new(
            Code::Internal,
            format!("this machine gives no random bytes: {error}"),
        )
    })
}
