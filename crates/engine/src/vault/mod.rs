//! Credentials: sealed before they reach the database, opened for one login at a time.
//!
//! `seal` knows the cipher and its format, `contents` what is sealed, `source` and `key_file` where the key comes from,
//! `ring` which keys this process has, `rekey` how one key takes another's place, `verbs` and `door` what may be asked. A secret
//! in plain text exists in buffers that are wiped, and no longer than its use.

mod contents;
mod door;
mod key_file;
mod rekey;
mod ring;
mod seal;
mod source;
mod task_secrets;
#[cfg(test)]
mod tests;
mod verbs;

pub(crate) use ring::{Handle, Vault};
pub use source::KeySource;
