//! What `ssh_config` says about a host. Reading is pure (text in, statements out) and finding a host's
//! options is pure too, over a [`Source`] that gives the files; [`disk`] is the one that reads real ones.
//!
//! Nothing in these files is ever executed: `Match exec` blocks are skipped, `ProxyCommand` is refused.

mod disk;
mod evaluate;
mod glob;
mod keywords;
mod line;
mod options;
mod pattern;
mod statement;
mod tokens;

pub(crate) use disk::Disk;
#[cfg(feature = "fuzzing")]
pub(crate) use evaluate::Problem;
pub(crate) use evaluate::{Asked, Root, Source, evaluate};
#[cfg(feature = "fuzzing")]
pub(crate) use line::split;
pub(crate) use options::{AddressFamily, Options, Proxy, StrictHostKeyChecking};
pub(crate) use pattern::matches;
#[cfg(feature = "fuzzing")]
pub(crate) use statement::{Numbered, read};
pub(crate) use tokens::{Tokens, expand, expand_path};
