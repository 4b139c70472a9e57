//! Inventories of other tools, read into our document and written from it. Reads the local files that it is given and
//! those that belong to them; asks no server, runs no program, and never shows a secret. `docs/guide/inventory.md`
//! says what is taken from where.

mod ansible;
mod clustershell;
mod csv;
mod draft;
mod fault;
mod files;
mod format;
mod hosts_file;
mod json;
mod list;
mod read;
mod ssh_config;
mod write;
mod yaml;

#[cfg(test)]
mod tests;

pub use fault::Fault;
pub use format::Format;
pub use read::{Read, read};
pub use write::write;
