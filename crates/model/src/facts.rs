//! What is known of a host's system. All of it was said by the host: a stranger's data, bounded and typed, and never
//! put into a command.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

mod parse;

pub use parse::{ADDRESSES, ANSWER_BYTES, DISKS, Error, TEXT_BYTES, parse};

/// The script that gathers facts, for any POSIX shell: `sh -s` with this as its standard input, or a file. It needs no
/// arguments, reads no standard input of its own, changes nothing and always exits with 0. Its standard output is for
/// [`parse`].
pub const GATHER: &str = include_str!("facts/gather.sh");

/// What a host's facts script found. What it could not find is None or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Facts {
    /// The operating system.
    pub os: Os,
    /// The kernel's name, as `uname -s` says it.
    pub kernel: Option<String>,
    /// The kernel's release, as `uname -r` says it.
    pub kernel_release: Option<String>,
    /// The machine's architecture, as `uname -m` says it.
    pub arch: Option<String>,
    /// What the machine calls itself.
    pub hostname: Option<String>,
    /// How many processors are online.
    pub cpus: Option<u32>,
    /// Memory in bytes.
    pub mem_bytes: Option<u64>,
    /// Swap space in bytes.
    pub swap_bytes: Option<u64>,
    /// Mounted file systems that stand for disks.
    pub disks: Vec<Disk>,
    /// Addresses, without those of loopback.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub addresses: Vec<IpAddr>,
    /// Virtualisation as `systemd-detect-virt` names it (`kvm`, `docker`, …); `none` on bare metal.
    pub virt: Option<String>,
    /// How long the machine has been up when it was asked, in seconds.
    pub uptime_s: Option<u64>,
    /// The package manager: `apt`, `dnf`, `zypper`, `pacman`, `apk`, …
    pub pkg: Option<String>,
    /// The init system: `systemd`, `openrc`, `runit`, `busybox`, …
    pub init: Option<String>,
}

/// An operating system, after os-release(5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Os {
    /// `ID`: `debian`, `rhel`, …; lower case.
    pub id: Option<String>,
    /// `ID_LIKE`, its words.
    pub like: Vec<String>,
    /// `VERSION_ID`.
    pub version: Option<String>,
    /// `PRETTY_NAME`.
    pub name: Option<String>,
}

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Disk {
    /// What is mounted.
    pub device: String,
    /// Where.
    pub mount: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// What is free for users, in bytes.
    pub free_bytes: u64,
}
