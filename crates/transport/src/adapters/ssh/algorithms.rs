//! Which algorithms are offered to a host, and in which order.

use std::borrow::Cow;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression, kex, mac};

use super::config::matches;

/// Lists as `ssh_config` writes them: a list, or `+`, `-` or `^` and a list. None: the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Lists {
    pub(crate) kex: Option<String>,
    pub(crate) ciphers: Option<String>,
    pub(crate) macs: Option<String>,
    pub(crate) host_keys: Option<String>,
}

// The post-quantum hybrid first, as in OpenSSH 10: what is recorded today is not read by tomorrow's machines,
// and next to the signatures of a login its lattice part costs little. Then elliptic curves, then plain
// Diffie-Hellman, never with SHA-1.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_GEX_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G14_SHA256,
];

/// What is told in the same list without being a key exchange: strict key exchange (against CVE-2023-48795)
/// and the list of signature algorithms.
const KEX_EXTENSIONS: &[kex::Name] = &[
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// Only for those who ask for them by name.
const KEX_OLD: &[kex::Name] = &[
    kex::DH_G15_SHA512,
    kex::DH_G17_SHA512,
    kex::DH_G14_SHA1,
    kex::DH_GEX_SHA1,
    kex::DH_G1_SHA1,
];

// AES-GCM runs on the processor's own instructions: twice as fast as ChaCha20 on all but small machines.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_CTR,
    cipher::AES_192_CTR,
    cipher::AES_256_CTR,
];

const CIPHERS_OLD: &[cipher::Name] = &[cipher::AES_128_CBC, cipher::AES_192_CBC, cipher::AES_256_CBC];

const MACS: &[mac::Name] = &[
    mac::HMAC_SHA256_ETM,
    mac::HMAC_SHA512_ETM,
    mac::HMAC_SHA256,
    mac::HMAC_SHA512,
];

const MACS_OLD: &[mac::Name] = &[mac::HMAC_SHA1_ETM, mac::HMAC_SHA1];

const HOST_KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
];

/// Returns what to offer to a host that is known by keys of the algorithms `known`, and for which an
/// authority may sign where `authority`. What is known goes first: a host with several keys then shows the
/// one that can be checked.
///
/// # Errors
///
/// Which list of `ssh_config` leaves nothing, for people.
pub(crate) fn preferred(lists: &Lists, known: &[String], authority: bool) -> Result<Preferred, String> {
    let nothing = |option: &str| format!("{option} in ssh_config leaves no algorithm that Muster knows");
    let mut kex = pick(lists.kex.as_deref(), KEX, KEX_OLD).ok_or_else(|| nothing("KexAlgorithms"))?;
    kex.extend(KEX_EXTENSIONS);
    let cipher = pick(lists.ciphers.as_deref(), CIPHERS, CIPHERS_OLD).ok_or_else(|| nothing("Ciphers"))?;
    let mac = pick(lists.macs.as_deref(), MACS, MACS_OLD).ok_or_else(|| nothing("MACs"))?;

    let certificate = |algorithm: &Algorithm| algorithm.to_certificate_type();
    let names: Vec<String> = HOST_KEYS
        .iter()
        .map(certificate)
        .chain(HOST_KEYS.iter().map(|algorithm| algorithm.as_str().to_owned()))
        .collect();
    let chosen = pick(lists.host_keys.as_deref(), &names, &[]).ok_or_else(|| nothing("HostKeyAlgorithms"))?;
    let of = |name: &String, find: &dyn Fn(&Algorithm) -> String| {
        HOST_KEYS
            .iter()
            .find(|algorithm| find(algorithm) == *name)
            .cloned()
    };
    let plain = |algorithm: &Algorithm| algorithm.as_str().to_owned();
    let mut keys: Vec<Algorithm> = chosen.iter().filter_map(|name| of(name, &plain)).collect();
    let fixed = lists
        .host_keys
        .as_deref()
        .is_some_and(|list| !list.starts_with(['+', '-', '^']));
    if !fixed {
        keys.sort_by_key(|algorithm| !known.iter().any(|name| *name == key_type(algorithm)));
    }
    let certificates: Vec<Algorithm> = match authority {
        true => chosen.iter().filter_map(|name| of(name, &certificate)).collect(),
        false => Vec::new(),
    };
    if keys.is_empty() && certificates.is_empty() {
        return Err(nothing("HostKeyAlgorithms"));
    }
    Ok(Preferred {
        kex: Cow::Owned(kex),
        key: Cow::Owned(keys),
        host_key_certificates: Cow::Owned(certificates),
        cipher: Cow::Owned(cipher),
        mac: Cow::Owned(mac),
        compression: Cow::Borrowed(&[compression::NONE]),
    })
}

/// Returns the type of a key as `known_hosts` writes it: RSA has one for all its signature algorithms.
fn key_type(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa".to_owned(),
        other => other.as_str().to_owned(),
    }
}

/// Applies a list to the defaults as OpenSSH does; `more` are those that only a name in the list brings in.
fn pick<T: Clone + PartialEq + AsRef<str>>(list: Option<&str>, defaults: &[T], more: &[T]) -> Option<Vec<T>> {
    let Some(list) = list else {
        return Some(defaults.to_vec());
    };
    let (mode, names) = match list.split_at_checked(1) {
        Some((mode @ ("+" | "-" | "^"), names)) => (mode, names),
        _ => ("", list),
    };
    let patterns: Vec<&str> = names
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let mut named: Vec<T> = Vec::new();
    for pattern in &patterns {
        for one in defaults
            .iter()
            .chain(more)
            .filter(|one| matches(pattern, one.as_ref()))
        {
            if !named.contains(one) {
                named.push(one.clone());
            }
        }
    }
    let rest = defaults.iter().filter(|one| !named.contains(one)).cloned();
    let picked: Vec<T> = match mode {
        "+" => {
            let new = named.iter().filter(|one| !defaults.contains(one)).cloned();
            defaults.iter().cloned().chain(new).collect()
        }
        "-" => rest.collect(),
        "^" => named.iter().cloned().chain(rest).collect(),
        _ => named.clone(),
    };
    (!picked.is_empty()).then_some(picked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kexes(list: &str) -> Vec<String> {
        let lists = Lists {
            kex: Some(list.to_owned()),
            ..Lists::default()
        };
        let preferred = preferred(&lists, &[], false).unwrap();
        let names = preferred.kex.iter().filter(|name| !KEX_EXTENSIONS.contains(name));
        names.map(|name| name.as_ref().to_owned()).collect()
    }

    #[test]
    fn lists_replace_add_remove_and_put_first() {
        assert_eq!(kexes("curve25519-sha256"), ["curve25519-sha256"]);
        let added = kexes("+diffie-hellman-group14-sha1");
        assert_eq!(added.len(), KEX.len() + 1);
        assert_eq!(added.last().unwrap(), "diffie-hellman-group14-sha1");
        assert!(
            !kexes("-mlkem*,ecdh-*")
                .iter()
                .any(|name| name.starts_with("ecdh") || name.starts_with("mlkem"))
        );
        assert_eq!(kexes("^ecdh-sha2-nistp521")[0], "ecdh-sha2-nistp521");
    }

    #[test]
    fn a_list_that_leaves_nothing_is_named() {
        let lists = Lists {
            ciphers: Some("none,rot13".to_owned()),
            ..Lists::default()
        };
        assert!(preferred(&lists, &[], false).unwrap_err().contains("Ciphers"));
    }

    #[test]
    fn what_is_known_is_asked_for_first_and_sha1_never() {
        let known = ["ssh-rsa".to_owned()];
        let names = |preferred: &Preferred| -> Vec<String> {
            preferred
                .key
                .iter()
                .map(|algorithm| algorithm.as_str().to_owned())
                .collect()
        };
        let rsa = preferred(&Lists::default(), &known, false).unwrap();
        assert_eq!(names(&rsa)[..3], ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]);
        assert!(rsa.host_key_certificates.is_empty());
        assert!(!names(&rsa).contains(&"ssh-rsa".to_owned()));
        let authority = preferred(&Lists::default(), &[], true).unwrap();
        assert_eq!(names(&authority)[0], "ssh-ed25519");
        assert_eq!(authority.host_key_certificates.len(), HOST_KEYS.len());
    }
}
