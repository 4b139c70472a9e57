//! SSH, on russh.

mod auth;
mod config;
mod connect;
mod identity;
mod known_hosts;
mod stamp;
