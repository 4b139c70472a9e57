//! The contract: what every adapter promises, as data. `tests/contract.rs` runs each case on each adapter
//! against the real thing.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "this is a test suite: a broken promise ends the case"
)]

mod commands;
mod connections;
mod fixture;
mod input;
mod killing;
mod output;
mod scripts;
mod sudo;

use std::future::Future;
use std::pin::Pin;

pub use fixture::{Ended, Fixture, Network, Server};

/// A case on its way.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a case needs of the machine that it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing in particular.
    Nothing,
    /// Connections, with this kind of server behind them.
    Connections(Server),
    /// `sudo` without a password.
    Sudo,
    /// A user who may become root by `sudo` with a password.
    SudoPassword,
}

/// One promise, and how it is tested.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The promise.
    pub name: &'static str,
    /// What it needs.
    pub need: Need,
    /// The test.
    pub run: fn(Fixture) -> Running,
}

/// Returns every case.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        commands::CASES,
        output::CASES,
        input::CASES,
        scripts::CASES,
        killing::CASES,
        connections::CASES,
        sudo::CASES,
    ]
    .concat()
}

/// Puts a case into words that a table can hold.
macro_rules! case {
    ($run:ident) => {
        case!($run, $crate::contract::Need::Nothing)
    };
    ($run:ident, $need:expr) => {
        $crate::contract::Case {
            name: stringify!($run),
            need: $need,
            run: |fixture| Box::pin($run(fixture)),
        }
    };
}
use case;
