//! One line of `known_hosts`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::adapters::ssh::config::matches;

/// What a line says about its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// It is the host's key.
    None,
    /// It signs the host's certificates.
    CertAuthority,
    /// It must never be taken.
    Revoked,
}

/// For which hosts a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// Names without wildcards, in lower case.
    Plain(Vec<String>),
    /// Patterns, some of them with `!`, in lower case.
    Patterns(Vec<String>),
    /// One name, hashed.
    Hashed {
        /// The key of the hash.
        salt: Vec<u8>,
        /// The hash.
        hash: Vec<u8>,
    },
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its number, from 1.
    pub(crate) line: usize,
    /// What it says about the key.
    pub(crate) marker: Marker,
    /// For which hosts.
    pub(crate) hosts: Hosts,
    /// The key's algorithm, as on the wire (`ssh-ed25519`).
    pub(crate) algorithm: String,
    /// The key as on the wire.
    pub(crate) key: Vec<u8>,
}

impl Entry {
    /// Reads a line; None where it says nothing that could be used, which OpenSSH passes over as well.
    pub(crate) fn read(line: usize, text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let mut hosts = words.next().filter(|word| !word.starts_with('#'))?;
        let marker = match hosts {
            "@cert-authority" => Marker::CertAuthority,
            "@revoked" => Marker::Revoked,
            other if other.starts_with('@') => return None,
            _ => Marker::None,
        };
        if marker != Marker::None {
            hosts = words.next()?;
        }
        let algorithm = words.next()?;
        let key = STANDARD.decode(words.next()?).ok()?;
        if wire_name(&key)? != algorithm {
            return None;
        }
        Some(Self {
            line,
            marker,
            hosts: Hosts::read(hosts)?,
            algorithm: algorithm.to_owned(),
            key,
        })
    }
}

impl Hosts {
    fn read(text: &str) -> Option<Self> {
        if let Some(hashed) = text.strip_prefix('|') {
            let mut parts = hashed.split('|');
            let (Some("1"), Some(salt), Some(hash), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                return None;
            };
            return Some(Self::Hashed {
                salt: STANDARD.decode(salt).ok()?,
                hash: STANDARD.decode(hash).ok()?,
            });
        }
        let names: Vec<String> = text
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_lowercase)
            .collect();
        let patterns = names
            .iter()
            .any(|name| name.starts_with('!') || name.contains(['*', '?']));
        Some(if patterns {
            Self::Patterns(names)
        } else {
            Self::Plain(names)
        })
    }

    /// Tells whether the line stands for a host; `name` in lower case, as `known_hosts` writes it.
    pub(crate) fn contain(&self, name: &str) -> bool {
        match self {
            Self::Plain(names) => names.iter().any(|known| known == name),
            Self::Patterns(patterns) => {
                let mut found = false;
                for pattern in patterns {
                    match pattern.strip_prefix('!') {
                        Some(refused) if matches(refused, name) => return false,
                        Some(_) => {}
                        None => found |= matches(pattern, name),
                    }
                }
                found
            }
            Self::Hashed { salt, hash } => hash_of(name, salt) == *hash,
        }
    }
}

/// Hashes a name as `HashKnownHosts` does.
pub(crate) fn hash_of(name: &str, salt: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length: the error cannot happen.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(salt) else {
        return Vec::new();
    };
    mac.update(name.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Returns the algorithm's name with which a key on the wire begins.
pub(crate) fn wire_name(key: &[u8]) -> Option<&str> {
    let length = u32::from_be_bytes(*key.first_chunk::<4>()?);
    let name = key.get(4..)?.get(..usize::try_from(length).ok()?)?;
    std::str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty() && name.len() <= 64)
}
