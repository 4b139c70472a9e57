//! The built binary against real sshd servers, each test in a home of its own: what a person would type,
//! and what they would see.

#![expect(unreachable_pub, reason = "a test binary has no outside")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests fail by a panic, and wait for programs on threads of their own"
)]

mod support;

mod cancel;
mod chaos;
mod cluster;
mod credentials;
mod databases;
mod demo;
mod engines;
mod host_keys;
mod hostile;
mod inventory;
mod keep;
mod kill;
mod login;
mod malicious;
mod outage;
mod output;
mod repl;
mod run;
mod scale;
mod server;
mod servers;
mod systemd;
mod tls;
mod traces;
mod watch;
mod wrong;
