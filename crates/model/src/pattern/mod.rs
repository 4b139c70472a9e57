//! Host patterns: ClusterShell's nodeset language, `web[01-20,25]!web07,@db`.
//!
//! [`expand`] and [`expand_all`] turn patterns into host names, [`fold`] turns names into the shortest
//! pattern, both in the order and the form of the `nodeset` command. What a pattern costs is known from its
//! text: one that is too large is refused before its hosts are made. `docs/guide/patterns.md` is the guide
//! for users, with the places where Muster differs from ClusterShell on purpose.
//!
//! How a set is held: a host name is a template and the numbers in it (`web07n2` is `web%sn%s` with 07 and
//! 2), and a set is, for each template, the set of its vectors of numbers. The order of hosts is that of
//! their templates and, within one, of the boxes of vectors that folding finds.

mod axis;
mod boxes;
mod error;
mod evaluate;
mod fold;
mod groups;
mod index;
mod name;
mod parse;
mod set;
mod wildcard;
mod work;

#[cfg(test)]
mod tests;

pub use error::{Error, Fault};
pub use evaluate::{expand, expand_all};
pub use fold::{compare, fold, sort};
pub use groups::{Groups, NoGroups};
