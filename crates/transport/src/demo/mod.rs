//! SSH hosts inside this process, for `muster demo`: nothing has to be installed to try Muster on several
//! machines at once.
//!
//! Each host has its own loopback address, home folder, hostname and host key, and runs commands as real
//! processes in sessions of their own. Only one generated client key is let in, and only as the user who runs
//! the process. It is a demonstration: never an SSH server for others.

mod addresses;
mod command;
mod files;
mod hosts;
mod server;
mod sweep;
#[cfg(test)]
mod tests;

pub use hosts::{Host, Hosts};
