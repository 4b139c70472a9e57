//! Which host keys are trusted: `known_hosts` as OpenSSH reads it, indexed, and read again only when it
//! changes. Nothing is written there: new keys are pinned in the inventory.

mod certificate;
mod disk;
mod entry;
mod index;
mod verdict;

pub(crate) use disk::{load, load_revoked};
#[cfg(feature = "fuzzing")]
pub(crate) use entry::{Entry, hash_of};
pub(crate) use index::KnownHosts;
pub(crate) use verdict::{Found, Names, Verdict, judge, known_algorithms};

#[cfg(test)]
mod tests;
