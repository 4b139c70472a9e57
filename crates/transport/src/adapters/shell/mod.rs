//! What is said to a host's shell: command lines, scripts, sudo, and how a process tree is ended.
//!
//! Everything here is pure text, shared by the local and the SSH adapter.

pub(crate) mod dialogue;
pub(crate) mod kill;
pub(crate) mod launch;
pub(crate) mod quote;

pub(crate) use dialogue::{Dialogue, Said};
pub(crate) use launch::{Input, Launch, Shell};
