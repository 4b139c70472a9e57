//! The keys by which hosts are known: a copy of the database's in memory, which logins ask, and people's verbs.

mod copy;
mod keeper;
mod scan;
mod verbs;

pub use keeper::HostKeys;
