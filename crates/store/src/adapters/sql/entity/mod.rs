//! The tables as SeaORM entities.
//!
//! Types are those that SQLite, MariaDB and PostgreSQL share: times are microseconds in a BIGINT, counts and
//! indexes are BIGINT (there is no unsigned everywhere), structures are JSON in text, and no column is named
//! by a keyword of any of the three.

pub(crate) mod attempt;
pub(crate) mod children;
pub(crate) mod credential;
pub(crate) mod executor;
pub(crate) mod facts;
pub(crate) mod group;
pub(crate) mod host;
pub(crate) mod host_key;
pub(crate) mod input;
pub(crate) mod member;
pub(crate) mod output;
pub(crate) mod run;
pub(crate) mod task;
pub(crate) mod task_secret;
pub(crate) mod term;
pub(crate) mod vault_key;
