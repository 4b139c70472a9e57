//! SSH servers that are a stranger's: each speaks the protocol as far as its case wants, and then breaks it.
//!
//! The server's side of SSH is written here by hand and for one set of algorithms alone (curve25519-sha256,
//! ssh-ed25519, aes128-gcm): every byte of it is a case's to choose, which no library's server allows. It lets
//! everybody in and runs nothing.

mod cases;
mod cipher;
mod exchange;
mod host;
mod message;
mod peer;

pub use cases::{Case, Conduct, Ends, cases, honest};
pub use host::Host;
