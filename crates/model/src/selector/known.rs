//! What a selector may ask of a host, whatever form it is kept in. Nothing is allocated by asking.

use std::fmt;
use std::net::IpAddr;

use crate::Reach;
use crate::facts::Facts;
use crate::host::HostRecord;

/// A host of the inventory, as a selector sees it.
pub trait Host: fmt::Debug {
    /// Returns its name.
    fn name(&self) -> &str;
    /// Returns its address, where it has another than its name.
    fn address(&self) -> Option<&str>;
    /// Returns the user to log in as.
    fn user(&self) -> Option<&str>;
    /// Returns the port.
    fn port(&self) -> Option<u16>;
    /// Returns how it is reached.
    fn reach(&self) -> Option<Reach>;
    /// Returns the name of its credential.
    fn credential(&self) -> Option<&str>;
    /// Returns the value of a label.
    fn label(&self, key: &str) -> Option<&str>;
}

/// A fact that is one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// `os.id`.
    OsId,
    /// `os.version`.
    OsVersion,
    /// `os.name`.
    OsName,
    /// `kernel`.
    Kernel,
    /// `kernel_release`.
    KernelRelease,
    /// `arch`.
    Arch,
    /// `hostname`.
    Hostname,
    /// `virt`.
    Virt,
    /// `pkg`.
    Pkg,
    /// `init`.
    Init,
}

/// A file system, as a selector sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mounted<'a> {
    /// Where.
    pub mount: &'a str,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// What is free, in bytes.
    pub free_bytes: u64,
}

/// What is known of a host's system, as a selector sees it.
pub trait System: fmt::Debug {
    /// Returns a fact that is one text.
    fn word(&self, word: Word) -> Option<&str>;
    /// Returns how many processors there are.
    fn cpus(&self) -> Option<u32>;
    /// Returns the memory in bytes.
    fn mem_bytes(&self) -> Option<u64>;
    /// Returns the swap space in bytes.
    fn swap_bytes(&self) -> Option<u64>;
    /// Returns for how long it was up, in seconds.
    fn uptime_s(&self) -> Option<u64>;
    /// Returns its addresses.
    fn addresses(&self) -> &[IpAddr];
    /// Returns the system at a place, from 0, in the list of those that it is like.
    fn like(&self, place: usize) -> Option<&str>;
    /// Returns the file system at a place, from 0.
    fn disk(&self, place: usize) -> Option<Mounted<'_>>;
}

impl Host for HostRecord {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    fn port(&self) -> Option<u16> {
        self.port
    }

    fn reach(&self) -> Option<Reach> {
        self.reach
    }

    fn credential(&self) -> Option<&str> {
        self.credential.as_ref().map(|name| name.as_str())
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }
}

impl System for Facts {
    fn word(&self, word: Word) -> Option<&str> {
        let text = match word {
            Word::OsId => &self.os.id,
            Word::OsVersion => &self.os.version,
            Word::OsName => &self.os.name,
            Word::Kernel => &self.kernel,
            Word::KernelRelease => &self.kernel_release,
            Word::Arch => &self.arch,
            Word::Hostname => &self.hostname,
            Word::Virt => &self.virt,
            Word::Pkg => &self.pkg,
            Word::Init => &self.init,
        };
        text.as_deref()
    }

    fn cpus(&self) -> Option<u32> {
        self.cpus
    }

    fn mem_bytes(&self) -> Option<u64> {
        self.mem_bytes
    }

    fn swap_bytes(&self) -> Option<u64> {
        self.swap_bytes
    }

    fn uptime_s(&self) -> Option<u64> {
        self.uptime_s
    }

    fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    fn like(&self, place: usize) -> Option<&str> {
        self.os.like.get(place).map(String::as_str)
    }

    fn disk(&self, place: usize) -> Option<Mounted<'_>> {
        let disk = self.disks.get(place)?;
        Some(Mounted {
            mount: &disk.mount,
            size_bytes: disk.size_bytes,
            free_bytes: disk.free_bytes,
        })
    }
}
