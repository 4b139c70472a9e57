//! The key exchange: curve25519-sha256 (RFC 8731), signed with ssh-ed25519.

use std::io;

use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::cipher::{Gcm, failed};
use super::message::{ECDH_REPLY, KEXINIT, Message};

/// The name lists of a KEXINIT that clients accept.
const LISTS: [&str; 10] = [
    "curve25519-sha256",
    "ssh-ed25519",
    "aes128-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-256",
    "none",
    "none",
    "",
    "",
];

/// Returns a KEXINIT; `kex` are the key exchanges that it offers.
pub(super) fn kexinit(kex: &str) -> Vec<u8> {
    let start = Message::new(KEXINIT).raw(&[7; 16]);
    let lists = std::iter::once(kex).chain(LISTS.into_iter().skip(1));
    lists
        .fold(start, |message, list| message.string(list))
        .byte(0)
        .number(0)
        .done()
}

/// The usual key exchange.
pub(super) fn usual() -> Vec<u8> {
    kexinit(LISTS[0])
}

/// What both sides have said before the exchange.
pub(super) struct Said<'a> {
    pub(super) client_version: &'a [u8],
    pub(super) server_version: &'a [u8],
    pub(super) client_init: &'a [u8],
    pub(super) server_init: &'a [u8],
    /// The client's point.
    pub(super) point: &'a [u8],
}

/// How a host's proof of its key is spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Good,
    /// A signature of something else.
    Forged,
    /// A key of another type than was agreed on.
    OtherType,
}

/// The answer to the client's point, and what follows from it.
pub(super) struct Answer {
    /// The message.
    pub(super) reply: Vec<u8>,
    secret: Vec<u8>,
    hash: Vec<u8>,
}

/// Returns a key as it is sent.
pub(super) fn blob(key: &Ed25519KeyPair) -> Vec<u8> {
    Message::piece()
        .string("ssh-ed25519")
        .string(key.public_key())
        .done()
}

/// Answers the client's point.
pub(super) fn answer(key: &Ed25519KeyPair, said: &Said<'_>, proof: Proof) -> io::Result<Answer> {
    let own = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(failed)?;
    let public = own.compute_public_key().map_err(failed)?;
    let theirs = UnparsedPublicKey::new(&X25519, said.point);
    let secret = agree_ephemeral(own, &theirs, <[u8]>::to_vec).map_err(failed)?;
    let secret = Message::piece().mpint(&secret).done();
    let shown = match proof {
        Proof::OtherType => Message::piece()
            .string("ssh-rsa")
            .mpint(&[1, 0, 1])
            .mpint(&[0x99; 256])
            .done(),
        Proof::Good | Proof::Forged => blob(key),
    };
    let text = Message::piece()
        .string(said.client_version)
        .string(said.server_version)
        .string(said.client_init)
        .string(said.server_init)
        .string(&shown)
        .string(said.point)
        .string(&public)
        .raw(&secret)
        .done();
    let hash = digest(&SHA256, &text).as_ref().to_vec();
    let signature = match proof {
        Proof::Forged => key.sign(b"something else"),
        Proof::Good | Proof::OtherType => key.sign(&hash),
    };
    let signature = Message::piece().string("ssh-ed25519").string(signature).done();
    let reply = Message::new(ECDH_REPLY)
        .string(shown)
        .string(public)
        .string(signature)
        .done();
    Ok(Answer { reply, secret, hash })
}

impl Answer {
    /// The hash of this exchange: the first one names the connection.
    pub(super) fn hash(&self) -> &[u8] {
        &self.hash
    }

    /// Returns both directions: what the client sends, what the server sends.
    pub(super) fn keys(&self, session: &[u8]) -> io::Result<(Gcm, Gcm)> {
        let derive = |letter: u8| {
            let text = [&self.secret, &self.hash, &[letter][..], session].concat();
            digest(&SHA256, &text).as_ref().to_vec()
        };
        let direction = |nonce: u8, key: u8| {
            let mut start = [0; 12];
            start.copy_from_slice(&derive(nonce)[..12]);
            Gcm::new(&derive(key)[..16], start)
        };
        Ok((direction(b'A', b'C')?, direction(b'B', b'D')?))
    }
}
