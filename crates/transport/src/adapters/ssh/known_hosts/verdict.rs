//! What `known_hosts` says about the key that a host presents.

use std::path::PathBuf;
use std::sync::Arc;

use muster_model::host_key::{HostKey, KnownHost};
use russh::keys::Certificate;

use super::certificate;
use super::entry::{Entry, Marker};
use super::index::KnownHosts;

/// The names under which a host may stand in `known_hosts`, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Names {
    /// The names that decide, the first that is known: `web1`, `[web1]:2222`. Never empty.
    pub(crate) names: Vec<String>,
    /// Names that are good for the same key or an authority only: without a port that is not 22.
    pub(crate) without_port: Vec<String>,
    /// The name that a certificate has to be made out for.
    pub(crate) principal: String,
}

/// Where a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The file.
    pub(crate) file: PathBuf,
    /// The line, from 1.
    pub(crate) line: usize,
    /// The key's algorithm.
    pub(crate) algorithm: String,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The key is the host's, or a trusted authority says so.
    Known,
    /// Nothing is known about the host.
    Unknown,
    /// Other keys are pinned.
    NotPinned,
    /// The files know the host by other keys.
    Changed(Found),
    /// The key is marked as revoked.
    Revoked(Found),
    /// A trusted authority has signed a certificate that is not good for this host or this day.
    BadCertificate(String),
}

/// Judges the key that a host presents; `key` is for a certificate the key inside. What is revoked goes before
/// everything, then a trusted authority, then what is `pinned`, then the keys in the files.
pub(crate) fn judge(
    files: &[Arc<KnownHosts>],
    pinned: &KnownHost,
    names: &Names,
    key: &HostKey,
    presented: Option<&Certificate>,
    now: u64,
) -> Verdict {
    let authority = presented.and_then(certificate::authority);
    let all = names.names.iter().chain(&names.without_port);
    for (file, entry) in all.flat_map(|name| lookup(files, name)) {
        let meant = entry.key == key.blob() || authority.as_ref().is_some_and(|blob| entry.key == *blob);
        if entry.marker == Marker::Revoked && meant {
            return Verdict::Revoked(found(file, entry));
        }
    }
    if let (Some(certificate), Some(authority)) = (presented, &authority) {
        let trusted = names
            .names
            .iter()
            .chain(&names.without_port)
            .flat_map(|name| lookup(files, name))
            .any(|(_, entry)| entry.marker == Marker::CertAuthority && entry.key == *authority);
        if trusted {
            return match certificate::check(certificate, &names.principal, now) {
                Ok(()) => Verdict::Known,
                Err(why) => Verdict::BadCertificate(why),
            };
        }
        // As OpenSSH does: a certificate that nobody here trusts is taken for the key inside.
    }
    if !pinned.pinned.is_empty() {
        return match pinned.has_pinned(key.fingerprint()) {
            true => Verdict::Known,
            false => Verdict::NotPinned,
        };
    }
    by_files(files, names, key)
}

/// Judges a key by the files' keys alone.
fn by_files(files: &[Arc<KnownHosts>], names: &Names, key: &HostKey) -> Verdict {
    for name in &names.names {
        let known: Vec<_> = keys(files, name).collect();
        if known.iter().any(|(_, entry)| entry.key == key.blob()) {
            return Verdict::Known;
        }
        let other = known
            .iter()
            .find(|(_, entry)| entry.algorithm == key.algorithm())
            .or(known.first());
        if let Some((file, entry)) = other {
            return Verdict::Changed(found(file, entry));
        }
    }
    let elsewhere = names
        .without_port
        .iter()
        .flat_map(|name| keys(files, name))
        .any(|(_, entry)| entry.key == key.blob());
    if elsewhere {
        Verdict::Known
    } else {
        Verdict::Unknown
    }
}

/// Returns the algorithms of the keys by which a host is known, and whether an authority may sign for it:
/// what to ask the host for first.
pub(crate) fn known_algorithms(files: &[Arc<KnownHosts>], names: &Names) -> (Vec<String>, bool) {
    let mut algorithms = Vec::new();
    let mut authority = false;
    for name in names.names.iter().chain(&names.without_port) {
        for (_, entry) in lookup(files, name) {
            match entry.marker {
                Marker::CertAuthority => authority = true,
                Marker::None if !algorithms.contains(&entry.algorithm) => {
                    algorithms.push(entry.algorithm.clone());
                }
                Marker::None | Marker::Revoked => {}
            }
        }
    }
    (algorithms, authority)
}

fn lookup<'a>(
    files: &'a [Arc<KnownHosts>],
    name: &str,
) -> impl Iterator<Item = (&'a KnownHosts, &'a Entry)> + use<'a> {
    let found: Vec<_> = files
        .iter()
        .flat_map(|file| file.lookup(name).into_iter().map(move |entry| (&**file, entry)))
        .collect();
    found.into_iter()
}

fn keys<'a>(
    files: &'a [Arc<KnownHosts>],
    name: &str,
) -> impl Iterator<Item = (&'a KnownHosts, &'a Entry)> + use<'a> {
    lookup(files, name).filter(|(_, entry)| entry.marker == Marker::None)
}

fn found(file: &KnownHosts, entry: &Entry) -> Found {
    Found {
        file: file.path().to_owned(),
        line: entry.line,
        algorithm: entry.algorithm.clone(),
    }
}
